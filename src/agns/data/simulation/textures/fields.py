"""Fields over the frame's pixels that textures are made of: its relief, noise, waves and bands."""

import functools
import math
from typing import NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Float32

from agns.accessory.frame import FRAME_SIZE, frame_mask

Crop: TypeAlias = Float32[np.ndarray, "64 176"]
Field: TypeAlias = Float32[np.ndarray, " pixels"]
"""A value for each pixel of the frame, row by row."""
Colours: TypeAlias = Float32[np.ndarray, "pixels 3"]
Colour: TypeAlias = Float32[np.ndarray, "3"]
Palette: TypeAlias = Float32[np.ndarray, "colours 3"]

_FINE = 4
"""Entries for a pixel in the table of bands."""


class Relief(NamedTuple):
    """The frame as a solid: what the light falls on."""

    mask: Bool[np.ndarray, "64 176"]
    column: Field
    row: Field
    depth: Field
    """Pixels to the nearest pixel off the frame."""
    below_brow: Field
    """Pixels below the frame's upper edge in the same column."""
    u: Field
    """Across the frame: -1 at the left temple, 1 at the right one."""
    v: Field
    """Down the frame: 0 at the brow, 1 at the bottom of the rims."""
    normals: tuple[Float32[np.ndarray, "pixels 3"], ...]
    """Unit normals (right, down, towards the viewer) for bevels of growing width."""


@functools.cache
def relief() -> Relief:
    """Measure the silhouette, once."""
    mask = frame_mask().numpy() > 0.5
    inside, outside = np.argwhere(mask), np.argwhere(~mask)
    depth = np.zeros(FRAME_SIZE, np.float32)
    for row, column in inside:
        depth[row, column] = np.sqrt(((outside - (row, column)) ** 2).sum(1).min())
    rows, columns = np.indices(FRAME_SIZE, np.float32)[:, mask]
    (top, left), (bottom, right) = inside.min(0), inside.max(0)
    brow = np.where(mask.any(0), mask.argmax(0), 0).astype(np.float32)
    return Relief(
        mask=mask,
        column=columns,
        row=rows,
        depth=depth[mask],
        below_brow=rows - brow[inside[:, 1]],
        u=(2 * (columns - left) / (right - left) - 1).astype(np.float32),
        v=((rows - top) / (bottom - top)).astype(np.float32),
        normals=tuple(_normals(depth, width)[mask] for width in (2.5, 3.5, 4.5)),
    )


def _normals(depth: Crop, width: float) -> Float32[np.ndarray, "64 176 3"]:
    """Normals of an edge rounded to a quarter ellipse `width` pixels wide."""
    fall = 1 - np.clip(depth / width, 0, 1)
    height = np.pad(0.6 * width * np.sqrt(1 - fall**2), 1)
    for axis in (0, 1):
        height = (np.roll(height, 1, axis) + 2 * height + np.roll(height, -1, axis)) / 4
    down, right = np.gradient(height)
    normals = np.stack([-right, -down, np.ones_like(height)], -1)[1:-1, 1:-1]
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    return normals.astype(np.float32)


def filled(colour: Colour) -> Colours:
    """One colour all over; not to be written to."""
    return np.broadcast_to(colour, (len(relief().row), 3))


@functools.cache
def _knots(size: int, count: int) -> Float32[np.ndarray, "size knots"]:
    """Cubic B-spline weights that spread `count` + 3 knots over `size` pixels."""
    at = np.arange(size)[:, None] * count / size + 1
    distance = np.abs(at - np.arange(count + 3)[None])
    near = 2 / 3 - distance**2 + distance**3 / 2
    far = np.clip(2 - distance, 0, None) ** 3 / 6
    return np.where(distance < 1, near, far).astype(np.float32)


def noise(rng: np.random.Generator, rows: int, columns: int) -> Field:
    """Smooth noise of about unit variance, with so many waves down and across the crop."""
    down, across = _knots(FRAME_SIZE[0], rows), _knots(FRAME_SIZE[1], columns)
    values = rng.standard_normal((rows + 3, columns + 3), np.float32)
    # 0.479 is the mean of the squared weights' sum along one axis.
    field: Field = (down @ values @ across.T)[relief().mask] / np.float32(0.479)
    return field


def step(field: Field, edge: float, softness: float) -> Field:
    """0 below the edge and 1 above it, smooth over `softness` to both sides."""
    t: Field = np.clip((field - edge) / (2 * softness) + 0.5, 0, 1)
    eased: Field = t * t * (3 - 2 * t)
    return eased


def mix(low: Colour | Colours, high: Colour | Colours, weight: Field) -> Colours:
    """From one colour to the other as the weight goes from 0 to 1."""
    mixed: Colours = low + (high - low) * weight[..., None]
    return mixed


def along(angle: float) -> Field:
    """Pixels along a direction: 0 for to the right, a quarter turn for downwards."""
    run: Field = relief().column * math.cos(angle) + relief().row * math.sin(angle)
    return run


def wave(rng: np.random.Generator, angle: float, period: float, bend: Field | float = 0) -> Field:
    """A sine across the crop, in [-1, 1]; the angle is 0 for upright stripes, the bend a phase."""
    turns = along(angle) * (math.tau / period) + rng.uniform(0, math.tau)
    swing: Field = np.sin(turns + bend)
    return swing


def banded(colours: Palette, widths: Float[np.ndarray, " bands"], run: Field) -> Colours:
    """Bands of colours in turn, each so wide, with edges of a pixel; `run` is in pixels."""
    table = np.repeat(colours, np.maximum(1, np.round(_FINE * widths).astype(int)), axis=0)
    # The mean over a pixel.
    table = np.stack([np.roll(table, shift, 0) for shift in range(_FINE)]).mean(0)
    bands: Colours = table[np.floor(run * _FINE).astype(np.int64) % len(table)]
    return bands
