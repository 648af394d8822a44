"""Filling a region of a face from the rest of it, so that nothing depends on what was there."""

from typing import Literal, TypeAlias

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from agns.types import Images

Filling: TypeAlias = Literal["diffusion", "mean", "grey"]
"""`diffusion`: the border's colours run together over the region. `mean`: each photo's mean colour
outside it. `grey`: 0.5."""

_RELAXED = 4
"""How often the colours of a level of the pyramid are evened out."""


def fill(
    faces: Images,
    region: Bool[Tensor, "*layers height width"],
    filling: Filling = "diffusion",
) -> Images:
    """Put other colours into a region, made of the pixels outside it alone.

    Args:
        faces: In [0, 1].
        region: What is filled: (height, width) for all faces, or (batch, 1, height, width).
        filling: How.

    Returns:
        Faces in [0, 1] that are themselves outside the region. They are the same, bit for bit,
        whatever the region held; the gradient in it is exactly 0.
    """
    # Cut out first: all that follows knows the region as 0.
    kept = torch.where(region, 0, faces)
    known = (~region).to(faces).expand(len(faces), 1, -1, -1)
    if filling == "grey":
        filled = torch.full_like(faces, 0.5)
    elif filling == "mean":
        filled = _mean(kept, known).expand_as(faces)
    else:
        filled, box = kept.clone(), (..., *_box(region))
        filled[box] = _spread(kept[box], known[box])
    return torch.where(region, filled, kept)


def _box(region: Bool[Tensor, "*layers height width"]) -> tuple[slice, slice]:
    """Rows and columns around a region, at multiples of 16 pixels; the canvas if it is empty."""
    flat = region.reshape(-1, *region.shape[-2:]).any(0)
    ends = []
    for axis in (1, 0):
        places = flat.any(axis).nonzero()[:, 0]
        size = flat.shape[1 - axis]
        low, high = (int(places[0]), int(places[-1])) if len(places) else (0, size)
        ends.append(slice(max(0, low - 2) // 16 * 16, min(size, -(-(high + 3) // 16) * 16)))
    return ends[0], ends[1]


def _mean(
    kept: Images, known: Float[Tensor, "batch 1 height width"]
) -> Float[Tensor, "batch 3 1 1"]:
    total = known.sum((2, 3), keepdim=True).clamp_min(1)
    return kept.sum((2, 3), keepdim=True) / total


def _spread(kept: Images, known: Float[Tensor, "batch 1 height width"]) -> Images:
    """The region's colours between those of its border (push-pull, Gortler et al. 1996).

    Averages of what is known at half the size, filled likewise, are grown where nothing is known,
    and evened out there.
    """
    height, width = kept.shape[2:]
    if min(height, width) < 4 or height % 2 or width % 2:
        return torch.where(known > 0, kept, _mean(kept, known))
    share = functional.avg_pool2d(known, 2)
    smaller = functional.avg_pool2d(kept, 2) / share.clamp_min(1e-6)
    whole = (share > 0).to(kept)
    coarse = _spread(smaller * whole, whole)
    grown = functional.interpolate(coarse, scale_factor=2, mode="nearest")
    filled = torch.where(known > 0, kept, grown)
    for _ in range(_RELAXED):
        around = functional.pad(filled, (1, 1, 1, 1), mode="replicate")
        even = (around[:, :, :-2, 1:-1] + around[:, :, 2:, 1:-1]
                + around[:, :, 1:-1, :-2] + around[:, :, 1:-1, 2:]) / 4  # fmt: skip
        filled = torch.where(known > 0, kept, even)
    return filled
