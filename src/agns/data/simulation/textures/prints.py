"""The bold families of prints: hides, cloth, flowers and comics."""

import numpy as np

from agns.data.simulation.textures.fields import (
    Colours,
    Field,
    along,
    banded,
    filled,
    mix,
    noise,
    step,
    wave,
)
from agns.data.simulation.textures.motifs import (
    CELLS,
    PATCHES,
    SITES,
    discs,
    lobed,
    rods,
    scatter,
)
from agns.data.simulation.textures.palettes import colour, dark_and_light, pair, scheme


def leopard(rng: np.random.Generator) -> Colours:
    """Broken rings about a darker spot."""
    dark, light = pair(rng, "leopard")
    spacing = rng.uniform(8, 11)
    radius = spacing * rng.uniform(0.3, 0.47, SITES).astype(np.float32)
    spots = scatter(rng, spacing, lobed(rng, radius, (3,), 0.14), jitter=0.3)
    fur = mix(light, 0.82 * light, np.clip(0.5 + 0.4 * noise(rng, 3, 9), 0, 1))
    inner = mix(fur, 0.45 * dark + 0.55 * light, 0.8 * step(spots.depth, 0.8, 0.8))
    ring = spots.cover * (1 - step(spots.depth, rng.uniform(1.8, 2.4), 0.7))
    broken = step(noise(rng, 15, 42), -0.75, 0.4)
    size = rng.uniform(0.8, 1.6, SITES).astype(np.float32)
    small = scatter(rng, 0.5 * spacing, discs(size), jitter=0.4).cover
    small *= step(-spots.depth, 1.0, 0.4)
    return mix(inner, dark, np.maximum(ring * broken, small))


def zebra(rng: np.random.Generator) -> Colours:
    """Stripes that bend, swell and fork."""
    dark, light = pair(rng, "zebra")
    bend = rng.uniform(1.2, 2.2) * noise(rng, 3, 7) + 0.5 * noise(rng, 6, 16)
    stripes = wave(rng, rng.normal(0, 0.5), rng.uniform(9, 15), bend) + 0.35 * noise(rng, 4, 10)
    return mix(light, dark, step(stripes, rng.uniform(-0.2, 0.3), 0.35))


def floral(rng: np.random.Generator) -> Colours:
    """Flowers of five or six petals over leaves."""
    palette, spacing = scheme(rng, "vivid vivid muted soft"), rng.uniform(11, 17)
    ground = colour(rng, "black black blue pastel pastel green red")
    colours = filled(ground)
    turn, half = rng.uniform(0, np.pi, SITES).astype(np.float32), np.full(SITES, 0.22 * spacing)
    leaf = rods(turn, half.astype(np.float32), rng.uniform(1, 2, SITES).astype(np.float32))
    leaves = scatter(rng, 0.6 * spacing, leaf, jitter=0.4)
    colours = mix(colours, colour(rng, "green"), leaves.cover)
    radius = spacing * rng.uniform(0.32, 0.5, SITES).astype(np.float32)
    petals = (int(rng.integers(5, 7)),)
    flowers = scatter(rng, spacing, lobed(rng, radius, petals, 0.22), jitter=0.25)
    colours = mix(colours, flowers.colours(rng, palette[:3]), flowers.cover)
    heart = np.hypot(flowers.x, flowers.y)
    heart = (1 - step(heart, 0.13 * spacing, 0.7)) * flowers.cover
    return mix(colours, palette[3], heart)


def polka_dots(rng: np.random.Generator) -> Colours:
    """Dots in rows, of one colour or of some."""
    spacing = rng.uniform(6.5, 12)
    radius = np.full(SITES, spacing * rng.uniform(0.22, 0.36), np.float32)
    dots = scatter(rng, spacing, discs(radius), jitter=0, angle=rng.choice([0, np.pi / 4]))
    if rng.random() < 0.7:
        ground, dot = dark_and_light(rng)
        if rng.random() < 0.4:
            ground, dot = dot, ground
        return mix(ground, dot, dots.cover)
    palette = scheme(rng, "vivid soft")
    return mix(palette[0], dots.colours(rng, palette[1:]), dots.cover)


def tartan(rng: np.random.Generator) -> Colours:
    """A sett of broad and thin bands, the same in warp and weft."""
    palette = scheme(rng, "vivid muted muted")
    half = [0, 3, 0, 1, 2, 1, 4]
    widths = np.where(np.isin(half, (3, 4)), 1.5, rng.uniform(2.5, 8, len(half)))
    sett, wide = palette[half + half[-2:0:-1]], np.concatenate([widths, widths[-2:0:-1]])
    tilt = float(rng.choice([0, np.pi / 4])) + rng.normal(0, 0.04)
    warp = banded(sett, wide, along(tilt) + rng.uniform(0, 60))
    weft = banded(sett, wide, along(tilt + np.pi / 2) + rng.uniform(0, 60))
    woven: Colours = (warp + weft) / 2
    return woven


def argyle(rng: np.random.Generator) -> Colours:
    """Lozenges of some colours, with thin lines across them."""
    palette, spacing = scheme(rng, "vivid muted soft"), rng.uniform(9, 15)
    lozenges = scatter(rng, spacing, PATCHES, jitter=0, angle=np.pi / 4, stagger=0)
    colours = mix(
        lozenges.colours(rng, palette[:3]),
        palette[3],
        0.8 * (1 - step(np.minimum(np.abs(lozenges.x), np.abs(lozenges.y)), 0.6, 0.5)),
    )
    return colours


def camouflage(rng: np.random.Generator) -> Colours:
    """Blots of four tones over one another."""
    palette = scheme(rng, "muted muted vivid soft")
    colours = filled(palette[0])
    for tone in palette[1:4]:
        fine = int(rng.integers(5, 9))
        blots = noise(rng, fine, 5 * fine // 2) + 0.4 * noise(rng, 2 * fine, 5 * fine)
        colours = mix(colours, tone, step(blots, rng.uniform(0.2, 0.6), 0.12))
    return colours


def _pattern(rng: np.random.Generator, kind: int) -> Field:
    """How much of a second colour there is: stripes, dots or checks."""
    angle, period = rng.uniform(0, np.pi), rng.uniform(4.5, 7)
    first, second = wave(rng, angle, period), wave(rng, angle + np.pi / 2, period)
    if kind == 0:
        return step(first, rng.uniform(-0.2, 0.5), 0.5)
    if kind == 1:
        return step(first + second, 0.6, 0.6)
    checks: Field = (step(first, 0, 0.5) + step(second, 0, 0.5)) / 2
    return checks


def patchwork(rng: np.random.Generator) -> Colours:
    """Patches of striped, dotted, checked and plain cloth, sewn together."""
    palette = scheme(rng, "vivid muted muted soft")
    sewn = scatter(
        rng, rng.uniform(11, 17), PATCHES, jitter=0.25, angle=rng.normal(0, 0.25),
        stagger=rng.choice([0, 0.5]),
    )  # fmt: skip
    kinds = rng.integers(4, size=SITES)[sewn.site]
    pattern = np.select([kinds == kind for kind in range(3)], [_pattern(rng, k) for k in range(3)])
    second = sewn.colours(rng, palette)
    cloth = mix(sewn.colours(rng, palette), second, pattern.astype(np.float32))
    return mix(cloth, 0.45 * cloth, sewn.border(1.0))


def comic(rng: np.random.Generator) -> Colours:
    """Panels with black outlines: flat, in dots of the press, or with rays."""
    palette = scheme(rng, "pop")
    panels = scatter(rng, rng.uniform(15, 24), CELLS, jitter=0.4)
    paper = panels.colours(rng, palette)
    ink = panels.colours(rng, palette)
    period = rng.uniform(4, 5.5)
    dots = wave(rng, np.pi / 4, period) + wave(rng, -np.pi / 4, period)
    grow = np.clip(0.3 + 0.09 * (panels.y + panels.x), -1, 1.4)
    rays = np.sin(np.arctan2(panels.y, panels.x) * int(rng.integers(6, 10)))
    kinds = rng.integers(3, size=SITES)[panels.site]
    pattern = np.select(
        [kinds == 0, kinds == 1], [step(dots + grow, 0.6, 0.5), step(rays, 0, 0.4)], 0
    )
    colours = mix(paper, ink, pattern.astype(np.float32))
    return mix(colours, np.array([0.07, 0.07, 0.08], np.float32), panels.border(2.2))
