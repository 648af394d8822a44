"""Where the centre of a green spot is, to fractions of a pixel.

JPEG keeps colour at half the resolution of brightness and rounds it coarsely, so that greenness
alone is a pixel off at times. Brightness is sharp, yet skin may be as bright as a mark. The two
therefore decide together.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

_LUMA = (0.299, 0.587, 0.114)

_NEAR = 8
"""Pixels to each side of a spot's greenest that belong to its neighbourhood."""

_DARK = 0.15
"""Quantile of the neighbourhood's brightness that stands for the frame's."""

_UNSURE = 0.2
"""Least share of the way from the surroundings' colour to the spot's that counts."""

_NOISE = 3e-3
"""Variance added to colours: less, and the discriminant trusts noise; more, brightness alone."""


def spread(
    bodies: Bool[Tensor, "spots side side"], pixels: int = 1
) -> Bool[Tensor, "spots side side"]:
    """Grown by some pixels to all sides."""
    side = 2 * pixels + 1
    return functional.max_pool2d(bodies[:, None].float(), side, stride=1, padding=pixels)[:, 0] > 0


def spot_centres(
    colours: Float[Tensor, "spots 3 side side"],
    bodies: Bool[Tensor, "spots side side"],
    floor: Float[Tensor, " spots"],
) -> Float[Tensor, "spots 2"]:
    """Centres of spots, each weighted by how sure a pixel belongs to it.

    What is green and bright gives a first shape; Fisher's linear discriminant between the
    colours of its core and of its surroundings gives the weights.

    Args:
        colours: Windows around the spots' greenest pixels, in [0, 1].
        bodies: The spots in them.
        floor: Greenness up to which a pixel surely does not belong to the spot.

    Returns:
        (x, y) in pixels from the windows' middle.
    """
    around = spread(bodies)
    shapes = (_green_and_bright(colours, bodies, floor) >= 0.5) & around
    shapes = torch.where(shapes.any(2).any(1)[:, None, None], shapes, bodies)
    cores = ~spread(~shapes)
    cores = torch.where((cores.sum((1, 2)) >= 4)[:, None, None], cores, shapes)
    outside = spread(shapes | bodies, 5) & ~spread(shapes)
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
