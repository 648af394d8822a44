"""Figures: PNG files of a sensible size that show what they are given."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as PilImage

from agns.accessory.frame import place, silhouette
from agns.accessory.wear import wear
from agns.data.faces import FaceSet
from agns.evaluation.plots import (
    Portrait,
    draw_before_after,
    draw_history,
    draw_losses,
    draw_overview,
)
from agns.images import from_pixels
from agns.models.recognizer import Recognizer
from agns.types import Image, Pixels

STEPS = [
    {"discriminator": -0.7, "recognizer": 1.5, "loss": 1.3, "probability": 0.9},
    {"discriminator": -0.8, "recognizer": 0.5, "loss": 1.2, "probability": 0.2},
]


@pytest.fixture
def frame(glasses: Pixels) -> Image:
    return from_pixels(glasses)[0]


def read(path: Path) -> np.ndarray:
    """The picture, which must be a PNG that is neither tiny, huge nor blank."""
    with PilImage.open(path) as picture:
        assert picture.format == "PNG"
        assert min(picture.size) > 150
        assert max(picture.size) < 2500
        pixels = np.asarray(picture.convert("RGB"))
    assert pixels.std() > 5
    return pixels


def before_after(path: Path, crowd: FaceSet, frame: Image, count: int, name: str = "Bob") -> None:
    faces = crowd.faces(torch.arange(count))
    logits = torch.eye(3)[torch.arange(count) % 3]
    names = ("Ann", name, "Cy")
    worn = wear(faces, place(frame[None]), silhouette())
    draw_before_after(path, faces, worn, logits, -logits, names, title=f"{name} dodges")


def test_faces_are_drawn_before_and_after(tmp_path: Path, crowd: FaceSet, frame: Image) -> None:
    # A name with the signs of a formula is drawn as it is.
    before_after(tmp_path / "few.png", crowd, frame, 2, name=r"A$\frac$")
    before_after(tmp_path / "other.png", crowd, 1 - frame, 2, name=r"A$\frac$")
    before_after(tmp_path / "many.png", crowd, frame, 8)
    few, other, many = (read(tmp_path / f"{name}.png") for name in ("few", "other", "many"))
    assert few.shape[0] == many.shape[0]
    # No more than six of the eight.
    assert many.shape[1] == pytest.approx(3 * few.shape[1], abs=3)
    # Another frame changes the lower row alone.
    rows = np.flatnonzero((few != other).any((1, 2)))
    assert len(rows) > 0
    assert rows.min() > len(few) / 2


def test_an_overview_has_a_row_for_each_portrait(
    tmp_path: Path, recognizer: Recognizer, crowd: FaceSet, frame: Image
) -> None:
    portraits = [
        Portrait(face=face, frame=frame, title="Ann dodges")
        for face in crowd.faces(torch.arange(2))
    ]
    draw_overview(tmp_path / "one.png", recognizer, portraits[:1])
    draw_overview(tmp_path / "two.png", recognizer, portraits)
    one, two = read(tmp_path / "one.png"), read(tmp_path / "two.png")
    assert two.shape[0] == pytest.approx(2 * one.shape[0], abs=2)
    assert two.shape[1] == one.shape[1]


@pytest.mark.parametrize("count", [0, 1])
def test_a_history_is_drawn_however_short(tmp_path: Path, count: int) -> None:
    draw_history(tmp_path / "history.png", STEPS[:count], 0.01)
    read(tmp_path / "history.png")


def test_a_history_that_ends_in_no_number_is_drawn_and_leaves_nothing_else(tmp_path: Path) -> None:
    broken = dict.fromkeys(STEPS[0], float("nan"))
    draw_history(tmp_path / "inner" / "history.png", [*STEPS, broken], 0.01)
    read(tmp_path / "inner" / "history.png")
    assert [path.name for path in (tmp_path / "inner").iterdir()] == ["history.png"]


def test_losses_are_drawn(tmp_path: Path) -> None:
    rows = [{"epoch": epoch, "loss": 1 / epoch, "accuracy": 0.5} for epoch in (1, 2, 3)]
    draw_losses(tmp_path / "both.png", rows, ("loss", "accuracy"))
    draw_losses(tmp_path / "one.png", rows, ("loss",))
    assert not np.array_equal(read(tmp_path / "both.png"), read(tmp_path / "one.png"))
