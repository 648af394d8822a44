"""A plan's jobs."""

from dataclasses import replace

import pytest

from agns.attack.agn import AGN
from agns.attack.pixel_descent import PGD
from agns.attack.universal import Universal
from agns.campaign.jobs import jobs_of
from agns.campaign.plan import Plan, PlannedAttack, PlannedUniversal, PlanVictim
from agns.errors import ConfigError
from agns.evaluation.universal import UniversalSpec

PLAN = Plan(
    recognizers=(PlanVictim(name="one"), PlanVictim(name="two")),
    goals=("dodge", "impersonate"),
    attacks=(PlannedAttack(name="agn", method=AGN()), PlannedAttack(name="pgd", method=PGD())),
    seeds=(0, 5),
)
CROWD = PlannedUniversal(name="few", experiment=UniversalSpec(), method=Universal())
KNOWN = {"one": ("Ann", "Bob", "Cy"), "two": ("Bob", "Dan")}


def test_a_plan_is_the_product_of_its_parts() -> None:
    jobs = jobs_of(PLAN, KNOWN)
    assert len(jobs) == (3 + 2) * 2 * 2 * 2
    assert len({job.key for job in jobs}) == len(jobs)
    assert [job.recognizer for job in jobs] == ["one"] * 24 + ["two"] * 16


def test_a_subject_whose_name_is_no_text_has_a_key() -> None:
    keys = {job.key for job in jobs_of(PLAN, {"one": ("\ud800", "Bob"), "two": KNOWN["two"]})}
    assert len(keys) == (2 + 2) * 2 * 2 * 2


def test_subjects_impersonate_the_next_identity() -> None:
    jobs = jobs_of(PLAN, KNOWN)
    pairs = {(c.subject, c.target) for c in jobs if c.recognizer == "one"}
    assert pairs == {
        ("Ann", None), ("Bob", None), ("Cy", None), ("Ann", "Bob"), ("Bob", "Cy"), ("Cy", "Ann")
    }  # fmt: skip


def test_what_is_drawn_depends_on_its_seed_and_on_nothing_beside_it() -> None:
    names = tuple(f"P{number:02d}" for number in range(30))
    plan = replace(PLAN, subjects=5, targets="random")

    def drawn(**changes: object) -> set[tuple[str, str | None]]:
        jobs = jobs_of(replace(plan, **changes), {"one": names, "two": names})
        return {(c.subject, c.target) for c in jobs if c.recognizer == "one"}

    assert drawn() == drawn(seeds=(1,), attacks=PLAN.attacks[:1])
    assert drawn() != drawn(chosen_by=1)
    assert len({subject for subject, _ in drawn()}) == 5
    assert all(subject != target for subject, target in drawn())


def test_recognisers_of_the_same_people_are_attacked_by_the_same() -> None:
    names = tuple(f"P{number:02d}" for number in range(30))
    plan = replace(PLAN, subjects=5, targets="random")

    def drawn(*, by_victim: bool = False) -> list[set[tuple[str, str | None]]]:
        jobs = jobs_of(plan, {"one": names, "two": names[::-1]}, by_victim=by_victim)
        return [
            {(job.subject, job.target) for job in jobs if job.recognizer == name}
            for name in ("one", "two")
        ]

    one, two = drawn()
    assert one == two
    one, two = drawn(by_victim=True)
    assert one != two


def test_earlier_versions_drew_by_the_name_of_the_recogniser() -> None:
    names = tuple(f"P{number:02d}" for number in range(30))
    plan = replace(PLAN, goals=("impersonate",), subjects=2, targets="random", chosen_by=3)
    jobs = jobs_of(plan, {"one": names, "two": names}, by_victim=True)
    found = list(dict.fromkeys((job.recognizer, job.subject, job.target) for job in jobs))
    assert found == [
        ("one", "P06", "P22"), ("one", "P12", "P07"), ("two", "P13", "P23"), ("two", "P27", "P03")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("subjects", "complaint"),
    [
        (4, "subjects: the plan asks for 4 subjects, and one has 3"),
        (("Dan",), "subjects: one knows no 'Dan' with photos: it knows Ann, Bob, Cy"),
        (("Anna",), "subjects: one knows no 'Anna' with photos: did you mean Ann"),
    ],
)
def test_subjects_that_a_victim_has_not_are_refused(subjects: object, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        jobs_of(replace(PLAN, subjects=subjects), KNOWN)


def test_targets_that_are_named_are_taken() -> None:
    plan = replace(PLAN, recognizers=PLAN.recognizers[:1], goals=("impersonate",))
    one = jobs_of(replace(plan, subjects=("Ann", "Cy"), targets=("Bob",)), KNOWN)
    assert {(c.subject, c.target) for c in one} == {("Ann", "Bob"), ("Cy", "Bob")}
    others = jobs_of(replace(plan, targets=("Bob",)), KNOWN)
    assert {(c.subject, c.target) for c in others} == {("Ann", "Bob"), ("Cy", "Bob")}
    each = jobs_of(replace(plan, subjects=("Cy", "Ann"), targets=("Ann", "Bob")), KNOWN)
    assert {(c.subject, c.target) for c in each} == {("Cy", "Ann"), ("Ann", "Bob")}


@pytest.mark.parametrize(
    ("target", "complaint"),
    [("Dan", "targets: one knows no 'Dan' with photos"), ("Ann", "Ann cannot be a target")],
)
def test_a_target_that_cannot_be_is_refused(target: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        jobs_of(replace(PLAN, subjects=("Ann",), targets=(target,)), KNOWN)


def test_a_universal_attack_is_one_job_for_each_seed() -> None:
    jobs = jobs_of(replace(PLAN, universal=(CROWD,)), KNOWN)
    made = [job for job in jobs if job.goal == "universal"]
    assert [(c.recognizer, c.attack, c.seed) for c in made] == [
        ("one", "few", 0), ("one", "few", 5), ("two", "few", 0), ("two", "few", 5)
    ]  # fmt: skip
    assert made[0].title == "frames for many, few"
    assert len({job.key for job in jobs}) == len(jobs)


def test_more_subjects_than_there_are_cannot_share_frames() -> None:
    crowd = replace(CROWD, experiment=UniversalSpec(subjects=3))
    with pytest.raises(ConfigError, match="few of two: expected at least 3 identities"):
        jobs_of(replace(PLAN, universal=(crowd,)), KNOWN)


def test_nobody_impersonates_when_alone() -> None:
    with pytest.raises(ConfigError, match="nobody to impersonate but Ann"):
        jobs_of(PLAN, {"one": ("Ann",), "two": ("Bob", "Dan")})


def test_keys_are_folder_names_whatever_people_are_called() -> None:
    (job, *_) = jobs_of(replace(PLAN, goals=("dodge",)), {"one": ("a/../b c",), "two": ("B",)})
    assert "/" not in job.key
    assert " " not in job.key
    assert job.key.startswith("dodge-a____b_c-")


def test_faces_of_nobody_whom_a_victim_knows_are_refused() -> None:
    with pytest.raises(ConfigError, match="one knows nobody of whom"):
        jobs_of(PLAN, {"one": (), "two": ("Bob", "Dan")})
