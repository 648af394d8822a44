"""A plan's cells."""

from dataclasses import replace

import pytest

from agns.attack.agn import AGN
from agns.attack.pixel_descent import PGD
from agns.attack.universal import Universal
from agns.errors import ConfigError
from agns.evaluation.campaign.cells import cells_of
from agns.evaluation.campaign.plan import Crowd, Entry, Plan, PlanVictim
from agns.evaluation.universal import UniversalSpec

PLAN = Plan(
    recognizers=(PlanVictim(name="one"), PlanVictim(name="two")),
    goals=("dodge", "impersonate"),
    attacks=(Entry(name="agn", method=AGN()), Entry(name="pgd", method=PGD())),
    seeds=(0, 5),
)
CROWD = Crowd(name="few", experiment=UniversalSpec(), method=Universal())
KNOWN = {"one": ("Ann", "Bob", "Cy"), "two": ("Bob", "Dan")}


def test_a_plan_is_the_product_of_its_parts() -> None:
    cells = cells_of(PLAN, KNOWN)
    assert len(cells) == (3 + 2) * 2 * 2 * 2
    assert len({cell.key for cell in cells}) == len(cells)
    assert [cell.recognizer for cell in cells] == ["one"] * 24 + ["two"] * 16


def test_a_subject_whose_name_is_no_text_has_a_key() -> None:
    keys = {cell.key for cell in cells_of(PLAN, {"one": ("\ud800", "Bob"), "two": KNOWN["two"]})}
    assert len(keys) == (2 + 2) * 2 * 2 * 2


def test_subjects_impersonate_the_next_identity() -> None:
    cells = cells_of(PLAN, KNOWN)
    pairs = {(c.subject, c.target) for c in cells if c.recognizer == "one"}
    assert pairs == {
        ("Ann", None), ("Bob", None), ("Cy", None), ("Ann", "Bob"), ("Bob", "Cy"), ("Cy", "Ann")
    }  # fmt: skip


def test_what_is_drawn_depends_on_its_seed_and_on_nothing_beside_it() -> None:
    names = tuple(f"P{number:02d}" for number in range(30))
    plan = replace(PLAN, subjects=5, targets="random")

    def drawn(**changes: object) -> set[tuple[str, str | None]]:
        cells = cells_of(replace(plan, **changes), {"one": names, "two": names})
        return {(c.subject, c.target) for c in cells if c.recognizer == "one"}

    assert drawn() == drawn(seeds=(1,), attacks=PLAN.attacks[:1])
    assert drawn() != drawn(chosen_by=1)
    assert len({subject for subject, _ in drawn()}) == 5
    assert all(subject != target for subject, target in drawn())


@pytest.mark.parametrize(
    ("subjects", "complaint"),
    [(4, "asks for 4 subjects, and one has 3"), (("Dan",), "one knows no 'Dan'")],
)
def test_subjects_that_a_victim_has_not_are_refused(subjects: object, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        cells_of(replace(PLAN, subjects=subjects), KNOWN)


def test_targets_that_are_named_are_taken() -> None:
    plan = replace(PLAN, recognizers=PLAN.recognizers[:1], goals=("impersonate",))
    one = cells_of(replace(plan, subjects=("Ann", "Cy"), targets=("Bob",)), KNOWN)
    assert {(c.subject, c.target) for c in one} == {("Ann", "Bob"), ("Cy", "Bob")}
    others = cells_of(replace(plan, targets=("Bob",)), KNOWN)
    assert {(c.subject, c.target) for c in others} == {("Ann", "Bob"), ("Cy", "Bob")}
    each = cells_of(replace(plan, subjects=("Cy", "Ann"), targets=("Ann", "Bob")), KNOWN)
    assert {(c.subject, c.target) for c in each} == {("Cy", "Ann"), ("Ann", "Bob")}


@pytest.mark.parametrize(
    ("target", "complaint"),
    [("Dan", "targets: one knows no 'Dan' with photos"), ("Ann", "Ann cannot be a target")],
)
def test_a_target_that_cannot_be_is_refused(target: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        cells_of(replace(PLAN, subjects=("Ann",), targets=(target,)), KNOWN)


def test_a_universal_attack_is_one_cell_for_each_seed() -> None:
    cells = cells_of(replace(PLAN, universal=(CROWD,)), KNOWN)
    made = [cell for cell in cells if cell.goal == "universal"]
    assert [(c.recognizer, c.attack, c.seed) for c in made] == [
        ("one", "few", 0), ("one", "few", 5), ("two", "few", 0), ("two", "few", 5)
    ]  # fmt: skip
    assert made[0].title == "frames for many, few"
    assert len({cell.key for cell in cells}) == len(cells)


def test_more_subjects_than_there_are_cannot_share_frames() -> None:
    crowd = replace(CROWD, experiment=UniversalSpec(subjects=3))
    with pytest.raises(ConfigError, match="few of two: expected at least 3 identities"):
        cells_of(replace(PLAN, universal=(crowd,)), KNOWN)


def test_nobody_impersonates_when_alone() -> None:
    with pytest.raises(ConfigError, match="nobody to impersonate but Ann"):
        cells_of(PLAN, {"one": ("Ann",), "two": ("Bob", "Dan")})


def test_keys_are_folder_names_whatever_people_are_called() -> None:
    (cell, *_) = cells_of(replace(PLAN, goals=("dodge",)), {"one": ("a/../b c",), "two": ("B",)})
    assert "/" not in cell.key
    assert " " not in cell.key
    assert cell.key.startswith("dodge-a____b_c-")


def test_faces_of_nobody_whom_a_victim_knows_are_refused() -> None:
    with pytest.raises(ConfigError, match="one knows nobody of whom"):
        cells_of(PLAN, {"one": (), "two": ("Bob", "Dan")})
