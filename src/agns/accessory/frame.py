"""The glasses' silhouette, and where the 64x176 crop that holds it sits on a face.

Convention:
    Outlines are closed Catmull-Rom splines through the points below: (distance from the nose
    line, y) in canvas pixels, pixel centres on whole numbers. The nose line is x = 111.5; one
    half is drawn and mirrored. A pixel belongs to the frame when its centre lies inside the
    outer outline and outside both lenses.
"""

import functools

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from agns.errors import ImageContractError
from agns.types import CANVAS, Faces, Frames, Images, Mask

FRAME_ROWS = (53, 117)
"""First row of the crop on the canvas, and the row after its last."""

FRAME_COLUMNS = (25, 201)
"""First column of the crop on the canvas, and the column after its last."""

FRAME_SIZE = (FRAME_ROWS[1] - FRAME_ROWS[0], FRAME_COLUMNS[1] - FRAME_COLUMNS[0])
"""(height, width) of the crop in pixels."""

_NOSE_LINE = (CANVAS - 1) / 2

# From the middle of the bridge over the brow to the temple's two corners, around the rim and
# back up to the bridge's underside.
_OUTLINE = (
    (0, 61.5), (15, 59.5), (32, 56.5), (52.5, 55.5), (77, 59.5), (82, 62), (82, 71.5),
    (77.5, 77.5), (74, 89), (69.5, 100), (61.5, 107), (49, 111), (34, 110.5), (21, 105.5),
    (12, 95.5), (6, 82.5), (3.5, 77.5), (0, 76.5),
)  # fmt: skip

# From the lens's upper edge towards the temple, and around.
_LENS = (
    (38, 62), (55, 63), (65, 67), (67.5, 72.5), (66.5, 84.5), (61, 96.5), (53, 102),
    (33, 102), (23, 95.5), (15, 86), (12.5, 75), (15.5, 68.5), (24.5, 64),
)  # fmt: skip

_STEPS = 12
"""Straight pieces between two points of an outline."""


def _spline(points: Float[Tensor, "points 2"]) -> Float[Tensor, "vertices 2"]:
    """The closed uniform Catmull-Rom spline through points, as a polygon."""
    t = torch.arange(_STEPS, dtype=points.dtype)[:, None] / _STEPS
    weights = (
        (-t + 2 * t**2 - t**3) / 2,
        (2 - 5 * t**2 + 3 * t**3) / 2,
        (t + 4 * t**2 - 3 * t**3) / 2,
        (t**3 - t**2) / 2,
    )
    pieces = [weight * points.roll(1 - index, 0)[:, None] for index, weight in enumerate(weights)]
    return torch.stack(pieces).sum(0).flatten(0, 1)


def _inside(
    points: Float[Tensor, "*canvas 2"], polygon: Float[Tensor, "vertices 2"]
) -> Bool[Tensor, "*canvas"]:
    """Whether a ray from each point to the right crosses the polygon an odd number of times."""
    x, y = points[..., None, 0], points[..., None, 1]
    start, end = polygon, polygon.roll(-1, 0)
    spans = (start[:, 1] > y) != (end[:, 1] > y)
    # A level edge spans no row, so what its slope comes to does not matter.
    rise = torch.where(end[:, 1] == start[:, 1], 1, end[:, 1] - start[:, 1])
    crossing = start[:, 0] + (y - start[:, 1]) / rise * (end[:, 0] - start[:, 0])
    return (spans & (x < crossing)).sum(-1) % 2 == 1


def outlines() -> tuple[Float[Tensor, "outer 2"], Float[Tensor, "lens 2"], Float[Tensor, "lens 2"]]:
    """The frame's outer outline and those of the lenses right and left of the nose, as polygons.

    Returns:
        Vertices (x, y) in pixels of the canvas, the centre of the top-left pixel at (0, 0). Those
        of lenses go round the other way, so that they are holes by either rule of filling.
    """
    half = torch.tensor(_OUTLINE, dtype=torch.float64)
    mirrored = half[1:-1].flip(0) * half.new_tensor([-1, 1])
    outer = _spline(torch.cat([half, mirrored]))
    right = _spline(torch.tensor(_LENS, dtype=torch.float64)).flip(0)
    left = right.flip(0) * right.new_tensor([-1, 1])
    middle = outer.new_tensor([_NOSE_LINE, 0])
    return outer + middle, right + middle, left + middle


@functools.cache
def _drawn() -> Mask:
    """The silhouette, drawn once."""
    outer, lens, _ = outlines()
    rows, columns = torch.meshgrid(
        torch.arange(*FRAME_ROWS, dtype=torch.float64),
        torch.arange(*FRAME_COLUMNS, dtype=torch.float64),
        indexing="ij",
    )
    # Measured to the right of the nose line without a sign: one lens then serves for both.
    points = torch.stack([_NOSE_LINE + (columns - _NOSE_LINE).abs(), rows], -1)
    drawn = (_inside(points, outer) & ~_inside(points, lens)).to(torch.float32)
    return functional.pad(drawn, _margins())


def _margins() -> tuple[int, int, int, int]:
    """Pixels left, right, above and below the crop on the canvas."""
    (top, bottom), (left, right) = FRAME_ROWS, FRAME_COLUMNS
    return left, CANVAS - right, top, CANVAS - bottom


def silhouette() -> Mask:
    """The frame on the face canvas.

    Returns:
        (224, 224), 1 on the frame and 0 elsewhere; a copy of the caller's own.
    """
    return _drawn().clone()


def frame_mask() -> Mask:
    """The silhouette cut to the 64x176 crop, as the caller's own copy."""
    return _drawn()[slice(*FRAME_ROWS), slice(*FRAME_COLUMNS)].clone()


def place(frames: Images) -> Faces:
    """Put 64x176 crops where they belong on a black face canvas.

    Args:
        frames: (batch, 3, 64, 176), in [0, 1].

    Returns:
        (batch, 3, 224, 224), in [0, 1]; differentiable.

    Raises:
        ImageContractError: The crops have another size.
    """
    _check_size(frames, FRAME_SIZE, "frames")
    return functional.pad(frames, _margins())


def crop(canvases: Images) -> Frames:
    """Cut the 64x176 part that holds the glasses from face canvases; undoes `place`.

    Args:
        canvases: (batch, 3, 224, 224), in [0, 1].

    Returns:
        (batch, 3, 64, 176), in [0, 1], a view; differentiable.

    Raises:
        ImageContractError: The canvases have another size.
    """
    _check_size(canvases, (CANVAS, CANVAS), "canvases")
    return canvases[..., slice(*FRAME_ROWS), slice(*FRAME_COLUMNS)]


def _check_size(images: Tensor, size: tuple[int, int], name: str) -> None:
    if images.ndim != 4 or tuple(images.shape[1:]) != (3, *size):
        raise ImageContractError(
            f"expected {name} shaped (batch, 3, {size[0]}, {size[1]}), got {tuple(images.shape)}"
        )
