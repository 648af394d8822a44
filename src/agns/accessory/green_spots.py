"""Small green spots in a photo, whatever its light: what may be marks of a frame.

Green is what the green channel has beyond both others; a spot is where that rises above what
surrounds it, and ends where it has fallen half-way. No colour and no brightness is fixed.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional

from agns.types import Image

_REACH = 12
"""Pixels from a spot's brightest to the borders of the window that must hold all of it."""

_RING = 9
"""Pixels from a spot's brightest at which its surroundings begin."""

_AREAS = (8, 150)
_LONGEST = 3.2
"""Length over width of the longest spot that is taken."""

_FULLEST = 0.6
"""Share of a rectangle with the spot's moments that it must fill: leaves are ragged."""

_GREENEST = 0.13
"""Least of a spot's green that red and blue must lack, as a share of its green."""

_WEAKEST = 0.04
"""Least rise above the surroundings, in [0, 1]; more where the photo is noisy."""

_MOST = 64
"""Spots kept, those that rise highest: a bound on the search among them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spots:
    """What may be marks, in no order."""

    centres: Float[Tensor, "spots 2"]
    """(x, y) in pixels."""
    areas: Float[Tensor, " spots"]
    """In pixels."""
    rises: Float[Tensor, " spots"]
    """How much greener than its surroundings each is at its greenest, in [0, 1]."""


def greenness(photo: Image) -> Float[Tensor, "height width"]:
    """What green has beyond red and blue, in [-1, 1]."""
    return photo[1] - torch.maximum(photo[0], photo[2])


def green_spots(photo: Image) -> Spots:
    """Find compact green spots, each whole within the photo, about as large as marks.

    Args:
        photo: In [0, 1].
    """
    green = greenness(photo)
    smooth = _smoothed(green)
    seeds = _peaks(smooth)
    window = torch.arange(-_REACH, _REACH + 1)
    rows, columns = seeds[:, 0, None, None] + window[:, None], seeds[:, 1, None, None] + window
    there = _within(rows, columns, smooth.shape)
    rows, columns = (rows.clamp(0, smooth.shape[0] - 1), columns.clamp(0, smooth.shape[1] - 1))
    around = smooth[rows, columns]
    ring = torch.maximum(window.abs()[:, None], window.abs()) >= _RING
    base = around[:, ring].median(1).values.clamp_min(0)
    rises = smooth[seeds[:, 0], seeds[:, 1]] - base
    bodies = _grown((around >= (base + rises / 2)[:, None, None]) & there)
    weights = (green[rows, columns] - base[:, None, None]).clamp_min(0)
    weights = weights * (_spread(bodies) & there)
    colours = (photo[:, rows, columns] * bodies).sum((2, 3)) / bodies.sum((1, 2))
    areas = bodies.sum((1, 2)).float()
    kept = (
        (rises >= _least_rise(smooth))
        & (areas >= _AREAS[0])
        & (areas <= _AREAS[1])
        & _whole(bodies, rows, columns, smooth.shape)
        & _compact(bodies, areas)
        & (greenness(colours[:, None])[0] >= _GREENEST * colours[1])
    )
    places = torch.stack([columns.expand_as(bodies), rows.expand_as(bodies)], -1).float()
    total = weights.sum((1, 2)).clamp_min(1e-9)
    centres = (places * weights[..., None]).sum((1, 2)) / total[:, None]
    return _strongest(centres[kept], areas[kept], rises[kept])


def _smoothed(green: Float[Tensor, "height width"]) -> Float[Tensor, "height width"]:
    """Averaged over 3x3 pixels with binomial weights."""
    line = green.new_tensor([0.25, 0.5, 0.25])
    padded = functional.pad(green[None, None], (1, 1, 1, 1), mode="replicate")
    return functional.conv2d(padded, (line[:, None] * line)[None, None])[0, 0]


def _peaks(smooth: Float[Tensor, "height width"]) -> Int64[Tensor, "spots 2"]:
    """(row, column) of the pixels that none within two pixels exceeds, if green at all."""
    highest = functional.max_pool2d(smooth[None], 5, stride=1, padding=2)[0]
    seeds = ((smooth == highest) & (smooth >= _WEAKEST)).nonzero()
    order = smooth[seeds[:, 0], seeds[:, 1]].argsort(descending=True, stable=True)
    return seeds[order[: 8 * _MOST]]


def _least_rise(smooth: Float[Tensor, "height width"]) -> float:
    """The rise that noise does not reach: five times its spread between next neighbours."""
    steps = (smooth[:, 2:] - smooth[:, :-2]).abs().median()
    return max(_WEAKEST, 5 * float(steps) / 0.954)


def _within(
    rows: Int64[Tensor, "spots side 1"],
    columns: Int64[Tensor, "spots 1 side"],
    size: torch.Size,
) -> Bool[Tensor, "spots side side"]:
    return (rows >= 0) & (rows < size[0]) & (columns >= 0) & (columns < size[1])


def _spread(bodies: Bool[Tensor, "spots side side"]) -> Bool[Tensor, "spots side side"]:
    """Grown by a pixel to all sides."""
    return functional.max_pool2d(bodies[:, None].float(), 3, stride=1, padding=1)[:, 0] > 0


def _grown(open_: Bool[Tensor, "spots side side"]) -> Bool[Tensor, "spots side side"]:
    """What of each window hangs together with its middle."""
    bodies = torch.zeros_like(open_)
    bodies[:, _REACH, _REACH] = open_[:, _REACH, _REACH]
    while True:
        larger = _spread(bodies) & open_
        if torch.equal(larger, bodies):
            return bodies
        bodies = larger


def _whole(
    bodies: Bool[Tensor, "spots side side"],
    rows: Int64[Tensor, "spots side 1"],
    columns: Int64[Tensor, "spots 1 side"],
    size: torch.Size,
) -> Bool[Tensor, " spots"]:
    """Whether spots reach neither their window's border nor the photo's, where they may go on."""
    border = torch.ones_like(bodies[0])
    border[1:-1, 1:-1] = False
    last = (rows == 0) | (rows == size[0] - 1) | (columns == 0) | (columns == size[1] - 1)
    return ~(bodies & (border | last)).any(2).any(1)


def _compact(
    bodies: Bool[Tensor, "spots side side"], areas: Float[Tensor, " spots"]
) -> Bool[Tensor, " spots"]:
    """Whether spots are about as full and as short as a mark seen aslant."""
    window = torch.arange(-_REACH, _REACH + 1, dtype=torch.float32)
    weights = bodies / areas.clamp_min(1)[:, None, None]
    x, y = weights.sum(1) @ window, weights.sum(2) @ window
    # A pixel has an extent of its own: a twelfth along each axis.
    xx = weights.sum(1) @ window**2 - x**2 + 1 / 12
    yy = weights.sum(2) @ window**2 - y**2 + 1 / 12
    xy = (weights * window[:, None] * window).sum((1, 2)) - x * y
    root = (((xx - yy) / 2) ** 2 + xy**2).sqrt()
    large, small = (xx + yy) / 2 + root, ((xx + yy) / 2 - root).clamp_min(1e-6)
    fill = areas / (12 * (large * small).sqrt())
    return (large <= _LONGEST**2 * small) & (fill >= _FULLEST)


def _strongest(
    centres: Float[Tensor, "spots 2"],
    areas: Float[Tensor, " spots"],
    rises: Float[Tensor, " spots"],
) -> Spots:
    """The spots that rise highest, each once though several of its pixels were peaks."""
    order = rises.argsort(descending=True, stable=True)
    centres, areas, rises = centres[order], areas[order], rises[order]
    near = torch.cdist(centres, centres) < 3
    kept = ~near.tril(-1).any(1)
    return Spots(
        centres=centres[kept][:_MOST], areas=areas[kept][:_MOST], rises=rises[kept][:_MOST]
    )
