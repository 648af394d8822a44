"""Small green spots in a photo, whatever its light: what may be marks of a frame.

Green is what the green channel has beyond both others; a spot is where that rises above what
surrounds it, and ends half-way down. No colour and no brightness is fixed.

JPEG keeps colour at half the resolution of brightness and rounds it coarsely, so that the centre of
greenness alone is a pixel off at times. Brightness is sharp, yet skin may be as bright as a mark.
The two therefore decide together.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional

from agns.types import Image

_REACH = 12
"""Pixels from a spot's brightest to the borders of the window that must hold all of it."""

_RING = 9
"""Pixels from a spot's brightest at which its surroundings begin."""

_LEVELS = (0.5, 0.7)
"""Shares of its rise at which a spot may end: higher where it touches something green."""

_AREAS = (8, 150)
"""Fewest and most pixels of a spot."""

_LONGEST = 3.2
"""Length over width of the longest spot that is taken."""

_FULLEST = 0.6
"""Share of a rectangle with the spot's moments that it must fill: leaves are ragged."""

_GREENEST = 0.13
"""Least of a spot's green that red and blue must lack, as a share of its green."""

_WEAKEST = 0.04
"""Least rise above the surroundings, in [0, 1]; more where the photo is noisy."""

_MOST = 80
"""Spots kept, those that rise highest: a bound on the search among them."""


_LUMA = (0.299, 0.587, 0.114)

_NEAR = 8
"""Pixels to each side of a spot's greenest that belong to its neighbourhood."""

_DARK = 0.15
"""Quantile of the neighbourhood's brightness that stands for the frame's."""

_UNSURE = 0.2
"""Least share of the way from the surroundings' colour to the spot's that counts."""

_NOISE = 3e-3
"""Variance added to colours: less, and the discriminant trusts noise; more, brightness alone."""


class Spots(NamedTuple):
    """What may be marks, in no order."""

    centres: Float[Tensor, "spots 2"]
    """(x, y) in pixels."""
    areas: Float[Tensor, " spots"]
    """In pixels."""
    rises: Float[Tensor, " spots"]
    """How much greener than its surroundings each is at its greenest, in [0, 1]."""


def green_spots(photo: Image) -> Spots:
    """Find compact green spots, each whole within the photo, about as large as marks."""
    smooth = _smoothed(photo[1] - torch.maximum(photo[0], photo[2]))
    seeds = _peaks(smooth)
    window = torch.arange(-_REACH, _REACH + 1)
    rows, columns = seeds[:, 0, None, None] + window[:, None], seeds[:, 1, None, None] + window
    inner = (rows > 0) & (rows < smooth.shape[0] - 1)
    inner = inner & (columns > 0) & (columns < smooth.shape[1] - 1)
    inner[:, [0, -1]] = inner[:, :, [0, -1]] = False
    rows, columns = rows.clamp(0, smooth.shape[0] - 1), columns.clamp(0, smooth.shape[1] - 1)
    green, colours = smooth[rows, columns], photo[:, rows, columns].transpose(0, 1)
    ring = torch.maximum(window.abs()[:, None], window.abs()) >= _RING
    base = green[:, ring].median(1).values.clamp_min(0)
    rises = green[:, _REACH, _REACH] - base
    # Noise rises by less than five times its spread between next neighbours.
    steps = (smooth[:, 2:] - smooth[:, :-2]).abs().median()
    risen = rises >= max(_WEAKEST, 5 * float(steps) / 0.954)
    seeds, inner, green, colours = seeds[risen], inner[risen], green[risen], colours[risen]
    base, rises = base[risen], rises[risen]
    found = []
    for level in _LEVELS:
        bodies = _grown(green >= (base + level * rises)[:, None, None])
        kept = _marklike(bodies, inner, colours)
        # What lies lower than the level by as much as the greenest lies above it counts nothing.
        floor = (base + (2 * level - 1) * rises)[kept]
        centres = _centres(colours[kept], bodies[kept], floor)
        places = seeds[kept].flip(1) + centres
        found.append((places, bodies[kept].sum((1, 2)).float(), rises[kept]))
    centres, areas, rises = (torch.cat(parts) for parts in zip(*found, strict=True))
    order = rises.argsort(descending=True, stable=True)
    centres, areas, rises = centres[order], areas[order], rises[order]
    # Each once, though several of its pixels were peaks.
    kept = ~(torch.cdist(centres, centres) < 3).tril(-1).any(1)
    return Spots(
        centres=centres[kept][:_MOST], areas=areas[kept][:_MOST], rises=rises[kept][:_MOST]
    )


def _smoothed(green: Float[Tensor, "height width"]) -> Float[Tensor, "height width"]:
    """Averaged over 3x3 pixels with binomial weights."""
    line = green.new_tensor([0.25, 0.5, 0.25])
    padded = functional.pad(green[None, None], (1, 1, 1, 1), mode="replicate")
    return functional.conv2d(padded, (line[:, None] * line)[None, None])[0, 0]


def _peaks(smooth: Float[Tensor, "height width"]) -> Int64[Tensor, "spots 2"]:
    """(row, column) of pixels that none within two exceeds, those that stand out most first."""
    side = 2 * _REACH + 1
    # Smoothed once more: an overexposed spot is flat, and would be all peaks.
    smooth = _smoothed(smooth)
    highest = functional.max_pool2d(smooth[None], 5, stride=1, padding=2)[0]
    # Rows, then columns: a square window costs ten times as much.
    around = functional.avg_pool2d(smooth[None], (1, side), 1, (0, _REACH))
    around = functional.avg_pool2d(around, (side, 1), 1, (_REACH, 0))[0]
    seeds = ((smooth == highest) & (smooth >= _WEAKEST)).nonzero()
    beyond = (smooth - around)[seeds[:, 0], seeds[:, 1]]
    return seeds[beyond.argsort(descending=True, stable=True)[: 3 * _MOST]]


def _grown(open_: Bool[Tensor, "spots side side"]) -> Bool[Tensor, "spots side side"]:
    """What of each window hangs together with its middle."""
    bodies = torch.zeros_like(open_)
    bodies[:, _REACH, _REACH] = open_[:, _REACH, _REACH]
    while True:
        larger = _spread(bodies) & open_
        if torch.equal(larger, bodies):
            return bodies
        bodies = larger


def _marklike(
    bodies: Bool[Tensor, "spots side side"],
    inner: Bool[Tensor, "spots side side"],
    colours: Float[Tensor, "spots 3 side side"],
) -> Bool[Tensor, " spots"]:
    """Which spots have a mark's size, shape and colour, and end within window and photo."""
    areas = bodies.sum((1, 2)).float()
    red, green, blue = ((colours * bodies[:, None]).sum((2, 3)) / areas[:, None]).unbind(1)
    return (
        (areas >= _AREAS[0])
        & (areas <= _AREAS[1])
        & ~(bodies & ~inner).any(2).any(1)
        & _compact(bodies, areas)
        & (green - torch.maximum(red, blue) >= _GREENEST * green)
    )


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


def _spread(
    bodies: Bool[Tensor, "spots side side"], pixels: int = 1
) -> Bool[Tensor, "spots side side"]:
    """Grown by some pixels to all sides."""
    side = 2 * pixels + 1
    return functional.max_pool2d(bodies[:, None].float(), side, stride=1, padding=pixels)[:, 0] > 0


def _centres(
    colours: Float[Tensor, "spots 3 side side"],
    bodies: Bool[Tensor, "spots side side"],
    floor: Float[Tensor, " spots"],
) -> Float[Tensor, "spots 2"]:
    """Centres of spots, (x, y) in pixels from the middle of windows around their greenest pixels.

    What is green, by more than `floor`, and bright gives a first shape; Fisher's linear
    discriminant between the colours of its core and of its surroundings weighs the pixels.
    """
    around = _spread(bodies)
    shapes = (_green_and_bright(colours, bodies, floor) >= 0.5) & around
    shapes = torch.where(shapes.any(2).any(1)[:, None, None], shapes, bodies)
    cores = ~_spread(~shapes)
    cores = torch.where((cores.sum((1, 2)) >= 4)[:, None, None], cores, shapes)
    outside = _spread(shapes | bodies, 5) & ~_spread(shapes)
    weights = (_discriminant(colours, cores, outside) - _UNSURE).clamp_min(0) * around
    reach = bodies.shape[1] // 2
    window = torch.arange(-reach, reach + 1, dtype=weights.dtype)
    total = weights.sum((1, 2)).clamp_min(1e-9)
    x, y = weights.sum(1) @ window / total, weights.sum(2) @ window / total
    return torch.stack([x, y], 1)


def _green_and_bright(
    colours: Float[Tensor, "spots 3 side side"],
    bodies: Bool[Tensor, "spots side side"],
    floor: Float[Tensor, " spots"],
) -> Float[Tensor, "spots side side"]:
    """Greenness times brightness, each from 0 as around the spot to 1 as in it."""
    green = colours[:, 1] - torch.maximum(colours[:, 0], colours[:, 2])
    top = torch.where(bodies, green, -1).flatten(1).amax(1)
    share = (green - floor[:, None, None]) / (top - floor).clamp_min(1e-6)[:, None, None]
    luma = (colours * colours.new_tensor(_LUMA)[:, None, None]).sum(1)
    reach = luma.shape[1] // 2
    near = luma[:, reach - _NEAR : reach + _NEAR + 1, reach - _NEAR : reach + _NEAR + 1]
    ordered = near.flatten(1).sort(1).values
    dark = ordered[:, int(_DARK * ordered.shape[1])]
    light = (luma * bodies).sum((1, 2)) / bodies.sum((1, 2))
    bright = (luma - dark[:, None, None]) / (light - dark).clamp_min(1e-6)[:, None, None]
    return (1.5 * share).clamp(0, 1) * bright.clamp(0, 1)


def _discriminant(
    colours: Float[Tensor, "spots 3 side side"],
    inside: Bool[Tensor, "spots side side"],
    outside: Bool[Tensor, "spots side side"],
) -> Float[Tensor, "spots side side"]:
    """Fisher's discriminant of colours: 0 at the mean outside, 1 at the mean inside."""
    mean_in, spread_in = _moments(colours, inside)
    mean_out, spread_out = _moments(colours, outside)
    both = (spread_in + spread_out) / 2 + _NOISE * torch.eye(3)
    axis = torch.linalg.solve(both, (mean_in - mean_out)[..., None])
    along = (colours * axis[..., None]).sum(1)
    low, high = (mean_out * axis[..., 0]).sum(1), (mean_in * axis[..., 0]).sum(1)
    span = (high - low).clamp_min(1e-9)[:, None, None]
    share: Tensor = (along - low[:, None, None]) / span
    return share.clamp(0, 1)


def _moments(
    colours: Float[Tensor, "spots 3 side side"], where: Bool[Tensor, "spots side side"]
) -> tuple[Float[Tensor, "spots 3"], Float[Tensor, "spots 3 3"]]:
    """Mean and covariance of the colours of some pixels."""
    weights = where.flatten(1).to(colours.dtype)
    weights = weights / weights.sum(1, keepdim=True).clamp_min(1)
    pixels = colours.flatten(2)
    mean = (pixels * weights[:, None]).sum(2)
    off = pixels - mean[..., None]
    return mean, (off * weights[:, None]) @ off.mT
