"""Textures of acetate frames, drawn from a generator: colours first, then the light on them.

Fields are float32 over the 64x176 crop. Waves and blobs are kept wider than about four pixels,
so that a small generator can learn them.
"""

from collections.abc import Callable
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import UInt8

from agns.accessory.frame import FRAME_SIZE
from agns.data.simulation.fields import Colour, Colours, mix, noise, relief, step, wave

Painter: TypeAlias = Callable[[np.random.Generator], Colours]

Texture = Literal[
    "solid", "gradient", "two-tone", "tortoiseshell", "wood", "marble", "stripes", "plaid",
    "speckle", "translucent",
]  # fmt: skip

_PALETTES = {
    "black": "141417 1d1b1c 241d1b 161c26 251822 1b231f",
    "brown": "4a2c1a 5e3820 7a4b28 8a5a34 3a2418 6b3f2a",
    "amber": "c98a3c d9a050 b8742c e0b878 a9622a e5c490 d8bf98",
    "blue": "1b2a4e 223a6b 2f5a8f 4a78b0 1f4f6b 5b8fb9",
    "red": "6b1420 8a1c2a b3202e 5a1830 c43a3a 7a2340",
    "green": "23402f 2f5a44 4b6b3a 6b7a45 1f4a4a 3d8070",
    "violet": "3a2350 56347a 7a5aa0 4a1f4a",
    "grey": "4a4c50 6b6e74 8c8f94 b4b6ba",
    "pastel": "e9c9c9 d6d1e6 c6dbe6 cfe2d1 efe2c8 e6e2dc d8d9dd f0d6c4",
    "bright": "e0402a f08a1c f2c230 2a8fd0 30a060 d0408a 18a0a0 efeee8",
}
"""What a shop stocks, as hexadecimal sRGB."""

_PAIRS = {
    "acetate": """
        141417 e6e2dc, 141417 b3202e, 1d1b1c c98a3c, 1b2a4e efeee8, 1b2a4e 5b8fb9, 4a2c1a e0b878,
        3a2418 d8bf98, 6b1420 e9c9c9, 23402f efe2c8, 23402f 6b7a45, 26262b 8c8f94, 3a2350 d6d1e6,
        1f4a4a c6dbe6, 8a1c2a efe2c8, 5e3820 3d8070, 2a1420 d08a90, 223a6b d9a050, 161c26 4a78b0,
        7a4b28 f0d6c4, 1f4f6b cfe2d1, 241d1b a9622a, 7a2340 f0a0a8, 1b231f 30a060, 4a4c50 e0c040
    """,
    "tortoise": """
        2a1710 c98a3c, 3d2414 e0b878, 1d1210 a9622a, 6b4526 e8cfa2, 16202e 4a78b0, 2b0f16 b04a3c,
        1b2a20 8fa05a, 26262b a3a4a8, 2a1a30 9a74a8, 3a2418 e5d5c0, 24140e b8742c, 33190f d09a58
    """,
    "wood": """
        3b2417 7a4b2b, 6b4426 b88550, 1d1614 4a362b, 4a1d16 8f4530, a8783f dcb57c, 8a6238 c9a066,
        4c463e 8d8474, 5a3018 a8683a
    """,
    "marble": """
        e8e5e0 8d8c90, 1a1a1d c8b27a, 1b1b1e b9babd, 2f4a40 c5d3c8, e3c3bf 8a4a52, 4a3524 d8b98a,
        28365a b4c4dc, c9cfd6 4a5a72, 5a1c2c d8a8a0
    """,
}
"""Colours that belong together: dark and light, or stone and vein."""


def _decoded(code: str) -> Colour:
    """A hexadecimal sRGB code in [0, 1]."""
    return np.frombuffer(bytes.fromhex(code), np.uint8).astype(np.float32) / 255


def _dyed(rng: np.random.Generator, codes: str) -> Colour:
    """One of the colours, off by what two batches of acetate differ."""
    base = _decoded(str(rng.choice(codes.split())))
    jitter = rng.normal(0, 0.012, 3) + rng.normal(0, 0.025)
    return np.clip(
        base * (1 + rng.normal(0, 0.05, 3) + rng.normal(0, 0.06)) + jitter, 0.04, 0.97
    ).astype(np.float32)


def _colour(rng: np.random.Generator, names: str) -> Colour:
    """A colour of one of the named palettes; a name given twice comes up twice as often."""
    return _dyed(rng, _PALETTES[str(rng.choice(names.split()))])


def _pair(rng: np.random.Generator, name: str) -> tuple[Colour, Colour]:
    """Two colours that belong together."""
    first, second = str(rng.choice(_PAIRS[name].split(","))).split()
    return _dyed(rng, first), _dyed(rng, second)


def _dark_and_light(rng: np.random.Generator) -> tuple[Colour, Colour]:
    """Two colours of acetate, most often a proven pair."""
    if rng.random() < 0.7:
        return _pair(rng, "acetate")
    dark = _colour(rng, "black black brown blue red green violet")
    return dark, _colour(rng, "pastel pastel amber grey bright blue")


def _solid(rng: np.random.Generator) -> Colours:
    names = "black black black brown brown blue blue red green grey bright bright pastel violet"
    return np.broadcast_to(_colour(rng, names), (*FRAME_SIZE, 3)).copy()


def _gradient(rng: np.random.Generator) -> Colours:
    shape, across = relief(), rng.random()
    along = shape.v if across < 0.65 else np.abs(shape.u) if across < 0.85 else shape.u / 2 + 0.5
    dark, light = _dark_and_light(rng)
    if across >= 0.65 and rng.random() < 0.5:
        dark, light = light, dark
    return mix(dark, light, step(along, rng.uniform(0.35, 0.6), rng.uniform(0.25, 0.55)))


def _two_tone(rng: np.random.Generator) -> Colours:
    shape, where = relief(), rng.random()
    dark, light = _dark_and_light(rng)
    if where < 0.5:
        rise = rng.uniform(-0.15, 0.15) * np.abs(shape.u)
        return mix(dark, light, step(shape.v + rise, rng.uniform(0.18, 0.55), 0.03))
    if where < 0.75:
        return mix(light, dark, step(np.abs(shape.u), rng.uniform(0.6, 0.85), 0.02))
    if rng.random() < 0.5:
        dark, light = light, dark
    return mix(light, dark, step(shape.depth, rng.uniform(1.6, 3), 0.7))


def _tortoiseshell(rng: np.random.Generator) -> Colours:
    dark, light = _pair(rng, "tortoise")
    fine = int(rng.integers(4, 8))
    blots = noise(rng, fine, 3 * fine - 2) + 0.45 * noise(rng, 2 * fine, 5 * fine)
    glow = np.clip(0.5 + 0.35 * noise(rng, 3, 8), 0, 1)
    base = mix(0.72 * light, light, glow)
    threshold = rng.uniform(-0.5, 0.55)
    half = mix(base, 0.4 * (dark + light), step(blots, threshold - 0.35, 0.35))
    return mix(half, dark, step(blots, threshold + 0.3, 0.3))


def _wood(rng: np.random.Generator) -> Colours:
    dark, light = _pair(rng, "wood")
    rings = rng.uniform(2, 6) * relief().v + rng.uniform(0.3, 0.8) * noise(rng, 2, 4)
    grain = 0.52 + 0.27 * np.sin(2 * np.pi * rings) + 0.22 * noise(rng, 16, 4)
    return mix(dark, light, np.clip(grain + 0.12 * noise(rng, 3, 6), 0, 1))


def _marble(rng: np.random.Generator) -> Colours:
    stone, vein = _pair(rng, "marble")
    clouds = np.clip(0.3 + 0.25 * noise(rng, 4, 10), 0, 0.7)
    base = mix(stone, (stone + vein) / 2, clouds)
    for strength, waves in ((0.9, 3), (0.55, 5)):
        field = noise(rng, waves, 3 * waves) + 0.3 * noise(rng, 3 * waves, 8 * waves)
        width = rng.uniform(0.12, 0.28)
        base = mix(base, vein, strength * np.exp(-((field / width) ** 2)))
    return base


def _stripes(rng: np.random.Generator) -> Colours:
    angle = float(rng.choice([0, np.pi / 2, np.pi / 4, -np.pi / 4])) + rng.normal(0, 0.08)
    period = rng.uniform(7, 18)
    bands = wave(rng, angle, period)
    first, second = _dark_and_light(rng)
    colours = mix(first, second, step(bands, rng.uniform(-0.4, 0.4), 3.6 / period))
    if rng.random() < 0.4:
        third = _colour(rng, "bright amber pastel")
        thin = wave(rng, angle, 2.5 * period)
        colours = mix(colours, third, 0.8 * step(thin, 0.8, 0.2))
    return colours


def _plaid(rng: np.random.Generator) -> Colours:
    base = _colour(rng, "red green blue black brown amber pastel")
    colours = np.broadcast_to(base, (*FRAME_SIZE, 3))
    broad, thin = _colour(rng, "black blue green red brown"), _colour(rng, "bright pastel amber")
    period, tilt = rng.uniform(12, 22), float(rng.choice([0, 0, np.pi / 4])) + rng.normal(0, 0.05)
    for angle in (tilt, tilt + np.pi / 2):
        colours = mix(colours, broad, 0.55 * step(wave(rng, angle, period), 0.0, 0.35))
        colours = mix(colours, thin, 0.5 * step(wave(rng, angle, period), 0.9, 0.15))
    return colours


def _speckle(rng: np.random.Generator) -> Colours:
    base = _colour(rng, "black black pastel grey brown blue green")
    colours = np.broadcast_to(base, (*FRAME_SIZE, 3))
    fine = int(rng.integers(11, 17))
    for _ in range(int(rng.integers(1, 4))):
        chip = _colour(rng, "bright bright pastel amber red blue grey brown")
        chips = step(noise(rng, fine, 3 * fine), rng.uniform(0.5, 1.1), 0.3)
        colours = mix(colours, chip, 0.9 * chips)
    return colours


def _translucent(rng: np.random.Generator) -> Colours:
    dye = _colour(rng, "pastel pastel pastel amber blue red green grey violet")
    clear = 0.55 * dye + 0.38
    # The dye is seen along the edge, where the eye looks through more of it.
    thin = step(relief().depth, 2.4, 2.2) * rng.uniform(0.5, 0.9)
    ripple = 0.06 * noise(rng, 3, 7)
    return mix(0.85 * dye, clear, thin) + ripple[..., None]


_SHELF: dict[Texture, tuple[float, Painter]] = {
    "solid": (0.22, _solid),
    "gradient": (0.13, _gradient),
    "two-tone": (0.12, _two_tone),
    "tortoiseshell": (0.17, _tortoiseshell),
    "wood": (0.07, _wood),
    "marble": (0.07, _marble),
    "stripes": (0.05, _stripes),
    "plaid": (0.04, _plaid),
    "speckle": (0.05, _speckle),
    "translucent": (0.08, _translucent),
}
"""Share of the shop's stock, and who paints it."""


def chosen(rng: np.random.Generator) -> Texture:
    """Draw a family of textures, by its share of the stock."""
    shares = np.cumsum([share for share, _ in _SHELF.values()])
    return tuple(_SHELF)[int(np.searchsorted(shares, rng.random() * shares[-1], side="right"))]


def painted(texture: Texture, rng: np.random.Generator) -> UInt8[np.ndarray, "64 176 3"]:
    """Draw one frame of a family, lit, on black."""
    colours = _lit(_SHELF[texture][1](rng), rng)
    if rng.random() < 0.25:
        colours = _riveted(colours, rng)
    colours = np.where(relief().mask[..., None], np.clip(colours, 0, 1), 0)
    return np.round(255 * colours).astype(np.uint8)


def _lit(colours: Colours, rng: np.random.Generator) -> Colours:
    """Shade by the bevel, add its gleam and a window's reflection below the brow."""
    shape = relief()
    normals = shape.normals[int(rng.integers(len(shape.normals)))]
    light = np.array([rng.normal(0, 0.35), -0.9, 1.4], np.float32)
    light /= np.linalg.norm(light)
    diffuse = 0.45 + 0.55 * np.clip(normals @ light, 0, None) / light[2]
    halfway = light + np.array([0, 0, 1], np.float32)
    halfway /= np.linalg.norm(halfway)
    gleam = np.clip(np.clip(normals @ halfway, 0, None) ** 24 - halfway[2] ** 24, 0, 1)
    gloss = rng.uniform(0.05, 0.3)
    centre, width = rng.uniform(-0.7, 0.7), rng.uniform(0.15, 0.5)
    below, beside = shape.below_brow - rng.uniform(2.5, 3.8), np.abs(shape.u) - abs(centre)
    window = np.exp(-((below / 1.3) ** 2) - (beside / width) ** 2)
    sheen = gloss * gleam + rng.uniform(0, 0.25) * window
    ambient = (1.04 + 0.035 * noise(rng, 2, 4)) * diffuse
    lit: Colours = colours * ambient[..., None] + sheen[..., None]
    return lit


def _riveted(colours: Colours, rng: np.random.Generator) -> Colours:
    """Set a small metal plate at each temple."""
    shape = relief()
    metal = np.array([0.8, 0.8, 0.82] if rng.random() < 0.6 else [0.82, 0.68, 0.4], np.float32)
    wide, high = rng.uniform(1.0, 3.2), rng.uniform(0.9, 1.4)
    across = (np.abs(shape.u) - 0.92) * 82.5 / wide
    down = (shape.v * 55 - 10) / high
    plate = 1 - step(across**4 + down**4, 1.0, 0.6)
    return mix(colours, metal * (1 - 0.12 * down.clip(-1, 1))[..., None], plate)
