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
from agns.evaluation.print_sheet import Paper, PrintSheet, printed_picture, write_print_sheet
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


@pytest.mark.parametrize(("paper", "size"), [("a4", (210.0, 297.0)), ("letter", (215.9, 279.4))])
def test_the_sheet_is_of_the_paper_and_the_line_is_of_50_mm(
    sheet: PrintSheet, tmp_path: Path, paper: Paper, size: tuple[float, float]
) -> None:
    write_print_sheet(tmp_path / "x.pdf", replace(sheet, paper=paper, width=120))
    pdf = (tmp_path / "x.pdf").read_bytes()
    assert media_box(pdf) == pytest.approx([0, 0, *size], abs=0.01)
    level = [abs(x2 - x1) for x1, y1, x2, y2 in lines(drawing(pdf)) if abs(y2 - y1) < 1e-3]
    assert sum(abs(length - 50) < 0.01 for length in level) == 1


@pytest.mark.parametrize("width", [140.0, 100.0])
def test_the_frame_is_as_wide_as_was_asked_for_and_its_mirror_image_too(
    sheet: PrintSheet, tmp_path: Path, width: float
) -> None:
    write_print_sheet(tmp_path / "x.pdf", replace(sheet, width=width))
    operators = drawing((tmp_path / "x.pdf").read_bytes())
    widths = [float(one[:, 0].max() - one[:, 0].min()) for one in outlines_of(operators)]
    # The outer outline clips and is drawn, of both copies; the others are lenses.
    assert sum(abs(one - width) < 0.02 for one in widths) == 4
    assert max(widths) == pytest.approx(width, abs=0.02)
    pictures = re.findall(r"([-\d.]+) 0 0 ([-\d.]+) [-\d.]+ [-\d.]+ cm /I\d+ Do", operators)
    scale = replace(sheet, width=width).scale
    for across, down in pictures:
        assert abs(float(across)) * POINT == pytest.approx(176 * scale, abs=0.02)
        assert abs(float(down)) * POINT == pytest.approx(64 * scale, abs=0.02)
    assert len(pictures) == 2


def test_a_sheet_with_marks_has_them_on_both_copies(sheet: PrintSheet, tmp_path: Path) -> None:
    write_print_sheet(tmp_path / "x.pdf", replace(sheet, marks=True))
    assert drawing((tmp_path / "x.pdf").read_bytes()).count(" Do") == 4


def test_the_same_sheet_gives_the_same_bytes(sheet: PrintSheet, tmp_path: Path) -> None:
    for name in ("a.pdf", "b.pdf"):
        write_print_sheet(tmp_path / name, sheet)
    assert (tmp_path / "a.pdf").read_bytes() == (tmp_path / "b.pdf").read_bytes()


def test_many_colours_become_smaller_patches(sheet: PrintSheet, tmp_path: Path) -> None:
    palette = torch.rand(512, 3, generator=torch.Generator().manual_seed(0))
    write_print_sheet(tmp_path / "x.pdf", replace(sheet, palette=palette, paper="letter"))
    fills = re.findall(r"[\d.]+ [\d.]+ [\d.]+ rg", drawing((tmp_path / "x.pdf").read_bytes()))
    assert len(fills) >= 512


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
