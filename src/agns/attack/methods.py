"""The attacks there are, behind one function."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeAlias

from agns.accessory.placement import FIXED, Placement
from agns.attack.agn import AGN, attack_with_agn
from agns.attack.choice import ChoiceConfig, attack_by_choice
from agns.attack.descent import (
    CCS16,
    CCS16_BOUNDED,
    CCS16_PHYSICAL,
    PGD,
    DescentConfig,
    attack_by_descent,
)
from agns.attack.goals import Goal
from agns.attack.pixels import PixelConfig, attack_with_pixels
from agns.attack.result import AttackResult
from agns.models.dcgan import Discriminator, Generator
from agns.models.victim import Victim
from agns.types import Faces, Glasses, Progress, silent

Method: TypeAlias = AGN | ChoiceConfig | DescentConfig | PixelConfig
"""An attack's settings, whose kind says which attack."""

METHODS: Mapping[str, Method] = {
    "agn": AGN(),
    "ccs16": CCS16,
    "ccs16-bounded": CCS16_BOUNDED,
    "ccs16-physical": CCS16_PHYSICAL,
    "pgd": PGD,
    "pixels": PixelConfig(),
    "benign": ChoiceConfig(kind="benign"),
    "untrained-generator": ChoiceConfig(kind="untrained_generator"),
    "noise": ChoiceConfig(kind="noise"),
    "solid": ChoiceConfig(kind="solid"),
}
"""The attacks by name, with their usual settings."""


def run_attack(
    method: Method,
    victim: Victim,
    faces: Faces,
    goal: Goal,
    *,
    generator: Generator,
    discriminator: Discriminator,
    glasses: Glasses,
    placement: Placement = FIXED,
    progress: Progress = silent,
) -> AttackResult:
    """Run an attack.

    Args:
        method: Which one, and its settings.
        victim: Attacked in evaluation mode; not changed.
        faces: The attacker's photos, (photos, 3, 224, 224), in [0, 1].
        goal: Whom to dodge or impersonate, and when it is enough.
        generator: Pretrained on eyeglasses; an attack on pixels needs none.
        discriminator: Pretrained with it, likewise.
        glasses: Real 64x176 frames as bytes, likewise.
        placement: Where frames sit on these photos; the method says how steps disturb it.
        progress: Told of every step.

    Raises:
        ImageContractError: The faces are no canonical faces.
        AttackError: There are no faces, or too few frames for the method.
        ConfigError: There is no palette where the settings say.
        DataError: It cannot be read.
    """
    placement = disturbed(placement, method)
    if isinstance(method, DescentConfig):
        return attack_by_descent(
            victim, faces, goal, method, placement=placement, progress=progress
        )
    if isinstance(method, PixelConfig):
        return attack_with_pixels(
            victim, faces, goal, method, placement=placement, progress=progress
        )
    if isinstance(method, ChoiceConfig):
        return attack_by_choice(
            victim, faces, glasses, goal, method, placement=placement, progress=progress
        )
    return attack_with_agn(
        generator, discriminator, victim, faces, glasses, goal, method,
        placement=placement, progress=progress,
    )  # fmt: skip


def disturbed(placement: Placement, method: Method) -> Placement:
    """A placement as a method's steps disturb it."""
    if isinstance(method, PixelConfig | ChoiceConfig):
        return placement
    shaken = replace(placement, jitter=method.jitter, brightness=method.brightness)
    if isinstance(method, AGN):
        return shaken
    return replace(shaken, shift=method.shift, rotation=method.rotation)


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
    plain = replace(method, jitter=0, brightness=0, seed=0, batch=CCS16.batch, palette=None)
    return next((name for name, usual in METHODS.items() if usual == plain), "descent")
