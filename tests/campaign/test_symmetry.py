"""Which classes a campaign found easier to attack."""

import pytest
from tests.campaign.conftest import attack_score, make_job, written

from agns.campaign.records import JobRecord, read_result
from agns.campaign.symmetry import summarize_symmetry, symmetry_table


def test_each_goal_tells_who_is_taken_for_whom() -> None:
    rows = [
        JobRecord(make_job("Ann"), "done", result=attack_score(
            "Ann", held=0.9, taken_for={"Bob": 0.8, "Ann": 0.1, "Cy": 0.1})),
        JobRecord(make_job("Bob"), "done", result=attack_score(
            "Bob", held=0.3, taken_for={"Bob": 0.7, "Ann": 0.3})),
        JobRecord(make_job("Cy", goal="impersonate", target="Ann"), "done", result=attack_score(
            "Cy", held=0.4, goal="impersonate", target="Ann", taken_for={"Ann": 0.4})),
        JobRecord(make_job("Cy"), "failed", sentence="It broke down."),
        JobRecord(make_job("Ann", "pgd"), "done", result=attack_score("Ann")),
    ]  # fmt: skip
    (found,) = summarize_symmetry(rows)
    assert (found.recognizer, found.goal, found.attack) == ("OF10", "dodge", "agn")
    assert found.robust == pytest.approx({"Ann": 0.1, "Bob": 0.7})
    assert found.favoured == pytest.approx({"Bob": 0.8, "Cy": 0.05, "Ann": 0.3})
    assert found.largest_asymmetry == pytest.approx(0.5)
    assert found.between == ("Ann", "Bob")
    (row,) = symmetry_table([found]).rows
    chance = f"{found.by_chance:.1%}"
    assert row == ("OF10", "dodge", "agn", "Ann", "Bob", "Ann for Bob", "2", "40.0%", "10.0%",
                   "80.0%", "50.0%", chance, "1")  # fmt: skip


def test_how_hard_the_goals_are_makes_no_asymmetry() -> None:
    names = ("Ann", "Bob", "Cy")
    rows = []
    for at, name in enumerate(names):
        others = {other: 0.15 for other in names if other != name}
        target = names[(at + 1) % 3]
        for score, job in (
            (attack_score(name, held=0.3, taken_for={name: 0.7, **others}), make_job(name)),
            (attack_score(name, held=0.9, goal="impersonate", target=target, taken_for={}),
             make_job(name, goal="impersonate", target=target)),
        ):  # fmt: skip
            rows.append(JobRecord(job, "done", result=score))
    (found,) = summarize_symmetry(rows)
    assert (found.goal, found.largest_asymmetry, found.pairs) == ("dodge", 0, 3)


def test_whoever_is_refused_is_taken_for_nobody() -> None:
    scores = [attack_score("Ann", held=0.1, taken_for={"Ann": 0.2, "(refused)": 0.7, "Bob": 0.1}),
              attack_score("Bob", held=0.0, taken_for={"Bob": 1.0})]  # fmt: skip
    rows = [JobRecord(make_job(one.subject), "done", result=one) for one in scores]
    (found,) = summarize_symmetry(rows)
    assert found.favoured == pytest.approx({"Ann": 0.0, "Bob": 0.1})
    assert (found.between, found.pairs) == (("Ann", "Bob"), 1)


def test_results_of_before_do_not_say_whom_photos_are_taken_for() -> None:
    told = written(attack_score("Ann", taken_for={"Bob": 1.0}))
    assert told["taken_for"] == {"Bob": 1.0}
    del told["taken_for"]
    read = read_result(told, make_job("Ann"))
    assert read.taken_for is None  # type: ignore[union-attr]
