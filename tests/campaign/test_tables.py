"""A ledger's rows in tables."""

from collections.abc import Callable

import pytest

from agns.campaign.rows import Row
from agns.campaign.tables import tabulate

Make = Callable[..., Row]


def test_subjects_count_alike_however_many_attacks_they_have(row: Make, failed: Row) -> None:
    rows = [row("Ann", "agn", 1.0), row("Ann", "agn", 0.8, seed=1), row("Bob", "agn", 0.1), failed]
    (line,) = tabulate(rows)
    assert (line.done, line.failed, line.subjects, line.met_stop_value) == (3, 1, 2, 3)
    assert line.held_out_success == pytest.approx((0.9 + 0.1) / 2)
    assert line.held_out_interval == pytest.approx((0.1, 0.9))
    assert line.benign_success == pytest.approx(0.1)
    assert line.recognized_success is None
    assert line.against_first is None


def test_attacks_are_compared_over_the_subjects_they_share(row: Make) -> None:
    names = [f"P{number}" for number in range(6)]
    rows = [row(name, "agn", 0.9) for name in names] + [row(name, "pgd", 0.4) for name in names[:5]]
    first, second = tabulate(rows)
    assert first.against_first is None
    assert second.against_first == pytest.approx(2 / 2**5)


def test_the_first_attack_is_the_plans_whether_it_has_results_or_not(
    row: Make, failed: Row
) -> None:
    rows = [failed, row("Ann", "pgd", 0.9), row("Ann", "ccs16", 0.1)]
    assert [line.against_first for line in tabulate(rows)] == [None, None]


def test_a_line_says_how_much_of_the_plan_it_holds(row: Make, failed: Row) -> None:
    (line,) = tabulate([row("Ann", "agn", 0.9), row("Ann", "agn", 0.9, seed=1, met=False), failed])
    assert (line.planned, line.done, line.subjects, line.met_stop_value) == (3, 2, 1, 1)
    assert line.seconds == 4


def test_a_group_without_results_has_no_line(failed: Row) -> None:
    assert tabulate([failed]) == []
