"""How far a frame's colours lie from those that a printer reproduces.

Convention:
    A palette is what comes out of the printer, RGB in [0, 1], one row a colour. Its file has one
    colour a line, `r,g,b`, in whole numbers from 0 to 255; empty lines and lines that begin with
    `#` say nothing.
"""

import functools
import itertools
import math
from pathlib import Path
from typing import TypeAlias

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from agns.accessory.frame import frame_mask
from agns.errors import ConfigError, DataError
from agns.types import Frames

Palette: TypeAlias = Float[Tensor, "colors 3"]

MOST_COLORS = 512
"""As many colours a palette may have: each is looked at for each pixel."""

# Assumed, not measured: the share of red, green and blue light that paper gives back, and that a
# full coat of cyan, magenta, yellow and black ink lets through.
_PAPER = (0.85, 0.85, 0.85)
_INKS = ((0.06, 0.40, 0.75), (0.70, 0.06, 0.25), (0.90, 0.75, 0.06), (0.03, 0.03, 0.03))
_GAMMA = 2.2

# Nearer than this, in [0, 1], a pixel has a palette's colour.
_SAME = 1e-6
_LEVELS = 16


@functools.cache
def assumed_palette() -> Palette:
    """Thirty colours of a printer that nobody measured; the stand-in for a palette of one's own.

    Sharif et al. 2016 (section 4.3.3) printed a chart, photographed it, and took thirty colours
    from the photo. Here inks on paper are assumed: cyan, magenta and yellow, each covering none,
    half, or all of it (27 mixes), and black covering one, two, or three thirds. The light that
    comes back is the paper's, times `1 - a (1 - t)` for each ink that covers the share `a` and
    lets the share `t` through, and its root of order 2.2 is the colour.

    Returns:
        (30, 3), in [0, 1]; the same tensor at each call.
    """
    mixes = [(*mix, 0.0) for mix in itertools.product((0.0, 0.5, 1.0), repeat=3)]
    mixes += [(0.0, 0.0, 0.0, thirds / 3) for thirds in (1, 2, 3)]
    covered = torch.tensor(mixes, dtype=torch.float64)[:, :, None]
    through = torch.tensor(_INKS, dtype=torch.float64)
    light = torch.tensor(_PAPER, dtype=torch.float64) * (1 - covered * (1 - through)).prod(1)
    return light.pow(1 / _GAMMA).float()


def check_palette(palette: str | None, weight: float) -> None:
    """Refuse a palette that nothing is weighed by.

    Raises:
        ConfigError: It is given, and non-printability has no weight.
    """
    if palette is not None and weight == 0:
        raise ConfigError(f"a palette, {palette}, must come with an nps_weight above 0")


def palette_at(path: str | None) -> Palette:
    """The palette in a file, or `assumed_palette` where there is none.

    Raises:
        ConfigError: There is no such file.
        DataError: It is no palette; see `read_palette`.
    """
    return assumed_palette() if path is None else read_palette(Path(path))


def read_palette(path: Path) -> Palette:
    """Read a palette of 1 to `MOST_COLORS` colours in the file's order; see the convention above.

    Raises:
        ConfigError: There is no such file.
        DataError: A line is no colour, or one that came before, and the sentence names the line;
            or there are too few or too many colours.
    """
    if not path.is_file():
        raise ConfigError(f"there is no palette {path}")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as text: {error}") from error
    found: dict[tuple[int, ...], int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        color = _color(line)
        if color is None:
            raise DataError(
                f"{path}, line {number}: expected a colour r,g,b in whole numbers from 0 to 255, "
                f"got {line.strip()[:40]!r}"
            )
        if color in found:
            raise DataError(f"{path}, line {number}: the colour of line {found[color]} comes again")
        found[color] = number
    if not 1 <= len(found) <= MOST_COLORS:
        raise DataError(f"{path} should have from 1 to {MOST_COLORS} colours, got {len(found)}")
    return torch.tensor(list(found), dtype=torch.float32) / 255


def _color(line: str) -> tuple[int, ...] | None:
    parts = [part.strip() for part in line.split(",")]
    # Three digits at most: int() would take signs, underscores and other scripts' digits too.
    if len(parts) != 3 or not all(p.isascii() and p.isdigit() and len(p) <= 3 for p in parts):
        return None
    color = tuple(int(part) for part in parts)
    return color if max(color) <= 255 else None


def non_printability(frames: Frames, palette: Palette) -> Float[Tensor, " frames"]:
    """The non-printability score of Sharif et al. 2016 (section 4.3.3), per frame.

    A pixel's score is the product of its distances to all colours of the palette: 0 on each of
    them, large far from all. The paper's sum over pixels is a mean over those on the silhouette
    here, and is divided by what 16x16x16 evenly spaced colours of the RGB cube score on average, so
    that figures do not hang on the palette's size. Most of that average comes from the cube's
    corners, as products make the most of large distances: the furthest of them may score thousands,
    noise scores a little below 1, and usual frames far below.

    Args:
        frames: 64x176 crops in [0, 1]; differentiable in them, with a gradient of 0 where a pixel
            has a colour of the palette, to a millionth.
        palette: At least one colour.

    Returns:
        At least 0. Products are taken as sums of logarithms, in double precision.
    """
    palette = palette.double()
    pixels = frames[:, :, frame_mask().bool()].double()
    levels = torch.linspace(0, 1, _LEVELS, dtype=torch.float64)
    cube = torch.cartesian_prod(levels, levels, levels).T[None]
    usual = _log_products(cube, palette).logsumexp(1) - 3 * math.log(_LEVELS)
    return (_log_products(pixels, palette) - usual).exp().mean(1).to(frames.dtype)


def _log_products(
    pixels: Float64[Tensor, "frames 3 pixels"], palette: Float64[Tensor, "colors 3"]
) -> Float64[Tensor, "frames pixels"]:
    """Logarithm of each pixel's product of distances."""
    # Colour by colour: all at once, the differences of a few hundred frames would fill gigabytes.
    logs = pixels.new_zeros(len(pixels), pixels.shape[2])
    for color in palette:
        squares = (pixels - color[:, None]).square().sum(1)
        # Clamped, so that the branch not taken has a finite gradient.
        apart = squares.clamp_min(_SAME**2).log() / 2
        logs = logs + torch.where(squares > _SAME**2, apart, -torch.inf)
    return logs
