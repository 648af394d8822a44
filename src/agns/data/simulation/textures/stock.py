"""The shop's stock: which families of textures there are, in which shares, and a frame of one."""

from collections.abc import Callable
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import UInt8

from agns.accessory.frame import FRAME_SIZE
from agns.data.simulation.textures import acetates, plain, prints
from agns.data.simulation.textures.fields import Colours, relief
from agns.data.simulation.textures.light import lit, riveted

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


def chosen(rng: np.random.Generator) -> Texture:
    """Draw a family of textures, by its share of the stock."""
    shares = np.cumsum([share for share, _ in _STOCK.values()])
    return tuple(_STOCK)[int(np.searchsorted(shares, rng.random() * shares[-1], side="right"))]


def painted(texture: Texture, rng: np.random.Generator) -> UInt8[np.ndarray, "64 176 3"]:
    """Draw one frame of a family, lit, on black."""
    colours = lit(_STOCK[texture][1](rng), rng)
    if rng.random() < 0.25:
        colours = riveted(colours, rng)
    frame = np.zeros((*FRAME_SIZE, 3), np.uint8)
    frame[relief().mask] = np.round(255 * np.clip(colours, 0, 1))
    return frame
