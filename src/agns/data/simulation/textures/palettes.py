"""Colours of acetate, and those that belong together, drawn from a generator."""

import numpy as np

from agns.data.simulation.textures.fields import Colour, Palette

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
    "leopard": """
        2a1710 d9a860, 1d1210 e0b878, 241812 c98a4c, 1c1a1c c8c4be, 2a1410 e8cfa2, 1a1a22 8aa8c4,
        2b0f16 d88078, 141417 e8e0d0, 2a1a30 b898c0
    """,
    "zebra": """
        141417 efeee8, 141417 efeee8, 2a1710 efe2c8, 1b2a4e efeee8, 141417 d98a30, 141417 b3202e,
        3a2350 d6d1e6, 23402f cfe2d1, 141417 8c8f94, 6b1420 f0d6c4, 16202e 4a9ab0
    """,
}
"""Colours that belong together: dark and light, or stone and vein."""


_SCHEMES = {
    "vivid": """
        e0402a f2c230 2a8fd0 30a060 efeee8, d0408a f08a1c 18a0a0 f2c230 3a2350,
        264653 2a9d8f e9c46a f4a261 e76f51, ef476f ffd166 06d6a0 118ab2 073b4c,
        f72585 7209b7 3a0ca3 4361ee 4cc9f0, 8ecae6 219ebc 023047 ffb703 fb8500,
        2b2d42 8d99ae edf2f4 ef233c d90429, e63946 f1faee a8dadc 457b9d 1d3557,
        e23c6e f7a4b8 fbe9d0 5ab5a8 234e70, 141417 efeee8 e0402a f2c230 2f5a8f,
        ff6b35 f7c59f efefd0 004e89 1a659e, 7bc043 f37736 fdf498 0392cf ee4035
    """,
    "muted": """
        0f4c5c e36414 fb8b24 9a031e f1e3c6, 606c38 283618 f4edd0 dda15e bc6c25,
        335c67 f3e6b3 e09f3e 9e2a2b 540b0e, 3d2414 c98a3c 6b1420 efe2c8 23402f,
        1b2a4e c43a3a efe2c8 d9a050 4a78b0, 5a3018 d8b98a 8a4a52 2f4a40 e8e5e0,
        4a4c50 b4b6ba 1d1b1c e6e2dc 8a3a30, 2a1a30 9a74a8 d6c4d8 c98a3c 5a1830,
        16202e 4a6a78 c9cfd6 b8854c 6b3f2a, 26402f 7a8f5a e0d8b0 a85a3a 3a2418
    """,
    "pop": """
        f2c230 e0402a 2a8fd0 efeee8 f2c230, ef476f ffd166 06c6c0 efeee8 118ab2,
        efeee8 e0402a 141417 f2c230 efeee8, 4cc9f0 f72585 f2e050 efeee8 7209b7,
        f08a1c 18a0a0 efeee8 d0408a f2c230
    """,
    "soft": """
        cdb4db f0bfd4 f5a8c8 bde0fe a2d2f0, d8e2dc f3e0d0 f5c8d0 f0acb7 9d8189,
        c6dbe6 f0d6c4 e9c9c9 a8c0a0 f2ead8, b8d8d8 7a9e9f e8efe0 f0a898 fe8a71,
        e6e2dc c8b8a0 a0b8c0 e0a890 70808c, f0e0a8 f5b89a d898a8 a8b8d8 b0d4b8
    """,
}
"""Colours for a frame of many."""


def _decoded(code: str) -> Colour:
    """A hexadecimal sRGB code in [0, 1]."""
    return np.frombuffer(bytes.fromhex(code), np.uint8).astype(np.float32) / 255


def dyed(rng: np.random.Generator, codes: str) -> Colour:
    """One of the colours, off by what two batches of acetate differ."""
    base = _decoded(str(rng.choice(codes.split())))
    jitter = rng.normal(0, 0.012, 3) + rng.normal(0, 0.025)
    return np.clip(
        base * (1 + rng.normal(0, 0.05, 3) + rng.normal(0, 0.06)) + jitter, 0.04, 0.97
    ).astype(np.float32)


def colour(rng: np.random.Generator, names: str) -> Colour:
    """A colour of one of the named palettes; a name given twice comes up twice as often."""
    return dyed(rng, _PALETTES[str(rng.choice(names.split()))])


def pair(rng: np.random.Generator, name: str) -> tuple[Colour, Colour]:
    """Two colours that belong together."""
    first, second = str(rng.choice(_PAIRS[name].split(","))).split()
    return dyed(rng, first), dyed(rng, second)


def dark_and_light(rng: np.random.Generator) -> tuple[Colour, Colour]:
    """Two colours of acetate, most often a proven pair."""
    if rng.random() < 0.7:
        return pair(rng, "acetate")
    dark = colour(rng, "black black brown blue red green violet")
    return dark, colour(rng, "pastel pastel amber grey bright blue")


def scheme(rng: np.random.Generator, names: str) -> Palette:
    """Five colours that belong together, in any order, of one of the named kinds."""
    codes = str(rng.choice(_SCHEMES[str(rng.choice(names.split()))].split(","))).split()
    order = rng.permutation(len(codes))
    base = np.stack([_decoded(codes[place]) for place in order])
    colours: Palette = np.clip(
        base * (1 + rng.normal(0, 0.05, base.shape)) + rng.normal(0, 0.025), 0.04, 0.97
    ).astype(np.float32)
    return colours
