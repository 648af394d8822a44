"""Figures over subjects, counted by hand."""

from pathlib import Path

import pytest
import torch

from agns.evaluation.reach import Wearer, draw_reach, measure_reach, pick, reach_curve, wear_one
from agns.images import read_image


def wearer(name: str, picking: list[str], scored: list[str], recognized: str) -> Wearer:
    def rows(lines: list[str]) -> torch.Tensor:
        return torch.tensor([[mark == "x" for mark in line] for line in lines])

    return Wearer(
        name=name,
        picking=rows(picking),
        scored=rows(scored),
        recognized=rows([recognized])[0],
        bare=~rows([recognized])[0],
    )


ANN = wearer("Ann", ["x..", "xx.", "xx."], ["....", "x...", "xxx."], "xxx.")
BOB = wearer("Bob", ["x", "x", "x"], ["xx", "..", ".."], "..")


def test_the_frame_picked_is_the_first_of_those_best_on_the_subjects_own_photos() -> None:
    assert [pick(ANN.picking[:count]) for count in (1, 2, 3)] == [0, 1, 1]
    assert pick(BOB.picking) == 0


def test_a_picked_frame_is_scored_on_other_photos_alone() -> None:
    assert wear_one(ANN, 1, "picked").tolist() == [False] * 4
    # The third would have been better there, but nobody can know.
    assert wear_one(ANN, 3, "picked").tolist() == [True, False, False, False]
    assert wear_one(ANN, 3, "any").tolist() == [True, True, True, False]


def test_a_subject_counts_by_the_share_of_its_photos() -> None:
    found = measure_reach([wear_one(ANN, 3, "any"), wear_one(BOB, 3, "any")])
    assert (found.subjects, found.photos) == (2, 6)
    assert found.success_rate == pytest.approx((3 / 4 + 1) / 2)
    assert found.subjects_dodging == 1
    assert found.interval is not None
    assert found.interval == pytest.approx((0.75, 1))


def test_a_subject_without_recognised_photos_is_left_out_of_their_figures() -> None:
    points = reach_curve([ANN, BOB], (1, 3), group="unseen", made_by="attack")
    assert [(point.rule, point.frames) for point in points] == [
        ("picked", 1), ("picked", 3), ("any", 1), ("any", 3),
    ]  # fmt: skip
    rates = [(point.all.success_rate, point.recognized.success_rate) for point in points]
    assert rates == [
        (pytest.approx(0.5), 0), (pytest.approx(5 / 8), pytest.approx(1 / 3)),
        (pytest.approx(0.5), 0), (pytest.approx(7 / 8), 1),
    ]  # fmt: skip
    assert {point.recognized.subjects for point in points} == {1}
    assert {point.recognized.photos for point in points} == {3}


def test_any_of_them_bounds_whatever_is_picked(generator: torch.Generator) -> None:
    marks = torch.rand(5, 20, generator=generator) > 0.6
    crowd = [
        Wearer(
            name="x",
            picking=marks[:, :5],
            scored=marks[:, 5:],
            recognized=marks[0, 5:],
            bare=~marks[0, 5:],
        )
        for marks in (marks, marks.roll(3, 1), ~marks)
    ]
    points = reach_curve(crowd, (1, 2, 5), group="craft", made_by="benign")
    picked, most = ([p.all.success_rate or 0 for p in points if p.rule == rule]
                    for rule in ("picked", "any"))  # fmt: skip
    assert all(low <= high for low, high in zip(picked, most, strict=True))
    assert most == sorted(most)


def test_no_subjects_have_no_rate() -> None:
    nobody = measure_reach([torch.zeros(0, dtype=torch.bool)])
    assert (nobody.subjects, nobody.success_rate, nobody.interval) == (0, None, None)


def test_curves_are_drawn_even_where_nobody_was_recognised(tmp_path: Path) -> None:
    points = reach_curve([ANN, BOB], (1, 3), group="unseen", made_by="attack")
    points += reach_curve([BOB], (1, 3), group="craft", made_by="benign")
    draw_reach(tmp_path / "reach.png", points, title="a $title")
    assert read_image(tmp_path / "reach.png").shape[0] == 3
