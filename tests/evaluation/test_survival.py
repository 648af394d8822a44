import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from agns.accessory.frame import silhouette
from agns.attack.goals import Dodge
from agns.evaluation.survival import SurvivalPoint, draw_survival, measure_survival
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
