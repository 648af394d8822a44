"""The attacks there are, behind one function."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeAlias

from agns.attack.agn import AGN
from agns.attack.choice import ChoiceConfig
from agns.attack.descent import (
    CCS16,
    CCS16_BOUNDED,
    CCS16_PHYSICAL,
    PGD,
    DescentConfig,
)
from agns.attack.pixels import PixelConfig

Method: TypeAlias = AGN | ChoiceConfig | DescentConfig | PixelConfig
"""An attack's settings, whose kind says which attack."""

METHODS: Mapping[str, Method] = {
    "agn": AGN(),
    "ccs16": CCS16(),
    "ccs16-bounded": CCS16_BOUNDED,
    "ccs16-physical": CCS16_PHYSICAL,
    "pgd": PGD(),
    "pixels": PixelConfig(),
    "benign": ChoiceConfig(kind="benign"),
    "untrained-generator": ChoiceConfig(kind="untrained_generator"),
    "noise": ChoiceConfig(kind="noise"),
    "solid": ChoiceConfig(kind="solid"),
}
"""The attacks by name, with their usual settings."""


def palette_of(method: Method) -> str | None:
    """The file of the colours that a method takes for printable; None for the assumed ones."""
    return None if isinstance(method, PixelConfig | ChoiceConfig) else method.palette


def seeded(method: Method, seed: int) -> Method:
    """A method with another seed, where it draws anything."""
    return method if isinstance(method, PixelConfig) else replace(method, seed=seed)


def name_of(method: Method) -> str:
    """A method's name in `METHODS`, by what it does; `descent` where its settings are its own."""
    if isinstance(method, AGN):
        return "agn"
    if isinstance(method, PixelConfig):
        return "pixels"
    if isinstance(method, ChoiceConfig):
        return method.kind.replace("_", "-")
    plain = replace(method, jitter=0, brightness=0, seed=0, batch=CCS16().batch, palette=None)
    return next((name for name, usual in METHODS.items() if usual == plain), "descent")
