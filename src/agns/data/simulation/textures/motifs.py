"""Motifs scattered over a frame: spots, chips, flowers, and the cells between their borders.

Convention:
    Sites lie on a lattice, each off by some jitter. A shape says how many pixels a point is inside
    the motif of a site (below 0: outside), from its way to the site along the lattice's two
    directions, in pixels. A pixel belongs to the deepest of the nine sites around it, so a motif
    should not reach further than one and a half spacings.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Float32, Int64

from agns.accessory.frame import FRAME_SIZE
from agns.data.simulation.textures.fields import Colours, Field, Palette, relief, step

SITES = 1024
"""Sites before they come again, further apart than the crop is wide."""

_SIDE = 32
_PAIRED = np.indices((3, 3)).reshape(2, 9, 1) - 1

Ways: TypeAlias = Float32[np.ndarray, "9 pixels"]
Sites: TypeAlias = Int64[np.ndarray, "9 pixels"]
Shape: TypeAlias = Callable[[Ways, Ways, Sites], Ways]


class Motifs(NamedTuple):
    """Which motif each pixel belongs to, and where in it the pixel lies."""

    site: Int64[np.ndarray, "64 176"]
    """Its site, below `SITES`, to look up what was drawn for each site; 0 off the frame."""
    depth: Field
    """Pixels inside its outline; below 0 outside, and off the frame."""
    gap: Field
    """How much deeper than in the next motif: 0 on the border of two cells."""
    x: Field
    """Pixels from its site along the lattice's first direction."""
    y: Field
    """Pixels from its site along the other."""

    @property
    def cover(self) -> Field:
        """1 inside the motifs and 0 outside, over about a pixel."""
        return step(self.depth, 0, 0.6)

    def border(self, width: float) -> Field:
        """1 along the borders between cells, so many pixels wide, and 0 elsewhere."""
        return 1 - step(self.gap, width, 0.8)

    def colours(self, rng: np.random.Generator, palette: Palette) -> Colours:
        """One of the colours for each site."""
        drawn: Colours = palette[rng.integers(len(palette), size=SITES)][self.site]
        return drawn


@functools.cache
def _pixels() -> Float32[np.ndarray, "2 pixels"]:
    """(column, row) of the frame's pixels."""
    return np.argwhere(relief().mask).T[::-1].astype(np.float32)


def scatter(
    rng: np.random.Generator,
    spacing: float,
    shape: Shape,
    *,
    jitter: float = 0.3,
    angle: float = 0.0,
    stagger: float = 0.5,
) -> Motifs:
    """Scatter motifs over the frame.

    Args:
        rng: Draws the lattice's origin and the jitter.
        spacing: Pixels between two sites.
        shape: How deep a point lies in a site's motif.
        jitter: How far a site may be off, in spacings.
        angle: Of the lattice's first direction; 0 is to the right.
        stagger: How far each second row is shifted, in spacings.
    """
    columns, rows = _pixels()
    cos, sin = np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)
    origin = rng.uniform(0, _SIDE, 2).astype(np.float32)
    p = (columns * cos + rows * sin) / np.float32(spacing) + origin[0]
    q = (rows * cos - columns * sin) / np.float32(spacing) + origin[1]
    off = rng.uniform(-jitter, jitter, (2, SITES)).astype(np.float32)
    row = np.floor(q).astype(np.int64) + _PAIRED[0]
    shift = np.float32(stagger) * (row % 2)
    column = np.floor(p - shift).astype(np.int64) + _PAIRED[1]
    site = row % _SIDE * _SIDE + column % _SIDE
    x = (p - column - shift - 0.5 - off[0, site]).astype(np.float32) * np.float32(spacing)
    y = (q - row - 0.5 - off[1, site]).astype(np.float32) * np.float32(spacing)
    inside = shape(x, y, site)
    owner = inside.argmax(0)[None]
    depth = np.take_along_axis(inside, owner, 0)
    np.put_along_axis(inside, owner, -np.inf, 0)
    gap = depth - inside.max(0)
    fields = np.zeros((4, *FRAME_SIZE), np.float32)
    fields[0] = -spacing
    mine = (np.take_along_axis(values, owner, 0)[0] for values in (x, y))
    fields[:, relief().mask] = np.stack([depth[0], gap[0], *mine])
    sites = np.zeros(FRAME_SIZE, np.int64)
    sites[relief().mask] = np.take_along_axis(site, owner, 0)[0]
    return Motifs(sites, *fields)


def cells(x: Ways, y: Ways, site: Sites) -> Ways:
    """Cells whose borders are as far from one site as from another (Voronoi's)."""
    return -np.hypot(x, y)


def patches(x: Ways, y: Ways, site: Sites) -> Ways:
    """Cells with square corners."""
    return -np.maximum(np.abs(x), np.abs(y))


def discs(radius: Float32[np.ndarray, " sites"]) -> Shape:
    """Discs of these radii in pixels; below 0 for none."""
    return lambda x, y, site: radius[site] - np.hypot(x, y)


def lobed(
    rng: np.random.Generator, radius: Float32[np.ndarray, " sites"], lobes: int, depth: float
) -> Shape:
    """Rosettes: discs whose radius goes in and out with so many lobes, each turned its own way."""
    turn = rng.uniform(0, np.pi * 2, SITES).astype(np.float32)

    def shape(x: Ways, y: Ways, site: Sites) -> Ways:
        swing = np.cos(lobes * (np.arctan2(y, x) - turn[site]))
        return radius[site] * (1 - np.float32(depth) * (1 - swing)) - np.hypot(x, y)

    return shape


def rods(
    turn: Float32[np.ndarray, " sites"],
    half: Float32[np.ndarray, " sites"],
    radius: Float32[np.ndarray, " sites"],
) -> Shape:
    """Rods with round ends: their turn in radians, half their length, and their radius."""
    cos, sin = np.cos(turn), np.sin(turn)

    def shape(x: Ways, y: Ways, site: Sites) -> Ways:
        length = x * cos[site] + y * sin[site]
        aside = y * cos[site] - x * sin[site]
        return radius[site] - np.hypot(np.clip(np.abs(length) - half[site], 0, None), aside)

    return shape


def chips(rng: np.random.Generator, radius: Float32[np.ndarray, " sites"]) -> Shape:
    """Broken stones: cut by four straight edges at about these distances."""
    turn = rng.uniform(0, np.pi * 2, SITES).astype(np.float32)
    cuts = [
        (
            turn + rng.normal(side * np.pi / 2, 0.3, SITES).astype(np.float32),
            radius * rng.uniform(0.6, 1.3, SITES).astype(np.float32),
        )
        for side in range(4)
    ]

    def shape(x: Ways, y: Ways, site: Sites) -> Ways:
        edges = [
            reach[site] - x * np.cos(angle)[site] - y * np.sin(angle)[site] for angle, reach in cuts
        ]
        return np.minimum.reduce(edges)

    return shape
