"""A frame on paper, measured in the PDF file itself."""

import re
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from agns.accessory.frame import frame_mask
from agns.accessory.printability import assumed_palette
from agns.data.simulation.drawn_frames import draw_frames
from agns.errors import ConfigError
from agns.evaluation.print_sheet import PrintSheet, printed_picture, write_print_sheet
from agns.images import from_pixels

POINT = 25.4 / 72
"""Millimetres."""

AT = r"([-\d.]+) ([-\d.]+)"


@pytest.fixture(scope="module")
def sheet() -> PrintSheet:
    return PrintSheet(
        frame=from_pixels(draw_frames(1))[0],
        name="runs/x/frame.png",
        digest="0123456789abcdef" * 4,
        palette=assumed_palette(),
    )


def media_box(pdf: bytes) -> list[float]:
    """The sheet's corners in millimetres."""
    (found,) = re.findall(rb"/MediaBox \[ ([\d. ]+) \]", pdf)
    return [float(number) * POINT for number in found.split()]


def drawing(pdf: bytes) -> str:
    """The page's operators."""
    streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", pdf, re.DOTALL)
    texts = []
    for stream in streams:
        try:
            texts.append(zlib.decompress(stream))
        except zlib.error:
            continue
    (page,) = [text for text in texts if b" Do" in text and b" cm" in text]
    return " ".join(page.decode("latin-1").split())


def lines(operators: str) -> list[tuple[float, float, float, float]]:
    """Straight lines of two points, in millimetres: x, y, x, y."""
    found = re.findall(rf"{AT} m {AT} l S", operators)
    return [tuple(float(number) * POINT for number in one) for one in found]  # type: ignore[misc]


def outlines_of(operators: str) -> list[Float[Tensor, "vertices 2"]]:
    """Longer polygons, in millimetres."""
    found = re.findall(r"[-\d.]+ [-\d.]+ m (?:[-\d.]+ [-\d.]+ l ){40,}h", operators)
    numbers = [[float(n) for n in re.findall(r"-?[\d.]+", one)] for one in found]
    return [torch.tensor(some, dtype=torch.float64).reshape(-1, 2) * POINT for some in numbers]


@pytest.fixture(scope="module")
def plain(sheet: PrintSheet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sheet as it is by default."""
    path = tmp_path_factory.mktemp("sheets") / "plain.pdf"
    write_print_sheet(path, sheet)
    return path


@pytest.fixture(scope="module")
def other(sheet: PrintSheet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sheet with all that may be otherwise."""
    path = tmp_path_factory.mktemp("sheets") / "other.pdf"
    palette = torch.rand(512, 3, generator=torch.Generator().manual_seed(0))
    write_print_sheet(path, replace(sheet, palette=palette, paper="letter", width=100, marks=True))
    return path


def check_scale(path: Path, *, paper: tuple[float, float], width: float, pictures: int) -> None:
    pdf = path.read_bytes()
    assert media_box(pdf) == pytest.approx([0, 0, *paper], abs=0.01)
    operators = drawing(pdf)
    level = [abs(x2 - x1) for x1, y1, x2, y2 in lines(operators) if abs(y2 - y1) < 1e-3]
    assert sum(abs(length - 50) < 0.01 for length in level) == 1
    widths = [float(one[:, 0].max() - one[:, 0].min()) for one in outlines_of(operators)]
    # The outer outline clips and is drawn, of both copies; the others are lenses.
    assert sum(abs(one - width) < 0.02 for one in widths) == 4
    assert max(widths) == pytest.approx(width, abs=0.02)
    found = re.findall(r"([-\d.]+) 0 0 ([-\d.]+) [-\d.]+ [-\d.]+ cm /I\d+ Do", operators)
    # 165.19 pixels lie between the temples of 176.
    for across, down in found:
        assert abs(float(across)) * POINT == pytest.approx(176 / 165.1875 * width, abs=0.02)
        assert abs(float(down)) * POINT == pytest.approx(64 / 165.1875 * width, abs=0.02)
    assert len(found) == pictures


def test_paper_line_outlines_and_pictures_are_as_large_as_they_say(plain: Path) -> None:
    check_scale(plain, paper=(210, 297), width=140, pictures=2)


def test_they_are_so_too_on_letter_paper_with_marks_on_both_copies(other: Path) -> None:
    check_scale(other, paper=(215.9, 279.4), width=100, pictures=4)


def test_every_colour_of_a_palette_has_a_patch_on_the_paper(plain: Path, other: Path) -> None:
    for path, colors in ((plain, 30), (other, 512)):
        fills = re.findall(r"[\d.]+ [\d.]+ [\d.]+ rg", drawing(path.read_bytes()))
        # Greys are told otherwise.
        assert colors - 4 <= len(fills)


def test_the_same_sheet_gives_the_same_bytes(
    sheet: PrintSheet, plain: Path, tmp_path: Path
) -> None:
    write_print_sheet(tmp_path / "again.pdf", sheet)
    assert (tmp_path / "again.pdf").read_bytes() == plain.read_bytes()


def test_colours_are_the_frames_own_and_go_on_beyond_the_silhouette() -> None:
    frame = torch.full((3, 64, 176), 0.3) * frame_mask() + 1 - frame_mask()
    fine = printed_picture(frame)
    assert fine.shape == (3, 512, 1408)
    near = torch.nn.functional.max_pool2d(frame_mask()[None], 5, 1, 2)[0] > 0
    shown = torch.nn.functional.avg_pool2d(fine[None], 8)[0]
    assert torch.allclose(shown[:, near], torch.tensor(0.3), atol=1e-5)
    speckled = torch.rand(3, 64, 176, generator=torch.Generator().manual_seed(0))
    inner = -torch.nn.functional.max_pool2d(-frame_mask()[None], 3, 1, 1)[0] > 0
    centres = printed_picture(speckled).reshape(3, 64, 8, 176, 8)[:, :, 3:5, :, 3:5].mean((2, 4))
    assert float((centres - speckled)[:, inner].abs().max()) < 0.15


@pytest.mark.parametrize("width", [0.0, 59.0, 175.0, float("nan"), float("inf")])
def test_widths_that_no_face_has_or_the_paper_lacks_are_refused(
    sheet: PrintSheet, width: float
) -> None:
    with pytest.raises(ConfigError, match="from 60 to 168 mm"):
        replace(sheet, width=width)
