"""A ledger's rows in tables."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from agns.campaign.curves import QueriesSummary, summarize_queries
from agns.campaign.records import JobRecord
from agns.campaign.summary import summarize_attacks, summarize_points
from agns.evaluation.score import AttackScore

Make = Callable[..., JobRecord]


def test_subjects_count_alike_however_many_attacks_they_have(
    record: Make, failed: JobRecord
) -> None:
    rows = [
        record("Ann", "agn", 1.0),
        record("Ann", "agn", 0.8, seed=1),
        record("Bob", "agn", 0.1),
        failed,
    ]
    (line,) = summarize_attacks(rows)
    assert (line.done, line.failed, line.subjects, line.met_stop_value) == (3, 1, 2, 3)
    assert line.held_out_success == pytest.approx((0.9 + 0.1) / 2)
    assert line.held_out_interval == pytest.approx((0.1, 0.9))
    assert line.benign_success == pytest.approx(0.1)
    assert line.recognized_success is None
    assert line.against_first is None


def test_attacks_are_compared_over_the_subjects_they_share(record: Make) -> None:
    names = [f"P{number}" for number in range(6)]
    rows = [record(name, "agn", 0.9) for name in names] + [
        record(name, "pgd", 0.4) for name in names[:5]
    ]
    first, second = summarize_attacks(rows)
    assert first.against_first is None
    assert second.against_first == pytest.approx(2 / 2**5)


def test_the_first_attack_is_the_plans_whether_it_has_results_or_not(
    record: Make, failed: JobRecord
) -> None:
    rows = [failed, record("Ann", "pgd", 0.9), record("Ann", "ccs16", 0.1)]
    assert [line.against_first for line in summarize_attacks(rows)] == [None, None]


def test_a_line_says_how_much_of_the_plan_it_holds(record: Make, failed: JobRecord) -> None:
    (line,) = summarize_attacks(
        [record("Ann", "agn", 0.9), record("Ann", "agn", 0.9, seed=1, met=False), failed]
    )
    assert (line.planned, line.done, line.subjects, line.met_stop_value) == (3, 2, 1, 1)
    assert line.seconds == 4


def test_a_group_without_results_has_no_line(failed: JobRecord) -> None:
    assert summarize_attacks([failed]) == []


def test_each_operating_point_has_the_mean_over_subjects_and_its_own_controls(
    record: Make, at_points: Make
) -> None:
    records = [
        at_points("Ann", {0.01: 1.0, 0.001: 0.5}),
        at_points("Bob", {0.01: 0.0, 0.001: 0.5}),
        record("Cid", "agn", 0.9),
    ]
    wide, narrow = summarize_points(records)
    assert (wide.false_accept_rate, narrow.false_accept_rate) == (0.01, 0.001)
    assert (wide.subjects, wide.held_out_success, wide.held_out_interval) == (2, 0.5, (0, 1))
    assert narrow.held_out_interval[0] < 0.5 < narrow.held_out_interval[1]
    assert (wide.benign_success, wide.bare_success) == pytest.approx((0.2, 0.05))
    assert wide.recognized_success is None


def test_success_over_queries_is_that_of_the_best_frame_so_far(
    record: Make, asked: Callable[..., JobRecord]
) -> None:
    rows = [
        asked("Ann", "cmaes", 640, q20=0.25, q320=0.5),
        asked("Bob", "cmaes", 600, q100=1.0),
        asked("Ann", "benign", 300, q16=0.25),
        asked("Ann", "transfer", 0, q0=0.75),
        record("Ann", "agn", 1.0),
    ]
    points = summarize_queries(rows)

    def curve(attack: str) -> dict[int, float]:
        own = [one for one in points if one.attack == attack]
        return {one.queries: one.held_out_success for one in own}

    # Without a frame nobody dodges.
    assert curve("cmaes") == pytest.approx(
        {10: 0, 20: 0.125, 40: 0.125, 80: 0.125, 160: 0.625, 320: 0.75, 640: 0.75}
    )
    assert curve("benign") == {10: 0, 20: 0.25, 40: 0.25, 80: 0.25, 160: 0.25, 300: 0.25}
    assert curve("transfer") == {0: 0.75}
    assert curve("agn") == {}
    # One that keeps no frames on the way has its last.
    last = record("Ann", "library", 0.75)
    assert isinstance(last.result, AttackScore)
    counted = replace(last, result=replace(last.result, queries=64))
    one = summarize_queries([counted])[-1]
    assert (one.queries, one.held_out_success) == (64, 0.75)
    low, high = points[4].held_out_interval
    assert points[4] == QueriesSummary("OF10", "dodge", "cmaes", 160, 2, 0.625, (low, high), 0.1)
    assert low < 0.625 < high
