"""Random variations of training faces; every draw comes from the CPU generator given.

What is drawn is moved to where the faces are, so that a seed means the same on every device.
"""

import math

import torch
from jaxtyping import Int64
from torch import Tensor

from agns.accessory.frame import place, silhouette
from agns.accessory.wear import wear
from agns.geometry import warp
from agns.images import from_pixels
from agns.types import Faces, Glasses, Images


def uniform(count: int, low: float, high: float, *, rng: torch.Generator) -> Tensor:
    """`count` draws from U[low, high]."""
    return low + (high - low) * torch.rand(count, generator=rng)


def wear_some(
    faces: Faces,
    frames: Glasses,
    choices: Int64[Tensor, "batch choices"],
    *,
    count: int,
    rng: torch.Generator,
) -> Faces:
    """Put benign frames on the first `count` of a batch of faces in [0, 1].

    `choices` has, for each photo, the frames that it may wear, as places in `frames`.
    """
    if count == 0:
        return faces
    drawn = torch.randint(choices.shape[1], (count, 1), generator=rng)
    worn = from_pixels(frames[choices[:count].gather(1, drawn)[:, 0]].to(faces.device))
    mask = silhouette().to(faces.device)
    return torch.cat([wear(faces[:count], place(worn), mask), faces[count:]])


def move_randomly(
    images: Images,
    *,
    turn: float,
    zoom: float,
    shift: float,
    flip: bool,
    rng: torch.Generator,
) -> Images:
    """Turn, zoom, shift and mirror each picture about its centre; black comes in at the edges.

    Pictures are in [0, 1]. The most, either way, are `turn` degrees, `zoom` as a share of the size,
    and `shift` as a share of the width; with `flip`, half of them are mirrored.
    """
    count, _, height, width = images.shape
    angle = uniform(count, -turn, turn, rng=rng) * math.pi / 180
    scale = 1 + uniform(count, -zoom, zoom, rng=rng)
    mirror = torch.ones(count)
    if flip:
        mirror = 1 - 2 * (torch.rand(count, generator=rng) < 0.5).float()
    across = uniform(count, -shift, shift, rng=rng) * width
    down = uniform(count, -shift, shift, rng=rng) * width
    cos, sin = scale * angle.cos(), scale * angle.sin()
    x, y = (width - 1) / 2, (height - 1) / 2
    matrices = torch.zeros(count, 3, 3)
    matrices[:, 0, 0], matrices[:, 0, 1] = cos * mirror, -sin
    matrices[:, 1, 0], matrices[:, 1, 1] = sin * mirror, cos
    matrices[:, 0, 2] = x + across - matrices[:, 0, 0] * x - matrices[:, 0, 1] * y
    matrices[:, 1, 2] = y + down - matrices[:, 1, 0] * x - matrices[:, 1, 1] * y
    matrices[:, 2, 2] = 1
    return warp(images, matrices, (height, width)).clamp(0, 1)


def relight(images: Images, *, amount: float, rng: torch.Generator) -> Images:
    """Change brightness, contrast, saturation and colour balance of pictures in [0, 1] at random.

    Each changes by a share of `amount` at most.
    """
    count = len(images)

    def factor(spread: float) -> Tensor:
        drawn = 1 + uniform(count, -spread, spread, rng=rng)
        return drawn[:, None, None, None].to(images.device)

    balance = 1 + amount / 3 * (2 * torch.rand(count, 3, 1, 1, generator=rng) - 1)
    lit = images * factor(amount) * balance.to(images.device)
    grey = lit.mean(1, keepdim=True)
    lit = torch.lerp(grey, lit, factor(amount))
    mean = lit.mean((1, 2, 3), keepdim=True)
    return torch.lerp(mean, lit, factor(amount)).clamp(0, 1)


def erase(images: Images, *, share: float, largest: float, rng: torch.Generator) -> Images:
    """Cover a random rectangle of a share of the pictures, in [0, 1], with one random colour.

    Its sides are up to `largest`, as a share of the picture's.
    """
    count, _, height, width = images.shape
    chosen = torch.rand(count, generator=rng) < share
    sides = uniform(2 * count, 0.1, largest, rng=rng).reshape(2, count)
    corners = torch.rand(2, count, generator=rng) * (1 - sides)
    colour = torch.rand(count, 3, 1, 1, generator=rng)
    rows = torch.arange(height)[None] / height
    columns = torch.arange(width)[None] / width
    within_rows = (rows >= corners[0][:, None]) & (rows < (corners[0] + sides[0])[:, None])
    within_columns = (columns >= corners[1][:, None]) & (columns < (corners[1] + sides[1])[:, None])
    covered = within_rows[:, None, :, None] & within_columns[:, None, None, :]
    covered = covered & chosen[:, None, None, None]
    return torch.where(covered.to(images.device), colour.to(images.device), images)
