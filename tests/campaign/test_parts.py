"""A campaign in parts: who does what, and what the parts come to together."""

import json
from collections import Counter
from pathlib import Path

import pytest
from tests.campaign.conftest import attack_score, split

from agns.attack.agn import AGN
from agns.campaign.jobs import UNIVERSAL, Job, jobs_of
from agns.campaign.ledger import Ledger
from agns.campaign.parts import (
    Part,
    check_beside,
    jobs_in,
    join_records,
    join_transfers,
    part_of_array,
    read_ledgers,
    read_part,
    share_of,
)
from agns.campaign.plan import Plan, PlannedAttack, PlanVictim
from agns.campaign.records import TransferScore
from agns.errors import ConfigError, DataError

PLAN = {"goals": ["dodge"]}


def job(subject: str, attack: str = "agn", recognizer: str = "r") -> Job:
    return Job(
        recognizer=recognizer, goal="dodge", subject=subject, target=None, attack=attack, seed=0
    )


JOBS = tuple(job(name) for name in ("Ann", "Bob", "Cy"))
MANY = tuple(
    job(f"P{number}", attack, recognizer)
    for recognizer in ("r", "s")
    for number in range(7)
    for attack in ("agn", "pgd", "ccs16")
)


def begin(out: Path, part: Part, jobs: tuple[Job, ...] = JOBS) -> Ledger:
    made = Ledger(out / part.ledger)
    made.begin(PLAN, jobs, {}, share=share_of(jobs, part) if part.of > 1 else None)
    return made


def finish(ledger: Ledger, one: Job, subject: str | None = None) -> None:
    result = attack_score(subject or one.subject)
    ledger.finish(one, result, seconds=1, peak_memory_mb=1)


@pytest.mark.parametrize("of", [1, 2, 3, 8, 100])
def test_each_job_falls_to_one_part(of: int) -> None:
    shares = [share_of(MANY, Part(number=number, of=of)) for number in range(1, of + 1)]
    assert Counter(one for share in shares for one in share) == Counter(MANY)


def test_parts_have_as_much_of_each_recogniser_and_attack_but_for_one() -> None:
    shares = [share_of(MANY, Part(number=number, of=4)) for number in range(1, 5)]
    assert {len(share) for share in shares} == {10, 11}
    for kind in {(one.recognizer, one.attack) for one in MANY}:
        counts = [sum((one.recognizer, one.attack) == kind for one in share) for share in shares]
        assert max(counts) - min(counts) <= 1


def test_no_part_is_left_with_the_attacks_of_one_method() -> None:
    jobs = [
        job(f"P{number}", attack, recognizer)
        for recognizer in ("r", "s")
        for number in range(2)
        for attack in ("agn", "pgd")
    ]
    for number in (1, 2):
        share = share_of(jobs, Part(number=number, of=2))
        assert Counter(one.attack for one in share) == {"agn": 2, "pgd": 2}


def test_frames_for_many_are_dealt_out_whatever_their_seeds() -> None:
    dodges = [job(f"P{number}", "pgd") for number in range(2)]
    many = [
        Job(recognizer="r", goal=UNIVERSAL, subject="", target=None, attack="few", seed=seed)
        for seed in range(2)
    ]
    shares = [share_of([*dodges, *many], Part(number=number, of=2)) for number in (1, 2)]
    assert [sum(one.goal == UNIVERSAL for one in share) for share in shares] == [1, 1]


def test_more_parts_than_any_array_has_are_refused() -> None:
    with pytest.raises(ConfigError, match="100000 parts at most, got 999999999"):
        read_part("1/999999999")


@pytest.mark.parametrize("text", ["", "3", "0/4", "5/4", "1/0", "-1/4", "1/4/2", "a/b", "1.5/4"])
def test_what_is_no_part_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="a part is K/N, as 3/8, with K from 1 to N, got"):
        read_part(text)


@pytest.mark.parametrize(
    ("task", "count", "least", "most", "step", "expected"),
    [
        (1, 8, 1, 8, 1, "1/8"),
        (0, 8, 0, 7, 1, "1/8"),
        (7, 8, 0, 7, 1, "8/8"),
        (11, 3, 5, 11, 3, "3/3"),
        (4, 1, 4, 4, 1, "1/1"),
    ],
)
def test_a_task_of_a_job_array_is_a_part(
    task: int, count: int, least: int, most: int, step: int, expected: str
) -> None:
    told = {"ID": task, "COUNT": count, "MIN": least, "MAX": most, "STEP": step}
    environment = {f"SLURM_ARRAY_TASK_{name}": str(value) for name, value in told.items()}
    assert part_of_array(environment) == read_part(expected)


def test_outside_of_a_job_array_there_is_no_part() -> None:
    assert part_of_array({"SLURM_JOB_ID": "7"}) is None


@pytest.mark.parametrize(
    "told",
    [
        {"ID": "4", "COUNT": "3", "MIN": "1", "MAX": "7", "STEP": "1"},
        {"ID": "2", "COUNT": "3", "MIN": "1", "MAX": "7", "STEP": "3"},
        {"ID": "4"},
        {"ID": "x", "COUNT": "3"},
    ],
)
def test_an_array_with_gaps_has_to_name_its_parts(told: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="say it with --part K/N"):
        part_of_array({f"SLURM_ARRAY_TASK_{name}": value for name, value in told.items()})


def test_what_any_ledger_tells_of_a_job_counts_once(tmp_path: Path) -> None:
    one, two = (begin(tmp_path, Part(number=number, of=2)) for number in (1, 2))
    finish(one, JOBS[0])
    two.fail(JOBS[1], "no photos", seconds=1)
    whole = begin(tmp_path, Part(number=1, of=1))
    # Done twice, as by a mistake.
    finish(whole, JOBS[0], "again")
    finish(whole, JOBS[1], "Bob")
    told = join_records(read_ledgers(tmp_path))
    assert [one.job for one in told] == list(JOBS)
    assert [one.state for one in told] == ["done", "done", "open"]
    assert [one.result and one.result.subject for one in told] == ["again", "Bob", None]
    for ledger in (one, two, whole):
        ledger.close()


def test_the_parts_that_have_not_begun_are_open(tmp_path: Path) -> None:
    ledger = begin(tmp_path, Part(number=2, of=3))
    finish(ledger, JOBS[1])
    assert ledger.remaining().jobs == 1
    ledger.close()
    assert [row.state for row in join_records(read_ledgers(tmp_path))] == ["open", "done", "open"]


def test_a_part_claims_its_own_jobs_alone(tmp_path: Path) -> None:
    ledger = begin(tmp_path, Part(number=2, of=2))
    assert (ledger.claim(), ledger.claim()) == (JOBS[1], None)
    ledger.close()


def test_scores_on_other_recognisers_come_in_the_order_of_the_plan(tmp_path: Path) -> None:
    jobs = tuple(job(name, recognizer=own) for own in ("r", "s") for name in ("Ann", "Bob"))

    def score(rate: float) -> TransferScore:
        parts = ("digital", "photographed", "benign", "bare")
        return TransferScore(**{name: split(rate) for name in parts})

    one, two = (begin(tmp_path, Part(number=number, of=2), jobs) for number in (1, 2))
    two.enter_transfer(jobs[3], "r", score(0.3))
    two.enter_transfer(jobs[1], "s", score(0.1))
    one.enter_transfer(jobs[0], "s", "no photos")
    one.close()
    two.close()
    told = read_ledgers(tmp_path)
    found = join_transfers(told, join_records(told))
    assert [row.job for row in found] == [jobs[0], jobs[1], jobs[3]]
    assert [one.score for one in found] == [None, score(0.1), score(0.3)]


def test_ledgers_of_two_plans_are_not_joined(tmp_path: Path) -> None:
    begin(tmp_path, Part(number=1, of=2)).close()
    other = Ledger(tmp_path / "part-2-of-2.sqlite")
    other.begin({"goals": ["impersonate"]}, JOBS, {})
    other.close()
    with pytest.raises(DataError, match=r"part-2-of-2.sqlite are of two plans: move one"):
        read_ledgers(tmp_path)


def test_ledgers_of_two_recognisers_of_one_name_are_not_joined(tmp_path: Path) -> None:
    for number in (1, 2):
        ledger = begin(tmp_path, Part(number=number, of=2))
        ledger.enter_victim("r", f"digest {number}", [])
        ledger.close()
    with pytest.raises(DataError, match="are of two recognisers that are both called r"):
        read_ledgers(tmp_path)


def test_parts_of_another_number_and_of_another_plan_are_refused(tmp_path: Path) -> None:
    begin(tmp_path, Part(number=1, of=2)).close()
    others = read_ledgers(tmp_path)
    check_beside("part-2-of-2.sqlite", others, PLAN, JOBS)
    check_beside("campaign.sqlite", others, PLAN, JOBS)
    with pytest.raises(ConfigError, match="is divided into 2 parts, not 3: give --part K/2"):
        check_beside("part-2-of-3.sqlite", others, PLAN, JOBS)
    with pytest.raises(ConfigError, match=r"of another plan \(part-1-of-2.sqlite\)"):
        check_beside("part-2-of-2.sqlite", others, {"goals": ["impersonate"]}, JOBS)
    with pytest.raises(ConfigError, match="lists other attacks for this plan"):
        check_beside("part-2-of-2.sqlite", others, PLAN, JOBS[:2])


def test_what_others_have_ended_is_left_to_them(tmp_path: Path) -> None:
    ledger = begin(tmp_path, Part(number=1, of=1))
    finish(ledger, JOBS[2])
    ledger.settle(JOBS, JOBS[1:])
    assert [row.state for row in ledger.records()] == ["open", "elsewhere", "done"]
    ledger.settle(JOBS, JOBS[:1])
    assert [row.state for row in ledger.records()] == ["elsewhere", "open", "done"]
    ledger.close()


def test_results_of_other_parts_are_not_taken_for_an_older_campaigns(tmp_path: Path) -> None:
    left = tmp_path / "cells" / JOBS[0].key / "result.json"
    left.parent.mkdir(parents=True)
    left.write_text(json.dumps({}))
    begin(tmp_path, Part(number=2, of=2)).close()
    with pytest.raises(ConfigError, match="sqlite is gone"):
        begin(tmp_path, Part(number=1, of=2))


@pytest.mark.parametrize("part", [Part(number=1, of=1), Part(number=2, of=2)])
def test_what_an_earlier_version_drew_is_gone_on_with(part: Part, tmp_path: Path) -> None:
    plan = Plan(
        recognizers=(PlanVictim(name="one"), PlanVictim(name="two")),
        goals=("dodge",),
        attacks=(PlannedAttack(name="agn", method=AGN()),),
        subjects=3,
    )
    people = tuple(f"P{number:02d}" for number in range(30))
    known = {"one": people, "two": people}
    former = jobs_of(plan, known, by_victim=True)
    assert jobs_in(tmp_path, plan, known) == jobs_of(plan, known) != former
    begin(tmp_path, part, former).close()
    assert jobs_in(tmp_path, plan, known) == former
