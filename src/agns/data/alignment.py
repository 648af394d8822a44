"""Faces warped to a canonical pose by their 68 landmarks.

Convention:
    Landmarks are numbered as usual: 0-16 jaw, 17-26 brows, 27-35 nose, 36-47 eyes, 48-67 mouth,
    each from the left of the picture. The warp is affine, in the least squares sense over the
    landmarks that a pose uses, and leaves black what lies beyond the picture.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float

from agns.errors import DataError
from agns.geometry import affinity_from_points, resize, transform_points, warp
from agns.types import CANVAS, Homographies, Image, Points

LANDMARK_COUNT = 68

MAGNIFIED = (0.005, 100.0)
"""By how much a face may be shrunk and enlarged: beyond, landmarks are in error."""


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class CanonicalPose:
    """Where a network expects a face's landmarks."""

    size: int
    """Height and width of the aligned picture in pixels."""

    points: Float[torch.Tensor, "68 2"]
    """The landmarks in the aligned picture."""

    used: tuple[int, ...]
    """The landmarks that the warp is fitted to."""


# Published with the original code, counted from 1. What its aligned pictures show lies 2 pixels
# further right and down than that (measured on its portrait, to 0.2 pixels; the landmarks of its
# photos of worn frames agree), so these numbers plus 1 are the pose in pixels counted from 0.
_CANONICAL = (
    (26, 93), (27, 114), (30, 135), (33, 157), (40, 177), (53, 193), (71, 206), (92, 216),
    (117, 219), (142, 216), (163, 205), (178, 190), (189, 172), (193, 151), (195, 128),
    (196, 107), (196, 85), (37, 69), (46, 53), (63, 46), (81, 47), (98, 53), (124, 51),
    (141, 43), (159, 41), (177, 48), (185, 64), (113, 72), (114, 86), (115, 99), (116, 113),
    (96, 129), (105, 131), (115, 133), (125, 130), (135, 129), (57, 82), (66, 75), (78, 74),
    (90, 81), (79, 85), (67, 86), (133, 80), (145, 72), (157, 72), (166, 78), (157, 83),
    (145, 83), (81, 163), (93, 154), (105, 150), (115, 153), (126, 150), (139, 155),
    (151, 164), (139, 172), (127, 174), (115, 175), (105, 174), (93, 171), (86, 163),
    (105, 159), (115, 160), (126, 159), (145, 163), (126, 160), (115, 161), (105, 159),
)  # fmt: skip

# OpenFace's template on 96x96 pixels, counted from 0, of which three points are used: the outer
# corners of the eyes and the base of the nose.
_OPENFACE = (
    (0, 17), (0, 30), (2, 43), (5, 56), (10, 68), (17, 78), (27, 87), (37, 94), (49, 96),
    (60, 94), (71, 86), (80, 77), (88, 67), (93, 55), (95, 42), (96, 28), (96, 15), (9, 7),
    (15, 2), (23, 1), (31, 2), (39, 6), (55, 5), (63, 1), (71, 0), (79, 1), (85, 6), (47, 15),
    (47, 23), (47, 32), (47, 41), (38, 46), (43, 48), (48, 49), (52, 48), (57, 46), (19, 16),
    (24, 13), (30, 13), (35, 17), (29, 18), (23, 18), (59, 17), (65, 12), (71, 12), (76, 15),
    (71, 17), (65, 18), (29, 62), (36, 59), (43, 57), (48, 58), (53, 57), (60, 58), (67, 61),
    (60, 68), (54, 71), (48, 72), (43, 72), (36, 69), (32, 62), (43, 62), (48, 62), (53, 61),
    (64, 61), (53, 65), (48, 66), (43, 65),
)  # fmt: skip

POSES: dict[str, CanonicalPose] = {
    "canonical": CanonicalPose(
        size=CANVAS,
        points=torch.tensor(_CANONICAL, dtype=torch.float32) + 1,
        used=tuple(range(LANDMARK_COUNT)),
    ),
    "openface": CanonicalPose(
        size=96,
        points=torch.tensor(_OPENFACE, dtype=torch.float32),
        used=(36, 45, 33),
    ),
}
"""The pose of the face canvas, for every network here, and that of OpenFace's own tools."""


def align(
    image: Image, landmarks: Float[torch.Tensor, "68 2"], pose: CanonicalPose = POSES["canonical"]
) -> Float[torch.Tensor, "3 size size"]:
    """Warp one face to a canonical pose (Sharif et al. 2019, section 5.1).

    Args:
        image: A picture of any size, in [0, 1].
        landmarks: The face's landmarks in it, in pixels.
        pose: Where they are to come to lie.

    Returns:
        (3, size, size), in [0, 1].

    Raises:
        DataError: The landmarks lie on one line, or so far apart or close together that no face
            can be meant.
    """
    matrix = alignment(landmarks, pose)
    canvas = torch.tensor([[0, 0], [1, 0], [0, 1], [1, 1]]) * (pose.size - 1.0)
    scale = float(torch.linalg.det(matrix[:2, :2]).abs().sqrt())
    if not MAGNIFIED[0] <= scale <= MAGNIFIED[1]:
        raise DataError(
            f"the landmarks span no face that could be aligned: it would be scaled by {scale:.3g}"
        )
    if min(image.shape[1:]) < 2:
        raise DataError(f"a picture of {image.shape[1]}x{image.shape[2]} pixels shows no face")
    corners = transform_points(canvas, torch.linalg.inv(matrix))
    # Only what the canvas shows is resampled, with a pixel or two to spare.
    margin = 3 / scale + 3
    low = (corners.amin(0) - margin).floor().clamp_min(0)
    high = (corners.amax(0) + margin).ceil()
    left, top = (int(edge) for edge in low)
    right, bottom = (int(edge) for edge in high)
    part = image[None, :, top : max(bottom, 0), left : max(right, 0)]
    if min(part.shape[2:]) < 2:
        raise DataError("the landmarks lie outside the picture")
    matrix = matrix @ _shift(left, top)
    part, shrunk = _shrink(part, matrix)
    size = (pose.size, pose.size)
    return warp(part, matrix @ torch.linalg.inv(shrunk), size, mode="bicubic")[0].clamp(0, 1)


def alignment(landmarks: Points, pose: CanonicalPose = POSES["canonical"]) -> Homographies:
    """The affine map from pixels of a picture to those of its aligned face.

    Args:
        landmarks: (..., 68, 2) in pixels.
        pose: Where they are to come to lie.

    Returns:
        (..., 3, 3) homographies.

    Raises:
        DataError: The landmarks lie on one line.
    """
    used = torch.tensor(pose.used)
    wanted = pose.points[used].to(landmarks).expand(*landmarks.shape[:-2], -1, -1)
    return affinity_from_points(landmarks[..., used, :], wanted)


def _shift(left: float, top: float) -> Homographies:
    """From the pixels of a cut-out to those of the whole."""
    return torch.tensor([[1, 0, left], [0, 1, top], [0, 0, 1]], dtype=torch.float32)


def _shrink(
    part: Float[torch.Tensor, "1 3 height width"], matrix: Homographies
) -> tuple[Float[torch.Tensor, "1 3 shrunk_height shrunk_width"], Homographies]:
    """Take a picture to about the canvas' scale, so that warping it skips no pixels.

    Returns:
        The picture, and the map from the old pixels to the new ones.
    """
    scale = float(torch.linalg.det(matrix[:2, :2]).abs().sqrt())
    if scale >= 1:
        return part, torch.eye(3)
    old = part.shape[2:]
    height, width = (max(2, math.ceil(side * scale)) for side in old)
    x, y = width / old[1], height / old[0]
    # Pixel centres lie on whole numbers, so that edges lie half a pixel outside.
    shrunk = torch.tensor([[x, 0, (x - 1) / 2], [0, y, (y - 1) / 2], [0, 0, 1]])
    return resize(part, (height, width)), shrunk
