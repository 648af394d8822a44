"""A frame as a sheet to print at true scale and to cut out.

Convention:
    Millimetres from the sheet's top-left corner, y downwards; the sheet stands upright.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path as Outline
from matplotlib.transforms import Affine2D
from torch import Tensor
from torch.nn import functional

from agns.accessory.frame import FRAME_COLUMNS, FRAME_ROWS, frame_mask, outlines
from agns.accessory.marks import GREEN, MARKS, mark_coverage
from agns.accessory.printability import Palette
from agns.errors import ConfigError
from agns.evaluation.lettering import letter
from agns.writing import replacing

Paper: TypeAlias = Literal["a4", "letter"]

PAPERS: dict[Paper, tuple[float, float]] = {"a4": (210.0, 297.0), "letter": (215.9, 279.4)}
"""Width and height in millimetres."""

NARROWEST = 60.0
"""Millimetres of the smallest frame that is printed: about a doll's."""

_INCH = 25.4
_POINT = 72 / _INCH
"""Points in a millimetre, of which lines' widths and letters' heights are told."""

_MARGIN = 15.0
"""Millimetres that most printers leave white, and crop marks need."""

_FINER = 8
"""Printed pixels in one of the frame's, each way."""

_SPREAD = 3
"""Pixels by which colours go on beyond the silhouette, for the outline cuts through pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrintSheet:
    """What is printed, and how large."""

    frame: Float[Tensor, "3 64 176"]
    """In [0, 1]; what lies off the silhouette is not printed."""

    name: str
    """The frame's, for the heading."""

    digest: str | None
    """SHA-256 of its file, for the heading, where it has one."""

    palette: Palette
    """Colours of the patches."""

    width: float = 140.0
    """Millimetres across the silhouette, from temple to temple."""

    paper: Paper = "a4"

    marks: bool = False
    """Whether the seven green marks are on the frame."""

    def __post_init__(self) -> None:
        most = math.floor((PAPERS[self.paper][0] - 2 * _MARGIN) / _columns() * _pixels_across())
        # Written so that NaN fails too.
        if not NARROWEST <= self.width <= most:
            raise ConfigError(
                f"a frame on {self.paper} paper must be from {NARROWEST:g} to {most} mm wide, "
                f"got {self.width:g}"
            )

    @property
    def scale(self) -> float:
        """Millimetres of one pixel of the frame."""
        return self.width / _pixels_across()


def write_print_sheet(path: Path, sheet: PrintSheet) -> None:
    """Write a sheet as a PDF file of one page, atomically; the same sheet gives the same bytes.

    On it are the frame, with crop marks at its 64x176 picture's corners and its outline to cut; the
    same mirrored; a line of 50 mm to check the scale by; and patches of the palette's colours.
    """
    width, height = PAPERS[sheet.paper]
    figure = Figure(figsize=(width / _INCH, height / _INCH))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    left = (width - _columns() * sheet.scale) / 2
    tall = (FRAME_ROWS[1] - FRAME_ROWS[0]) * sheet.scale
    _write(axes, _MARGIN, 18, "agns: a frame to print", size=13)
    for line, words in enumerate(_heading(sheet)):
        _write(axes, _MARGIN, 25 + 4.2 * line, words, size=7.5)
    _draw_ruler(axes, 50)
    picture = printed_picture(sheet.frame)
    _draw_frame(axes, sheet, picture, left, 65, mirrored=False)
    _write(axes, left + 3, 65 + tall + 7, "To wear: seen from the front.", size=7.5)
    second = 65 + tall + 20
    _draw_frame(axes, sheet, picture, left, second, mirrored=True)
    _write(axes, left + 3, second + tall + 7, "Mirrored: for the back, or for transfers.", size=7.5)
    _draw_patches(axes, sheet.palette, second + tall + 16, width, height)
    letter(figure)
    FigureCanvasPdf(figure)
    about = {"Title": f"agns: {sheet.digest or sheet.name}", "CreationDate": None}
    with replacing(path) as temporary:
        figure.savefig(temporary, format="pdf", metadata=about)


def _columns() -> int:
    return FRAME_COLUMNS[1] - FRAME_COLUMNS[0]


def _pixels_across() -> float:
    """Pixels from temple to temple."""
    x = outlines()[0][:, 0]
    return float(x.max() - x.min())


def _heading(sheet: PrintSheet) -> list[str]:
    name = sheet.name if len(sheet.name) <= 90 else f"…{sheet.name[-89:]}"
    return [
        name,
        f"SHA-256 {sheet.digest}" if sheet.digest else "Drawn by agns",
        f"{sheet.width:g} mm from temple to temple; a pixel is {sheet.scale:.4f} mm, scale 1:1.",
        "Print at 100 % (actual size), not fitted to the page; the line below must be 50 mm long.",
        "For recognisers that you are allowed to test.",
    ]


def _write(
    axes: Axes, x: float, y: float, words: str, *, size: float, middle: bool = False
) -> None:
    side = "center" if middle else "left"
    axes.text(x, y, words, fontsize=size, ha=side, va="baseline", parse_math=False)


def _line(axes: Axes, x: tuple[float, float], y: tuple[float, float]) -> None:
    axes.plot(x, y, color="black", linewidth=0.2 * _POINT, solid_capstyle="butt")


def _draw_ruler(axes: Axes, y: float) -> None:
    _line(axes, (_MARGIN, _MARGIN + 50), (y, y))
    for tick in range(6):
        x = _MARGIN + 10.0 * tick
        _line(axes, (x, x), (y - (2.5 if tick in (0, 5) else 1.2), y))
    _write(axes, _MARGIN + 52, y, "50 mm", size=8)


def printed_picture(frame: Float[Tensor, "3 64 176"]) -> Float[Tensor, "3 512 1408"]:
    """The frame in fine pixels, its colours going on beyond the silhouette."""
    known = frame_mask()[None, None]
    colors = frame[None] * known
    for _ in range(_SPREAD):
        count = functional.avg_pool2d(known, 3, 1, 1)
        near = functional.avg_pool2d(colors, 3, 1, 1) / count.clamp_min(1e-6)
        colors = torch.where(known > 0, colors, near * (count > 0))
        known = (count > 0).float()
    # Between pixels as `geometry.warp` samples, which the attack's steps reckon with.
    fine: Tensor = functional.interpolate(
        colors, scale_factor=_FINER, mode="bilinear", align_corners=False
    )[0]
    return fine.clamp(0, 1)


def _marks() -> Float[Tensor, "4 height width"]:
    """The marks in fine pixels, RGB and opacity."""
    rows, columns = (
        start - 0.5 + (torch.arange(_FINER * (end - start)) + 0.5) / _FINER
        for start, end in (FRAME_ROWS, FRAME_COLUMNS)
    )
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    centre_x, centre_y = torch.tensor(MARKS)[:, :, None, None].unbind(1)
    opaque = mark_coverage(x - centre_x, y - centre_y).amax(0) >= 0.5
    green = torch.tensor(GREEN)[:, None, None].expand(3, *opaque.shape)
    return torch.cat([green, opaque[None]])


def _draw_frame(
    axes: Axes,
    sheet: PrintSheet,
    picture: Float[Tensor, "3 512 1408"],
    left: float,
    top: float,
    *,
    mirrored: bool,
) -> None:
    """One copy of the frame, the corner of its 64x176 picture at (left, top)."""
    (first_row, last_row), first = FRAME_ROWS, FRAME_COLUMNS[0]
    wide, tall = _columns() * sheet.scale, (last_row - first_row) * sheet.scale
    # Outlines count from pixels' centres, the picture from its first pixel's corner.
    place = Affine2D().translate(0.5 - first, 0.5 - first_row).scale(sheet.scale)
    if mirrored:
        place = place.scale(-1, 1).translate(wide, 0)
    on_sheet = place.translate(left, top) + axes.transData
    cut = Outline.make_compound_path(
        *(Outline(polygon.numpy(), closed=True) for polygon in map(_ended, outlines()))
    )
    box = (left, left + wide, top + tall, top)

    def paint(picture: Float[Tensor, "colors height width"]) -> AxesImage:
        turned = picture.flip(2) if mirrored else picture
        pixels = (turned * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
        return axes.imshow(pixels, extent=box, interpolation="none", aspect="auto")

    paint(picture).set_clip_path(cut, on_sheet)
    axes.add_patch(
        PathPatch(cut, transform=on_sheet, fill=False, edgecolor="0.35", linewidth=0.1 * _POINT)
    )
    if sheet.marks:
        # Not clipped: some reach beyond the outline.
        paint(_marks()).set_zorder(2)
    axes.set_xlim(0, PAPERS[sheet.paper][0])
    axes.set_ylim(PAPERS[sheet.paper][1], 0)
    for x, outward in ((left, -1), (left + wide, 1)):
        for y, down in ((top, -1), (top + tall, 1)):
            _line(axes, (x + 2 * outward, x + 7 * outward), (y, y))
            _line(axes, (x, x), (y + 2 * down, y + 7 * down))


def _ended(polygon: Float[Tensor, "vertices 2"]) -> Float[Tensor, "more 2"]:
    """A polygon with its first vertex again at the end, as a closed path has it."""
    return torch.cat([polygon, polygon[:1]])


def _draw_patches(axes: Axes, palette: Palette, top: float, width: float, height: float) -> None:
    """The palette row by row, each colour numbered where there is room."""
    wide, tall = width - 2 * _MARGIN, height - _MARGIN - top - 4
    _write(axes, _MARGIN, top, "The palette's colours, in its order, row by row", size=7.5)
    side = min(10.0, math.sqrt(wide * tall / len(palette)))
    while (columns := int(wide / side)) * int(tall / side) < len(palette):
        side *= 0.98
    numbered = side >= 6
    for index, color in enumerate(palette.tolist()):
        x = _MARGIN + side * (index % columns)
        y = top + 3 + side * (index // columns)
        inner = side * (0.7 if numbered else 0.92)
        axes.add_patch(Rectangle((x, y), inner, inner, facecolor=color, edgecolor="none"))
        if numbered:
            _write(axes, x + inner / 2, y + 0.95 * side, str(index + 1), size=4.5, middle=True)
