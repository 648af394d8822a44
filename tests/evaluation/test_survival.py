import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import agns
from agns.accessory.frame import silhouette
from agns.accessory.placement import FIXED
from agns.attack.goals import Dodge, resolve_goal
from agns.evaluation.survival import SurvivalPoint, draw_survival, measure_survival
from agns.models.embedder import Embedder
from agns.models.gallery import Gallery
from agns.models.operating_points import OperatingPoint
from agns.storage import write_json


class RedOnTheFrame:
    """Takes a face for class 1 where the frame's pixels are redder than green, else for class 0."""

    identities = ("Ann", "Bob")

    def __call__(self, faces: Tensor) -> Tensor:
        worn = silhouette() > 0
        redness = (faces[:, 0] - faces[:, 1])[:, worn].mean(1)
        return torch.stack([torch.zeros_like(redness), 40 * (redness - 0.1)], 1)


@pytest.fixture(scope="module")
def points() -> list[SurvivalPoint]:
    red, grey = torch.zeros(1, 3, 64, 176), torch.full((2, 3, 64, 176), 0.5)
    red[:, 0] = 0.9
    faces = torch.full((4, 3, 224, 224), 0.4)
    axes = {"yaw": (0.0, 20.0), "cast": (-0.4, 0.0)}
    return measure_survival(
        RedOnTheFrame(),
        Dodge(subject=0),
        faces,
        red,
        grey,
        axes=axes,
    )


def test_success_is_measured_along_each_axis(points: list[SurvivalPoint]) -> None:
    assert [(point.axis, point.value) for point in points] == [
        ("yaw", 0), ("yaw", 20), ("cast", -0.4), ("cast", 0)
    ]  # fmt: skip
    assert [point.worn.success_rate for point in points] == [1, 1, 1, 1]
    assert {point.benign.success_rate for point in points} == {0}
    assert {point.bare.success_rate for point in points} == {0}
    assert points[0].benign.images == 4


def test_points_are_written_and_drawn(points: list[SurvivalPoint], tmp_path: Path) -> None:
    write_json(tmp_path / "survival.json", {"points": points})
    read = json.loads((tmp_path / "survival.json").read_text())["points"]
    assert read[1]["axis"] == "yaw"
    assert read[1]["worn"]["interval"][0] > 0.5
    draw_survival(tmp_path / "survival.png", points, title="one_dodges")
    assert (tmp_path / "survival.png").stat().st_size > 5000


class Redness(nn.Module):
    """Embeds a face as how much redder than green it is, and a constant."""

    def forward(self, faces: Tensor) -> Tensor:
        red = (faces[:, 0] - faces[:, 1]).mean((1, 2))
        return torch.stack([10 * red, torch.ones_like(red)], 1)


def test_a_gallery_judges_the_same_photos_at_each_of_its_operating_points() -> None:
    faces = torch.full((3, 3, 224, 224), 0.4)
    red, grey = torch.zeros(1, 3, 64, 176), torch.full((2, 3, 64, 176), 0.5)
    red[:, 0], grey[1, 0] = 0.9, 0.6
    gallery = Gallery(
        Embedder(Redness(), name="redness"), {"Ann": faces[:1], "Bob": faces[:1] * 0}, threshold=0.1
    ).eval()
    worn = FIXED.wear(faces, red, torch.arange(3))
    apart = float(gallery.distances(worn)[0, 0])
    gallery.points = tuple(
        OperatingPoint(false_accept_rate=rate, threshold=apart * share, comparisons=99, people=9)
        for rate, share in ((0.1, 1.5), (0.01, 0.7), (0.001, 0.01))
    )

    def measured_at(rate: float) -> list[SurvivalPoint]:
        victim = gallery.at(rate)
        goal = resolve_goal(Dodge("Ann"), victim)
        return measure_survival(victim, goal, faces, red, grey, axes={"yaw": (20.0, 0.0)})

    found = measured_at(0.1)
    for number, point in enumerate(gallery.points):
        there = measured_at(point.false_accept_rate)
        for here, other in zip(found, there, strict=True):
            told = here.operating_points[number]
            assert (told.false_accept_rate, told.threshold) == (
                point.false_accept_rate, point.threshold,
            )  # fmt: skip
            # Logits moved to a threshold are those at it but for rounding.
            for name in ("worn", "benign", "bare"):
                mine, own = getattr(told, name), getattr(other, name)
                assert (mine.success_rate, mine.images) == (own.success_rate, own.images)
                assert mine.mean_probability == pytest.approx(own.mean_probability, abs=1e-4)
    assert [one.worn.success_rate for one in found[1].operating_points] == [0, 1, 1]
    assert [one.benign.success_rate for one in found[1].operating_points] == [0, 0, 0.5]


def test_a_black_box_is_not_asked_for_scoring() -> None:
    victim = agns.BlackBox(RedOnTheFrame(), budget=1)
    faces, grey = torch.full((2, 3, 224, 224), 0.4), torch.full((1, 3, 64, 176), 0.5)
    found = measure_survival(victim, Dodge(subject=0), faces, grey, grey, axes={"yaw": (0.0,)})
    assert (found[0].worn.images, victim.queries) == (2, 0)
