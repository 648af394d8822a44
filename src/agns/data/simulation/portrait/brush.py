"""Curves, antialiased masks and soft spots: what the parts of a portrait are drawn with."""

import functools
import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from jaxtyping import Float
from PIL import Image as PilImage
from PIL import ImageDraw, ImageFilter

from agns.types import CANVAS

# Lengths stay anonymous, since one function sees outlines and layers of several.
Outline: TypeAlias = Float[np.ndarray, "_ 2"]
Points: TypeAlias = Float[np.ndarray, "*_ 2"]
Plane: TypeAlias = Float[np.ndarray, "_ _"]
Layer: TypeAlias = Float[np.ndarray, "3 _ _"]
Colour: TypeAlias = Float[np.ndarray, "3"]
Window: TypeAlias = tuple[slice, slice]
Stroke: TypeAlias = tuple[Outline, float]
Hairs: TypeAlias = Float[np.ndarray, "_ 2 2"]

MARGIN = 16
"""Pixels drawn around the canonical canvas, so that a turned head has no empty corners."""

SIDE = CANVAS + 2 * MARGIN
"""Height and width in pixels of a layer."""

MIDDLE = 110.7
"""Where the canonical pose has the face's middle line, in pixels from the left."""

XS = (np.arange(SIDE) - MARGIN - MIDDLE).astype(np.float32)
"""Face x of each column."""

YS = (np.arange(SIDE) - MARGIN).astype(np.float32)
"""Face y of each row."""

HAIR = 0.7
"""Width in pixels of a single hair."""

WHOLE: Window = (slice(0, SIDE), slice(0, SIDE))

_ORIGIN = np.array([MIDDLE + MARGIN, MARGIN])


def around(outline: Outline, *, pad: int = 3) -> Window:
    """Rows and columns of the layer that hold an outline and `pad` pixels about it."""
    left, top = (math.floor(value) - pad for value in (outline.min(0) + _ORIGIN).tolist())
    right, bottom = (math.ceil(value) + pad + 1 for value in (outline.max(0) + _ORIGIN).tolist())
    left, top = min(max(left, 0), SIDE - 1), min(max(top, 0), SIDE - 1)
    return slice(top, min(max(bottom, top + 1), SIDE)), slice(left, min(max(right, left + 1), SIDE))


def curve(points: Outline, *, steps: int = 5, closed: bool = False) -> Outline:
    """A Catmull-Rom spline through points.

    Args:
        points: (x, y), at least two.
        steps: Samples from each point to the next.
        closed: Go on from the last point to the first.
    """
    if closed:
        padded = np.concatenate([points[-1:], points, points[:2]])
    else:
        padded = np.concatenate(
            [2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]]
        )
    count = len(padded) - 3
    near = np.stack([padded[shift : shift + count] for shift in range(4)], 1)
    samples = (_spline(steps) @ near).reshape(-1, 2)
    return samples if closed else np.concatenate([samples, points[-1:]])


@functools.cache
def _spline(steps: int) -> Float[np.ndarray, "_ 4"]:
    """What each of four neighbouring points weighs in each sample between the middle two."""
    t = np.arange(steps) / steps
    weights = [-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, t**3 - t**2]
    return 0.5 * np.stack(weights, 1)


def moved(points: Points, right: float, down: float) -> Points:
    """Points, or a single one, shifted by pixels."""
    shifted: Points = points + np.array([right, down])
    return shifted


def mask(
    outlines: Sequence[Outline],
    window: Window = WHOLE,
    *,
    strokes: Sequence[Stroke] = (),
    hairs: Hairs | None = None,
    scale: int = 2,
    blur: float = 0.0,
    strength: float = 1.0,
) -> Plane:
    """Fill outlines and draw strokes, antialiased by drawing larger.

    Args:
        outlines: Closed polygons in face coordinates.
        window: The part of the layer to draw.
        strokes: Lines in face coordinates, each with its width in pixels.
        hairs: Many straight lines of `HAIR` pixels' width, from (x, y) to (x, y).
        scale: How many times larger to draw.
        blur: Standard deviation in pixels of a box blur over the result.
        strength: What full cover becomes.

    Returns:
        Cover in [0, strength], as large as the window.
    """
    rows, columns = window
    height, width = rows.stop - rows.start, columns.stop - columns.start
    picture = PilImage.new("L", (width * scale, height * scale))
    draw = ImageDraw.Draw(picture)
    corner = _ORIGIN - (columns.start, rows.start)
    for outline in outlines:
        draw.polygon(_placed(outline, corner, scale), fill=255)
    for line, thickness in strokes:
        draw.line(
            _placed(line, corner, scale),
            fill=255,
            width=max(1, round(thickness * scale)),
            joint="curve",
        )
    if hairs is not None:
        placed = (hairs + corner) * scale + (scale - 1) / 2
        for line in placed.reshape(len(hairs), 4).tolist():
            draw.line(line, fill=255, width=round(HAIR * scale))
    picture = picture.reduce(scale)
    if blur:
        picture = picture.filter(ImageFilter.BoxBlur((math.sqrt(12 * blur**2 + 1) - 1) / 2))
    return np.asarray(picture, np.float32) * np.float32(strength / 255)


def _placed(outline: Outline, corner: Float[np.ndarray, "2"], scale: int) -> list[float]:
    placed: list[float] = ((outline + corner) * scale + (scale - 1) / 2).ravel().tolist()
    return placed


def soften(plane: Plane, radius: float) -> Plane:
    """Blur widely and cheaply: at a quarter of the size, by `radius` pixels."""
    height, width = plane.shape
    small = PilImage.fromarray((plane * 255).astype(np.uint8)).reduce(4)
    blurred = small.filter(ImageFilter.GaussianBlur(radius / 4))
    grown = blurred.resize((width, height), PilImage.Resampling.BILINEAR)
    return np.asarray(grown, np.float32) / np.float32(255)


def bell(values: Float[np.ndarray, " n"], middle: float, spread: float) -> Float[np.ndarray, " n"]:
    """A Gaussian of height 1 along one axis."""
    # Plain floats, since a NumPy scalar would make the result float64.
    bells: Float[np.ndarray, " n"] = np.exp(-0.5 * ((values - float(middle)) / float(spread)) ** 2)
    return bells


def spot(at: tuple[float, float], spread: tuple[float, float], window: Window = WHOLE) -> Plane:
    """A soft upright ellipse of height 1 about `at`, (x, y), spread likewise."""
    rows, columns = window
    return np.outer(bell(YS[rows], at[1], spread[1]), bell(XS[columns], at[0], spread[0]))


def paint(layer: Layer, cover: Plane, colour: Layer | Colour, window: Window = WHOLE) -> None:
    """Lay a colour, or a layer as large as the window, over a layer in place."""
    view = layer[:, window[0], window[1]]
    change = np.subtract(colour.reshape(3, *colour.shape[1:] or (1, 1)), view, dtype=np.float32)
    change *= cover
    view += change


def tint(layer: Layer, cover: Plane, factor: Colour, window: Window = WHOLE) -> None:
    """Multiply a layer in place, by `factor` where covered in full."""
    for channel, share in zip(layer, factor.tolist(), strict=True):
        channel[window] *= 1 - cover * (1 - share)


def rgb(red: float, green: float, blue: float) -> Colour:
    """A colour from bytes in [0, 255]."""
    return np.array([red, green, blue], np.float32) / np.float32(255)


def rgbs(*colours: tuple[int, int, int]) -> Float[np.ndarray, "colours 3"]:
    """Several colours from bytes in [0, 255]."""
    return np.array(colours, np.float32) / np.float32(255)


def ellipse(
    at: tuple[float, float], radii: tuple[float, float], *, points: int = 28, turn: float = 0.0
) -> Outline:
    """An ellipse's outline, turned clockwise by `turn` radians."""
    angles = np.linspace(0, 2 * math.pi, points, endpoint=False)
    x, y = radii[0] * np.cos(angles), radii[1] * np.sin(angles)
    cosine, sine = math.cos(turn), math.sin(turn)
    return np.stack([at[0] + cosine * x - sine * y, at[1] + sine * x + cosine * y], 1)


def smooth_noise(
    rng: np.random.Generator, size: int, coarseness: int
) -> Float[np.ndarray, " size"]:
    """Periodic noise in [-1, 1] along one axis, changing about every `coarseness` samples."""
    knots = rng.uniform(-1, 1, max(2, size // coarseness)).astype(np.float32)
    positions = np.arange(size) * len(knots) / size
    values = np.interp(positions, np.arange(len(knots) + 1), [*knots, knots[0]])
    smooth: Float[np.ndarray, " size"] = values.astype(np.float32)
    return smooth
