"""Homographies from points, and differentiable warps.

Convention:
    Points are (x, y) in pixels, pixel centres on whole numbers. A homography maps source
    points to destination points; `warp` reads each destination pixel back through its inverse.
    `grid_sample` runs with `align_corners=True`.
"""

import functools
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from agns.errors import DataError
from agns.types import Homographies, Points


def homography_from_points(source: Points, destination: Points) -> Homographies:
    """Fit the homography that takes source points to destination points.

    The direct linear transform on normalised points (Hartley & Zisserman, Multiple View
    Geometry, algorithm 4.2): exact for four points, least squares for more.

    Args:
        source: (..., n, 2) points in pixels, n >= 4.
        destination: As many points, in the same order.

    Returns:
        (..., 3, 3) matrices whose last entry is 1, in the points' dtype.

    Raises:
        DataError: Fewer than four points, other numbers of points, or points so nearly on one
            line, on either side, that no single invertible homography fits.
    """
    normal, denormal = _normalised_pairs(source, destination, 4, "a homography")
    x, y = normal[0].unbind(-1)
    u, v = denormal[0].unbind(-1)
    one, zero = torch.ones_like(x), torch.zeros_like(x)
    rows = torch.cat(
        [
            torch.stack([x, y, one, zero, zero, zero, -u * x, -u * y, -u], -1),
            torch.stack([zero, zero, zero, x, y, one, -v * x, -v * y, -v], -1),
        ],
        -2,
    )
    # An eigenvector of the 9x9 normal matrix: four points give only eight rows, of which a
    # reduced SVD would leave the null vector out.
    values, vectors = torch.linalg.eigh(rows.mT @ rows)
    fitted = vectors[..., 0].reshape(*vectors.shape[:-2], 3, 3)
    # Three of four points on a line, on one side only, still have a fit: a singular one.
    ambiguous = values[..., 1] <= 1e-9 * values[..., -1]
    if bool((ambiguous | (torch.linalg.det(fitted).abs() <= 1e-6)).any()):
        raise DataError("the points lie on one line or coincide: no homography fits them")
    matrix: Tensor = torch.linalg.solve(denormal[1], fitted @ normal[1])
    return (matrix / matrix[..., 2:, 2:]).to(source.dtype)


def _normalised_pairs(
    source: Points, destination: Points, least: int, what: str
) -> tuple[tuple[Points, Homographies], tuple[Points, Homographies]]:
    """Both sides, each as `_normalised` gives it, in double precision.

    Raises:
        DataError: There are too few pairs, or one side has more points than the other.
    """
    if source.shape != destination.shape or source.shape[-2] < least:
        raise DataError(
            f"{what} needs at least {least} pairs of points, "
            f"got {tuple(source.shape)} and {tuple(destination.shape)}"
        )
    return _normalised(source.double()), _normalised(destination.double())


def _normalised(points: Points) -> tuple[Points, Homographies]:
    """Points moved to mean 0 and mean distance sqrt(2), and the matrix that does so."""
    centre = points.mean(-2, keepdim=True)
    spread = (points - centre).norm(dim=-1).mean(-1).clamp_min(1e-12)
    scale = 2**0.5 / spread
    matrix = torch.zeros(*points.shape[:-2], 3, 3, dtype=points.dtype, device=points.device)
    matrix[..., 0, 0] = matrix[..., 1, 1] = scale
    matrix[..., :2, 2] = -scale[..., None] * centre[..., 0, :]
    matrix[..., 2, 2] = 1
    return (points - centre) * scale[..., None, None], matrix


def affinity_from_points(source: Points, destination: Points) -> Homographies:
    """Fit the affine map that takes source points to destination points.

    Args:
        source: (..., n, 2) points in pixels, n >= 3.
        destination: As many points, in the same order.

    Returns:
        (..., 3, 3) homographies with (0, 0, 1) below: exact for three points, least squares for
        more, in the points' dtype.

    Raises:
        DataError: Fewer than three points, other numbers of points, or points so nearly on one
            line, on either side, that no single invertible map fits.
    """
    normal, denormal = _normalised_pairs(source, destination, 3, "an affine map")
    # Both sides have mean 0, so that the fit has no shift.
    spread = normal[0].mT @ normal[0]
    fitted = torch.zeros_like(normal[1])
    fitted[..., 2, 2] = 1
    # A spread along a single line has a determinant of 0; that of a round cloud is about 1.
    flat = torch.linalg.det(spread / source.shape[-2]) <= 1e-6
    if bool(flat.any()):
        raise DataError("the points lie on one line or coincide: no affine map fits them")
    fitted[..., :2, :2] = torch.linalg.solve(spread, normal[0].mT @ denormal[0]).mT
    if bool((torch.linalg.det(fitted).abs() <= 1e-6).any()):
        raise DataError("the points lie on one line or coincide: no affine map fits them")
    matrix: Tensor = torch.linalg.solve(denormal[1], fitted @ normal[1])
    return matrix.to(source.dtype)


def transform_points(points: Points, homographies: Homographies) -> Points:
    """Map (x, y) points through homographies of the same batch shape."""
    homogeneous = torch.cat([points, torch.ones_like(points[..., :1])], -1) @ homographies.mT
    return homogeneous[..., :2] / homogeneous[..., 2:]


def warp(
    images: Float[Tensor, "batch channels height width"],
    homographies: Homographies,
    size: tuple[int, int],
    *,
    mode: Literal["bilinear", "bicubic"] = "bilinear",
) -> Float[Tensor, "batch channels canvas_height canvas_width"]:
    """Draw each image where its homography puts it.

    Convention:
        `homographies` map image pixels to canvas pixels. Black beyond the border, and beyond the
        horizon, on the other side of it than the image's first pixel.

    Args:
        images: Any channels; beyond their border they are 0.
        homographies: (batch, 3, 3), or (3, 3) for all.
        size: (height, width) of the canvas in pixels.
        mode: How values between pixels come about; bicubic is sharper where an image grows, and
            overshoots a little.

    Returns:
        Differentiable in the images and the homographies.
    """
    count, _, height, width = images.shape
    ys, xs = torch.meshgrid(
        torch.arange(size[0], dtype=images.dtype, device=images.device),
        torch.arange(size[1], dtype=images.dtype, device=images.device),
        indexing="ij",
    )
    canvas = torch.stack([xs, ys], -1).flatten(0, 1)
    homographies = homographies.to(images)
    inverse = torch.linalg.inv(homographies / homographies[..., 2:, 2:]).expand(count, 3, 3)
    homogeneous = torch.cat([canvas, torch.ones_like(canvas[:, :1])], -1) @ inverse.mT
    depth = homogeneous[..., 2:]
    visible = depth > 1e-6
    # Two pixels outside: past the border's soft edge. The inner choice keeps gradients finite.
    sources = homogeneous[..., :2] / torch.where(visible, depth, 1)
    sources = torch.where(visible, sources, -2)
    grid = 2 * sources / sources.new_tensor([width - 1, height - 1]) - 1
    return functional.grid_sample(
        images,
        grid.reshape(count, *size, 2),
        mode=mode,
        padding_mode="zeros",
        align_corners=True,
    )


def _triangles(source: int, destination: int) -> Float[Tensor, "destination source"]:
    """Weights of an antialiased linear (triangle) filter, rows summing to 1."""
    scale = source / destination
    reach = max(scale, 1.0)
    centres = (torch.arange(destination, dtype=torch.float64) + 0.5) * scale - 0.5
    distance = (torch.arange(source, dtype=torch.float64)[None] - centres[:, None]).abs()
    weights = (1 - distance / reach).clamp_min(0)
    return (weights / weights.sum(1, keepdim=True)).float()


_resampling = functools.lru_cache(maxsize=32)(_triangles)


def resize(
    images: Float[Tensor, "batch channels height width"], size: tuple[int, int]
) -> Float[Tensor, "batch channels resized_height resized_width"]:
    """Resize with an antialiased linear filter, as two matrix products.

    The same figures as `interpolate(antialias=True)`, at a fraction of its backward pass.

    Args:
        images: Any channels.
        size: (height, width) in pixels.

    Returns:
        Differentiable; values stay in the range of the input.
    """
    if tuple(images.shape[2:]) == size:
        return images
    sides = [(images.shape[2], size[0]), (images.shape[3], size[1])]
    if torch.compiler.is_compiling():
        # Traced, they become a part of the graph; neither the cache nor the mode could.
        rows, columns = (_triangles(*side).to(images) for side in sides)
    else:
        # A tensor made in inference mode could not take part in a later backward pass.
        with torch.inference_mode(mode=False):
            rows, columns = (_resampling(*side).to(images) for side in sides)
    # Autocast would round a face before it is averaged, and the average again.
    with torch.autocast(images.device.type, enabled=False):
        return rows @ (images @ columns.mT)
