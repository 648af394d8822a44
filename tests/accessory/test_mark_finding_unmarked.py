from collections.abc import Callable
from pathlib import Path

import pytest

from agns.accessory.mark_finding import find_marks
from agns.data.simulation.synthetic import SyntheticConfig, draw_faces
from agns.errors import MarksNotFound
from agns.images import from_pixels, read_image


def test_no_marks_are_made_up_on_drawn_faces() -> None:
    pixels, _ = draw_faces(SyntheticConfig(identities=8, photos=2, seed=1))
    for face in from_pixels(pixels):
        with pytest.raises(MarksNotFound, match="expected 7 green marks in the photo, found "):
            find_marks(face)


def test_no_marks_are_made_up_on_a_hundred_real_faces(data_path: Callable[[str], Path]) -> None:
    paths = sorted(data_path("data/lfw143").rglob("*.jpg"))[::41][:100]
    assert len(paths) == 100
    for path in paths:
        with pytest.raises(MarksNotFound):
            find_marks(read_image(path)[:, 13:237, 13:237].contiguous(), name=str(path))
