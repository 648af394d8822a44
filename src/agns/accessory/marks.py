"""The seven green marks of a frame that is worn before the camera, and where they put it.

A frame with marks is photographed; their centres give the homography that lays any other frame
over it (Sharif et al., A General Framework for Adversarial Examples with Objectives, ACM TOPS
2019, section 5). `mark_finding` finds them in photos.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from agns.accessory.frame import silhouette
from agns.errors import DataError
from agns.geometry import homography_from_points
from agns.types import CANVAS, Faces, Homographies, Mask

MARKS = (
    (33.0, 68.0), (113.0, 66.0), (189.0, 66.0),
    (51.0, 104.0), (96.0, 97.0), (133.0, 99.0), (174.0, 102.0),
)  # fmt: skip
"""Centres (x, y) on the frame's canvas, three on top and four below, each from left to right.

The figures of the original release (eyeglass_marks_centers.mat), which count pixels from 1.
"""

GREEN = (0.42, 0.84, 0.54)
"""The marks' colour, RGB in [0, 1]: about what the original authors' photos show."""

# Length and height in pixels, and clockwise turn in degrees: each mark follows the frame's rim.
_SHAPES = (
    (9.0, 5.0, 0), (8.0, 5.0, 0), (8.0, 5.5, 0),
    (8.5, 5.5, 28), (7.0, 5.5, -35), (7.0, 6.0, 35), (8.0, 6.0, -33),
)  # fmt: skip

_STEEPEST = 1.8
"""How far apart the nearest and the farthest mark may seem, as the ratio of their depths."""


def mark_coverage(
    x: Float[Tensor, "7 *pixels"], y: Float[Tensor, "7 *pixels"], *, wider: float = 0
) -> Float[Tensor, "7 *pixels"]:
    """The share of pixels, in [0, 1], that each mark covers, made wider to all sides.

    Pixels lie x to the right of each mark's centre and y below it, on the frame's canvas. Shares
    are exact for upright edges; elsewhere the distance to the border stands for them.
    """
    shapes = torch.tensor(_SHAPES, dtype=x.dtype, device=x.device)
    shapes = shapes.reshape(len(MARKS), 3, *[1] * (x.ndim - 1))
    length, height, turn = shapes.unbind(1)
    cos, sin = turn.deg2rad().cos(), turn.deg2rad().sin()
    inside = length / 2 + wider + 0.5 - (x * cos + y * sin).abs()
    across = height / 2 + wider + 0.5 - (y * cos - x * sin).abs()
    return inside.clamp(0, 1) * across.clamp(0, 1)


def _coverage() -> Mask:
    """The share of each canvas pixel that lies on a mark."""
    rows, columns = torch.meshgrid(torch.arange(CANVAS), torch.arange(CANVAS), indexing="ij")
    x, y = torch.tensor(MARKS)[:, :, None, None].unbind(1)
    return mark_coverage(columns - x, rows - y).amax(0)


def draw_marks(canvases: Faces, *, color: tuple[float, float, float] = GREEN) -> tuple[Faces, Mask]:
    """Put the seven marks on frames that lie on the face canvas, all in [0, 1].

    Returns:
        The marked frames, in [0, 1] and differentiable in the canvases, and the mask to `wear`
        them with, in [0, 1]: the silhouette, and the marks where they reach beyond it.
    """
    covered = _coverage()
    paint = canvases.new_tensor(color)[:, None, None]
    marked = torch.lerp(canvases, paint, covered.to(canvases))
    return marked, torch.maximum(silhouette(), covered)


def marked_frame(
    *, shade: float = 0.14, color: tuple[float, float, float] = GREEN
) -> tuple[Float[Tensor, "1 3 224 224"], Mask]:
    """The frame that is worn before the camera: one shade of grey, with the seven marks.

    Returns:
        The frame on the canvas and the mask to `wear` it with; `geometry.warp` takes both.
    """
    return draw_marks(torch.full((1, 3, CANVAS, CANVAS), shade), color=color)


def marks_homography(centres: Float[Tensor, "*batch 7 2"]) -> Homographies:
    """The homography that takes the frame's canvas to the photo, least squares on seven marks.

    Args:
        centres: In the photo, in pixels, in the order of `MARKS`.

    Returns:
        (..., 3, 3), in the centres' dtype.

    Raises:
        DataError: The centres coincide, lie on one line, are not finite, are mirrored, or no
            camera in front of the frame could see them so.
    """
    if not bool(centres.isfinite().all()):
        raise DataError("the centres of the marks are not all finite")
    marks = torch.tensor(MARKS, dtype=centres.dtype, device=centres.device).expand_as(centres)
    homographies = homography_from_points(marks, centres)
    if not bool(_seen_from_the_front(homographies).all()):
        raise DataError("no camera in front of the frame sees its marks like this")
    return homographies


def _seen_from_the_front(homographies: Homographies) -> Bool[Tensor, "*batch"]:
    """Whether all marks lie before the camera, none much nearer, and left stays left."""
    marks = torch.tensor(MARKS, dtype=homographies.dtype, device=homographies.device)
    homogeneous = torch.cat([marks, torch.ones_like(marks[:, :1])], -1)
    depths = homographies[..., 2:, :] @ homogeneous.T
    near, far = depths.amin((-1, -2)), depths.amax((-1, -2))
    front: Tensor = (near > 0) & (far <= _STEEPEST * near) & (torch.linalg.det(homographies) > 0)
    return front
