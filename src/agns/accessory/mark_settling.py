"""Where found marks are exactly: a mark's shape, laid where it fits best.

A mark that touches something of its own colour is cut out badly, and JPEG lets colours run. How
large the marks are and how they lie is known, though, and the seven spots tell how the frame is
turned. So each pixel's colour is weighed, and the mark is put where its shape holds most of what
looks like it and the rim around it least.

The shape has sharp edges. In photos blurred by two pixels and more the spots' own centres are a
fifth of a pixel better in the median.
"""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from agns.accessory.marks import MARKS, mark_coverage
from agns.geometry import transform_points
from agns.types import Homographies, Image

_REACH = 12
"""Pixels from a mark's middle to the borders of the window that is looked at."""

_FARTHEST = 3
"""Pixels along each axis by which a mark may be moved."""

_RIM = 1.5
"""Pixels on the frame's canvas around a mark that should not look like it."""

_AROUND = (1.0, 6.0)
"""The same, from where to where the surroundings lie that it is told from."""

_ALIKE = (0.2, 0.02)
"""Standard deviation of colours that count as one: as a share of the mark's brightest channel, and
at least, in [0, 1]."""

_TIMID = 1.5e-2
"""What moving a mark costs, per squared pixel: JPEG lets colours run by about one."""


def settle_marks(
    photo: Image, centres: Float[Tensor, "7 2"], homography: Homographies
) -> Float[Tensor, "7 2"]:
    """Move the centres of marks to where their shapes fit best.

    Args:
        photo: In [0, 1], on the CPU.
        centres: About where the marks are, in pixels, in the order of `MARKS`.
        homography: From the frame's canvas to the photo, (3, 3).

    Returns:
        The centres, each at most 3 pixels away along each axis; those whose window reaches
        beyond the photo are left as they are.
    """
    middles = centres.round().long()
    sides = torch.tensor([photo.shape[2], photo.shape[1]])
    inside = ((middles >= _REACH) & (middles < sides - _REACH)).all(1)
    window = torch.arange(-_REACH, _REACH + 1)
    held = torch.where(inside[:, None], middles, _REACH)
    rows, columns = held[:, 1, None, None] + window[:, None], held[:, 0, None, None] + window
    colours = photo[:, rows, columns].transpose(0, 1)
    back = torch.linalg.inv(_stretch(homography)).float()
    off = (centres - middles).float()
    resemblance = _resemblance(colours, back, off)

    steps = torch.arange(-_FARTHEST, _FARTHEST + 1, dtype=torch.float32)
    down, right = torch.meshgrid(steps, steps, indexing="ij")
    moves = torch.stack([right, down], -1).flatten(0, 1)
    fits = _fit(resemblance, back, off, moves) - _TIMID * moves.square().sum(1)
    peaks = _peaks(fits.unflatten(1, down.shape)) - _FARTHEST
    return torch.where(inside[:, None], centres + peaks.to(centres), centres)


def _stretch(homography: Homographies) -> Float[Tensor, "7 2 2"]:
    """How a small step on the frame's canvas shows in the photo, at each mark."""
    marks = torch.tensor(MARKS, dtype=torch.float64)
    steps = torch.tensor([[0.0, 0.0], [1e-3, 0.0], [0.0, 1e-3]], dtype=torch.float64)
    seen = transform_points((marks[:, None] + steps).flatten(0, 1), homography.double())
    start, right, down = seen.unflatten(0, (7, 3)).unbind(1)
    return torch.stack([right - start, down - start], -1) / 1e-3


def _covered(
    back: Float[Tensor, "7 2 2"],
    off: Float[Tensor, "7 2"],
    moves: Float[Tensor, "moves 2"],
    wider: float = 0,
) -> Float[Tensor, "7 moves side side"]:
    """The share of each window's pixels that the marks, moved, would cover."""
    window = torch.arange(-_REACH, _REACH + 1, dtype=torch.float32)
    down, right = torch.meshgrid(window, window, indexing="ij")
    steps = torch.stack([right, down]) - (off[:, None] + moves)[..., None, None]
    x, y = torch.einsum("mij,mnjhw->imnhw", back, steps)
    return mark_coverage(x, y, wider=wider)


def _resemblance(
    colours: Float[Tensor, "7 3 side side"], back: Float[Tensor, "7 2 2"], off: Float[Tensor, "7 2"]
) -> Float[Tensor, "7 side side"]:
    """How much each pixel looks like the mark rather than what surrounds it, in [0, 1].

    Kernel densities: surroundings may be of several colours, dark frame and bright wall, and a mark
    of one between them.
    """
    still = torch.zeros(1, 2)
    core = _covered(back, off, still)[:, 0] > 0.95
    least, most = (_covered(back, off, still, wider=wider)[:, 0] for wider in _AROUND)
    around = (least <= 0) & (most > 0)
    points = colours.flatten(2).mT
    weights = _even(core)
    share, least_spread = _ALIKE
    brightest = (weights[:, None] @ points).amax((1, 2))
    spread = (share * brightest).clamp_min(least_spread)[:, None, None]
    kernel = torch.exp(-torch.cdist(points, points).square() / (2 * spread**2))
    like, unlike = (kernel @ torch.stack([weights, _even(around)], 2)).unbind(2)
    likeness: Tensor = like / (like + unlike + 1e-12)
    return likeness.reshape(core.shape)


def _even(where: Bool[Tensor, "7 side side"]) -> Float[Tensor, "7 pixels"]:
    """Equal weights of the pixels that are meant, which sum to 1."""
    weights = where.flatten(1).float()
    return weights / weights.sum(1, keepdim=True).clamp_min(1)


def _fit(
    resemblance: Float[Tensor, "7 side side"],
    back: Float[Tensor, "7 2 2"],
    off: Float[Tensor, "7 2"],
    moves: Float[Tensor, "moves 2"],
) -> Float[Tensor, "7 moves"]:
    """The mean resemblance on each mark, less that on the rim around it."""
    on = _covered(back, off, moves)
    rim = _covered(back, off, moves, wider=_RIM) - on
    seen = resemblance[:, None]
    return (on * seen).sum((2, 3)) / on.sum((2, 3)) - (rim * seen).sum((2, 3)) / rim.sum((2, 3))


def _peaks(fits: Float[Tensor, "7 rows columns"]) -> Float[Tensor, "7 2"]:
    """(x, y) of the highest place, to fractions by the parabola through its neighbours."""
    columns = fits.shape[2]
    places = []
    for fit in fits:
        row, column = divmod(int(fit.argmax()), columns)
        places.append([column + _vertex(fit[row], column), row + _vertex(fit[:, column], row)])
    return torch.tensor(places)


def _vertex(line: Float[Tensor, " places"], top: int) -> float:
    """How far from its highest place a line's parabola peaks, in [-0.5, 0.5]."""
    if not 0 < top < len(line) - 1:
        return 0.0
    before, at, after = line[top - 1 : top + 2].tolist()
    bend = before - 2 * at + after
    return 0.5 * (before - after) / bend if not math.isclose(bend, 0) else 0.0
