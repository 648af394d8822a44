"""The shop's stock: which families of textures there are, in which shares, and a frame of one."""

from collections.abc import Callable
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import UInt8

from agns.accessory.frame import FRAME_SIZE
from agns.data.simulation.textures import acetates, plain, prints
from agns.data.simulation.textures.fields import Colours, relief
from agns.data.simulation.textures.light import lit, riveted
from agns.errors import ConfigError

Painter: TypeAlias = Callable[[np.random.Generator], Colours]

Texture = Literal[
    "solid", "gradient", "two-tone", "tortoiseshell", "wood", "marble", "stripes", "plaid",
    "speckle", "translucent",
    "laminate", "rainbow", "swirl", "tie-dye", "terrazzo", "confetti", "mosaic", "splash",
    "painted", "color-blocks",
    "leopard", "zebra", "floral", "polka-dots", "tartan", "argyle", "camouflage", "patchwork",
    "comic",
]  # fmt: skip

_STOCK: dict[Texture, tuple[int, Painter]] = {
    "solid": (22, plain.solid),
    "gradient": (13, plain.gradient),
    "two-tone": (12, plain.two_tone),
    "tortoiseshell": (17, plain.tortoiseshell),
    "wood": (7, plain.wood),
    "marble": (7, plain.marble),
    "stripes": (5, plain.stripes),
    "plaid": (4, plain.plaid),
    "speckle": (5, plain.speckle),
    "translucent": (8, plain.translucent),
    "laminate": (3, acetates.laminate),
    "rainbow": (3, acetates.rainbow),
    "swirl": (4, acetates.swirl),
    "tie-dye": (2, acetates.tie_dye),
    "terrazzo": (3, acetates.terrazzo),
    "confetti": (3, acetates.confetti),
    "mosaic": (2, acetates.mosaic),
    "splash": (3, acetates.splash),
    "painted": (3, acetates.painted),
    "color-blocks": (4, acetates.color_blocks),
    "leopard": (4, prints.leopard),
    "zebra": (2, prints.zebra),
    "floral": (4, prints.floral),
    "polka-dots": (2, prints.polka_dots),
    "tartan": (2, prints.tartan),
    "argyle": (1, prints.argyle),
    "camouflage": (1, prints.camouflage),
    "patchwork": (2, prints.patchwork),
    "comic": (2, prints.comic),
}
"""Frames of each family among 150 of the shop, 100 of them plain, and who paints it."""

VERSION = 2
"""The stock's version, to be raised when another frame is drawn for an index."""

_FAMILIES: dict[int, tuple[Texture, ...]] = {1: tuple(_STOCK)[:10], VERSION: tuple(_STOCK)}
"""The families of each version: the first had only the plain ones, in the same proportions."""


def shares(version: int = VERSION) -> dict[Texture, float]:
    """Share of each family in a version's stock; together 1.

    Raises:
        ConfigError: There is no such version.
    """
    if version not in _FAMILIES:
        raise ConfigError(f"the drawn frames have the versions 1 to {VERSION}, got {version}")
    parts = {texture: _STOCK[texture][0] for texture in _FAMILIES[version]}
    return {texture: part / sum(parts.values()) for texture, part in parts.items()}


def chosen(rng: np.random.Generator, version: int = VERSION) -> Texture:
    """Draw a family of textures, by its share of the stock."""
    parts = shares(version)
    sums = np.cumsum(list(parts.values()))
    return tuple(parts)[int(np.searchsorted(sums, rng.random() * sums[-1], side="right"))]


def painted(texture: Texture, rng: np.random.Generator) -> UInt8[np.ndarray, "64 176 3"]:
    """Draw one frame of a family, lit, on black."""
    colours = lit(_STOCK[texture][1](rng), rng)
    if rng.random() < 0.25:
        colours = riveted(colours, rng)
    frame = np.zeros((*FRAME_SIZE, 3), np.uint8)
    frame[relief().mask] = np.round(255 * np.clip(colours, 0, 1))
    return frame
