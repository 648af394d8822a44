"""The plain families: what most of a shop's frames are made of."""

import numpy as np

from agns.data.simulation.textures.fields import Colours, filled, mix, noise, relief, step, wave
from agns.data.simulation.textures.palettes import colour, dark_and_light, pair


def solid(rng: np.random.Generator) -> Colours:
    """One colour."""
    names = "black black black brown brown blue blue red green grey bright bright pastel violet"
    return filled(colour(rng, names))


def gradient(rng: np.random.Generator) -> Colours:
    """From one colour to another: downwards, outwards, or across."""
    shape, across = relief(), rng.random()
    along = shape.v if across < 0.65 else np.abs(shape.u) if across < 0.85 else shape.u / 2 + 0.5
    dark, light = dark_and_light(rng)
    if across >= 0.65 and rng.random() < 0.5:
        dark, light = light, dark
    return mix(dark, light, step(along, rng.uniform(0.35, 0.6), rng.uniform(0.25, 0.55)))


def two_tone(rng: np.random.Generator) -> Colours:
    """Two colours that meet: brow and rims, front and temples, or face and edge."""
    shape, where = relief(), rng.random()
    dark, light = dark_and_light(rng)
    if where < 0.5:
        rise = rng.uniform(-0.15, 0.15) * np.abs(shape.u)
        return mix(dark, light, step(shape.v + rise, rng.uniform(0.18, 0.55), 0.03))
    if where < 0.75:
        return mix(light, dark, step(np.abs(shape.u), rng.uniform(0.6, 0.85), 0.02))
    if rng.random() < 0.5:
        dark, light = light, dark
    return mix(light, dark, step(shape.depth, rng.uniform(1.6, 3), 0.7))


def tortoiseshell(rng: np.random.Generator) -> Colours:
    """Dark blots in amber, or in another light colour."""
    dark, light = pair(rng, "tortoise")
    fine = int(rng.integers(4, 8))
    blots = noise(rng, fine, 3 * fine - 2) + 0.45 * noise(rng, 2 * fine, 5 * fine)
    glow = np.clip(0.5 + 0.35 * noise(rng, 3, 8), 0, 1)
    base = mix(0.72 * light, light, glow)
    threshold = rng.uniform(-0.5, 0.55)
    half = mix(base, 0.4 * (dark + light), step(blots, threshold - 0.35, 0.35))
    return mix(half, dark, step(blots, threshold + 0.3, 0.3))


def wood(rng: np.random.Generator) -> Colours:
    """Growth rings."""
    dark, light = pair(rng, "wood")
    rings = rng.uniform(2, 6) * relief().v + rng.uniform(0.3, 0.8) * noise(rng, 2, 4)
    grain = 0.52 + 0.27 * np.sin(2 * np.pi * rings) + 0.22 * noise(rng, 16, 4)
    return mix(dark, light, np.clip(grain + 0.12 * noise(rng, 3, 6), 0, 1))


def marble(rng: np.random.Generator) -> Colours:
    """Veins in stone."""
    stone, vein = pair(rng, "marble")
    clouds = np.clip(0.3 + 0.25 * noise(rng, 4, 10), 0, 0.7)
    base = mix(stone, (stone + vein) / 2, clouds)
    for strength, waves in ((0.9, 3), (0.55, 5)):
        field = noise(rng, waves, 3 * waves) + 0.3 * noise(rng, 3 * waves, 8 * waves)
        width = rng.uniform(0.12, 0.28)
        base = mix(base, vein, strength * np.exp(-((field / width) ** 2)))
    return base


def stripes(rng: np.random.Generator) -> Colours:
    """Stripes of two colours, sometimes with a third."""
    angle = float(rng.choice([0, np.pi / 2, np.pi / 4, -np.pi / 4])) + rng.normal(0, 0.08)
    period = rng.uniform(7, 18)
    bands = wave(rng, angle, period)
    first, second = dark_and_light(rng)
    colours = mix(first, second, step(bands, rng.uniform(-0.4, 0.4), 3.6 / period))
    if rng.random() < 0.4:
        third = colour(rng, "bright amber pastel")
        thin = wave(rng, angle, 2.5 * period)
        colours = mix(colours, third, 0.8 * step(thin, 0.8, 0.2))
    return colours


def plaid(rng: np.random.Generator) -> Colours:
    """Broad and thin bands, level and upright."""
    base = colour(rng, "red green blue black brown amber pastel")
    colours = filled(base)
    broad, thin = colour(rng, "black blue green red brown"), colour(rng, "bright pastel amber")
    period, tilt = rng.uniform(12, 22), float(rng.choice([0, 0, np.pi / 4])) + rng.normal(0, 0.05)
    for angle in (tilt, tilt + np.pi / 2):
        colours = mix(colours, broad, 0.55 * step(wave(rng, angle, period), 0.0, 0.35))
        colours = mix(colours, thin, 0.5 * step(wave(rng, angle, period), 0.9, 0.15))
    return colours


def speckle(rng: np.random.Generator) -> Colours:
    """Chips of up to three colours, soft at the edge."""
    base = colour(rng, "black black pastel grey brown blue green")
    colours = filled(base)
    fine = int(rng.integers(11, 17))
    for _ in range(int(rng.integers(1, 4))):
        chip = colour(rng, "bright bright pastel amber red blue grey brown")
        chips = step(noise(rng, fine, 3 * fine), rng.uniform(0.5, 1.1), 0.3)
        colours = mix(colours, chip, 0.9 * chips)
    return colours


def translucent(rng: np.random.Generator) -> Colours:
    """Dye in clear acetate."""
    dye = colour(rng, "pastel pastel pastel amber blue red green grey violet")
    clear = 0.55 * dye + 0.38
    # The dye is seen along the edge, where the eye looks through more of it.
    thin = step(relief().depth, 2.4, 2.2) * rng.uniform(0.5, 0.9)
    ripple = 0.06 * noise(rng, 3, 7)
    return mix(0.85 * dye, clear, thin) + ripple[..., None]
