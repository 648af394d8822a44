"""Motifs scattered over a frame: spots, chips, flowers, and the cells between their borders.

Convention:
    Sites lie on a lattice, each off by some jitter. A shape says how many pixels a point is inside
    the motif of a site (below 0: outside), from its way to the site along the lattice's two
    directions, in pixels. A pixel belongs to the deepest of the nine sites around it, so a motif
    should not reach further than a spacing.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Float32, Int64

from agns.data.simulation.textures.fields import Colours, Field, Palette, relief, step

SITES = 1024
"""Sites that differ: 32 to each side, after which they come again."""

_SIDE = 32
_NEAR = np.arange(-1, 2)

Ways: TypeAlias = Float32[np.ndarray, " points"]
Sites: TypeAlias = Int64[np.ndarray, " points"]
OfSite: TypeAlias = Float32[np.ndarray, " sites"]


class Shape(NamedTuple):
    """What a motif looks like."""

    inside: Callable[[Ways, Ways, Sites], Ways]
    """Pixels inside the motif, from the ways to the site and the site."""
    reach: OfSite
    """Pixels from each site beyond which nothing is in its motif."""


class Motifs(NamedTuple):
    """Which motif each pixel belongs to, and where in it the pixel lies."""

    site: Int64[np.ndarray, " pixels"]
    """Its site, below `SITES`, to look up what was drawn for each site."""
    depth: Field
    """Pixels inside its outline; below 0 outside."""
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
        shape: Of each motif.
        jitter: How far a site may be off, in spacings.
        angle: Of the lattice's first direction; 0 is to the right.
        stagger: How far each second row is shifted, in spacings.
    """
    columns, rows = relief().column / np.float32(spacing), relief().row / np.float32(spacing)
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    origin = rng.uniform(0, _SIDE, 2).astype(np.float32)
    p, q = columns * cos + rows * sin + origin[0], rows * cos - columns * sin + origin[1]
    off = spacing * rng.uniform(0.5 - jitter, 0.5 + jitter, (2, SITES))
    off_x, off_y = off.astype(np.float32)
    # Nine sites around each pixel: three rows of the lattice by three columns.
    row = np.floor(q).astype(np.int64) + _NEAR[:, None]
    p = p - np.float32(stagger) * (row & 1).astype(np.float32)
    column = np.floor(p).astype(np.int64)[:, None] + _NEAR[:, None]
    site = (row % _SIDE * _SIDE)[:, None] + (column & (_SIDE - 1))
    x = (p[:, None] - column.astype(np.float32)) * np.float32(spacing) - off_x.take(site)
    y = ((q - row.astype(np.float32)) * np.float32(spacing))[:, None] - off_y.take(site)
    near = np.flatnonzero(x * x + y * y < (shape.reach * shape.reach).take(site))
    inside = np.full(x.shape, -spacing, np.float32)
    inside.put(near, shape.inside(x.take(near), y.take(near), site.take(near)))
    inside = inside.reshape(9, -1)
    own = inside.argmax(0) * len(columns) + np.arange(len(columns))
    depth = inside.take(own)
    inside.put(own, -np.inf)
    return Motifs(site.take(own), depth, depth - inside.max(0), x.take(own), y.take(own))


_EVERYWHERE = np.full(SITES, np.inf, np.float32)

CELLS = Shape(lambda x, y, _: -np.sqrt(x * x + y * y), _EVERYWHERE)
"""Cells whose borders are as far from one site as from another (Voronoi's)."""

PATCHES = Shape(lambda x, y, _: -np.maximum(np.abs(x), np.abs(y)), _EVERYWHERE)
"""Cells with square corners."""


def discs(radius: OfSite) -> Shape:
    """Discs of these radii in pixels."""
    return Shape(lambda x, y, site: radius[site] - np.sqrt(x * x + y * y), radius + 1)


def lobed(rng: np.random.Generator, radius: OfSite, lobes: tuple[int, ...], depth: float) -> Shape:
    """Rosettes and blots: discs whose radius goes in and out by up to twice the depth.

    It does so with each of these numbers of lobes, turned its own way at each site.
    """
    turns = rng.uniform(0, np.pi * 2, (len(lobes), SITES)).astype(np.float32)

    def inside(x: Ways, y: Ways, site: Sites) -> Ways:
        way, swing = np.arctan2(y, x), np.zeros_like(x)
        for count, turn in zip(lobes, turns, strict=True):
            swing += np.cos(count * (way - turn.take(site))) / np.float32(len(lobes))
        outline = radius.take(site) * (1 - np.float32(depth) * (1 - swing))
        within: Ways = outline - np.sqrt(x * x + y * y)
        return within

    return Shape(inside, radius + 1)


def rods(turn: OfSite, half: OfSite, radius: OfSite) -> Shape:
    """Rods with round ends: their turn in radians, half their length, and their radius."""
    table = np.stack([np.cos(turn), np.sin(turn), half, radius], -1)

    def inside(x: Ways, y: Ways, site: Sites) -> Ways:
        cos, sin, long, wide = table.take(site, 0).T
        beyond, aside = np.clip(np.abs(x * cos + y * sin) - long, 0, None), y * cos - x * sin
        depth: Ways = wide - np.sqrt(beyond * beyond + aside * aside)
        return depth

    return Shape(inside, half + radius + 1)


def chips(rng: np.random.Generator, radius: OfSite) -> Shape:
    """Broken stones: cut by four straight edges at about these distances."""
    angle = rng.uniform(0, np.pi * 2, SITES) + rng.normal(0, 0.3, (4, SITES))
    angle += np.arange(4)[:, None] * np.pi / 2
    cut = radius * rng.uniform(0.6, 1.3, (4, SITES))
    table = np.concatenate([np.cos(angle), np.sin(angle), cut]).T.astype(np.float32)

    def inside(x: Ways, y: Ways, site: Sites) -> Ways:
        cos, sin, reach = table.take(site, 0).T.reshape(3, 4, -1)
        depth: Ways = (reach - x * cos - y * sin).min(0)
        return depth

    return Shape(inside, 2 * radius + 1)
