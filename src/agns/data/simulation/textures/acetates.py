"""The bold families of acetate: what is laminated, cast with chips, or marbled."""

import math

import numpy as np

from agns.data.simulation.textures.fields import (
    Colours,
    along,
    banded,
    filled,
    mix,
    noise,
    relief,
    step,
)
from agns.data.simulation.textures.motifs import CELLS, SITES, chips, lobed, rods, scatter
from agns.data.simulation.textures.palettes import colour, scheme


def _angle(rng: np.random.Generator) -> float:
    """Level, upright, or aslant by an eighth of a turn, and never quite."""
    return float(rng.choice([0, np.pi / 2, np.pi / 4, -np.pi / 4]) + rng.normal(0, 0.08))


def laminate(rng: np.random.Generator) -> Colours:
    """Sheets glued on one another, seen where the edge is cut: along it, or across the front."""
    palette, shape = scheme(rng, "vivid muted muted soft"), relief()
    if rng.random() < 0.5:
        run, widths = shape.depth, rng.uniform(1.6, 3.2, 3)
    else:
        rise = rng.uniform(-6, 6) * shape.u**2 + rng.uniform(-3, 3) * shape.u
        run, widths = 55 * shape.v + rise, rng.uniform(3, 10, 5)
    return banded(palette[: len(widths)], widths, run + rng.uniform(0, 1) * noise(rng, 2, 5))


def rainbow(rng: np.random.Generator) -> Colours:
    """Stripes of many colours, straight or wavy."""
    palette, angle = scheme(rng, "vivid vivid muted soft"), _angle(rng)
    bend = rng.uniform(1, 3) * noise(rng, 3, 8) if rng.random() < 0.35 else 0
    palette = palette[rng.permutation(np.arange(10) % len(palette))]
    return banded(palette, rng.uniform(2.5, 8, len(palette)), along(angle) + bend)


def swirl(rng: np.random.Generator) -> Colours:
    """Colours poured into one another, in veins like an agate's."""
    palette = scheme(rng, "vivid muted muted soft")[: int(rng.integers(2, 5))]
    poured = (
        9 * noise(rng, 2, 6) + 4 * noise(rng, 5, 12) + rng.uniform(0.1, 0.5) * along(_angle(rng))
    )
    widths = rng.uniform(3, 8, len(palette))
    return banded(palette, widths, poured)


def tie_dye(rng: np.random.Generator) -> Colours:
    """Dye in rings or a spiral about a knot, run at the edges."""
    palette, shape = scheme(rng, "vivid vivid soft"), relief()
    x, y = 88 * (shape.u - rng.uniform(-0.8, 0.8)), 55 * (shape.v - rng.uniform(0, 1))
    radius = np.hypot(x, y) + 3.5 * noise(rng, 5, 13)
    period = rng.uniform(35, 60)
    arms = int(rng.integers(-2, 3)) * np.arctan2(y, x) / (2 * np.pi)
    turns = (radius / period + arms) % 1 * len(palette)
    place = np.floor(turns).astype(np.int64) % len(palette)
    run = step(turns % 1, 0.5, rng.uniform(0.3, 0.5))
    dyed = mix(palette[place], palette[(place + 1) % len(palette)], run)
    pale = np.clip(0.15 + 0.2 * noise(rng, 8, 20), 0, 0.6)
    return mix(dyed, np.array([0.95, 0.94, 0.92], np.float32), pale)


def terrazzo(rng: np.random.Generator) -> Colours:
    """Chips of stone in a pale or a dark ground."""
    ground = colour(rng, "pastel pastel pastel grey black")
    palette = scheme(rng, "muted muted vivid")
    colours = filled(ground)
    for spacing in (rng.uniform(7, 10), rng.uniform(4.5, 6)):
        size = rng.uniform(0.1, 0.42, SITES).astype(np.float32) * np.float32(spacing)
        stones = scatter(rng, spacing, chips(rng, size), jitter=0.4)
        colours = mix(colours, stones.colours(rng, palette), stones.cover)
    return colours


def confetti(rng: np.random.Generator) -> Colours:
    """Snippets of many colours cast in black, white or a colour."""
    colours = filled(colour(rng, "black black pastel blue bright"))
    palette, spacing = scheme(rng, "vivid vivid vivid muted"), rng.uniform(6, 9)
    turn = rng.uniform(0, np.pi, SITES).astype(np.float32)
    long = spacing * rng.uniform(0, 0.45, SITES) * rng.integers(0, 2)
    wide = rng.uniform(1.1, 2.2, SITES)
    for _ in range(2):
        pieces = scatter(
            rng, spacing, rods(turn, long.astype(np.float32), wide.astype(np.float32)), jitter=0.45
        )
        colours = mix(colours, pieces.colours(rng, palette), pieces.cover)
    return colours


def mosaic(rng: np.random.Generator) -> Colours:
    """Tiles of a few colours, each of its own shade, in grout."""
    palette = scheme(rng, "vivid muted")[: int(rng.integers(2, 6))]
    tiles = scatter(rng, rng.uniform(6.5, 9.5), CELLS, jitter=rng.uniform(0.15, 0.4))
    shade = rng.normal(1, 0.13, SITES).astype(np.float32)[tiles.site]
    grout = colour(rng, "pastel black grey amber")
    return mix(tiles.colours(rng, palette) * shade[..., None], grout, 0.9 * tiles.border(1.3))


def splash(rng: np.random.Generator) -> Colours:
    """Paint thrown at a plain frame: blots, and drops beside them."""
    palette = scheme(rng, "vivid vivid vivid soft")
    colours = filled(palette[0] if rng.random() < 0.4 else colour(rng, "black pastel pastel blue"))
    for spacing, low, high in ((12, 3, 8.5), (6.5, 0.8, 2.4)):
        radius = np.exp(rng.uniform(np.log(low), np.log(high), SITES)).astype(np.float32)
        blots = scatter(rng, spacing, lobed(rng, radius, (2, 3, 5), 0.3), jitter=0.5)
        colours = mix(colours, blots.colours(rng, palette[1:]), blots.cover)
    return colours


def painted(rng: np.random.Generator) -> Colours:
    """Strokes of a broad brush over one another."""
    palette, flow = scheme(rng, "vivid muted soft"), rng.uniform(0, np.pi)
    colours = filled(palette[0])
    for _ in range(3):
        spacing = rng.uniform(9, 12)
        turn = rng.normal(0, 0.35, SITES).astype(np.float32)
        half = spacing * rng.uniform(0.25, 0.65, SITES).astype(np.float32)
        wide = rng.uniform(1.6, 3.4, SITES).astype(np.float32)
        strokes = scatter(rng, spacing, rods(turn, half, wide), jitter=0.5, angle=flow)
        colours = mix(colours, strokes.colours(rng, palette), 0.9 * strokes.cover)
    return colours * (1 + 0.05 * noise(rng, 12, 34))[..., None]


def color_blocks(rng: np.random.Generator) -> Colours:
    """Straight cuts of strong colours, most often alike on both sides."""
    palette, shape = scheme(rng, "vivid vivid muted"), relief()
    mirrored = rng.random() < 0.6
    x = 88 * (np.abs(shape.u) if mirrored else shape.u)
    y = 55 * (shape.v - 0.5)
    colours = filled(palette[0])
    # Cuts go through pixels of the frame, or they would miss it.
    for tone, at in zip(palette[1:], rng.integers(len(x), size=4), strict=True):
        angle = rng.uniform(0, 2 * np.pi)
        cut = (x - x[at]) * math.cos(angle) + (y - y[at]) * math.sin(angle)
        if rng.random() < 0.35:
            cut = rng.uniform(6, 14) - np.abs(cut)
        colours = mix(colours, tone, step(cut, 0, 0.7))
    return colours
