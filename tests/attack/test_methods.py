"""The attacks behind one function."""

from dataclasses import replace

import pytest

from agns.accessory.placement import Placement
from agns.attack.agn import AGN
from agns.attack.choice import ChoiceConfig
from agns.attack.descent import CCS16, CCS16_PHYSICAL, PGD, DescentConfig
from agns.attack.goals import Dodge
from agns.attack.methods import METHODS, Method, disturbed, name_of, palette_of, run_attack
from agns.attack.pixels import PixelConfig
from agns.models.dcgan import Discriminator, Generator
from agns.models.recognizer import Recognizer
from agns.types import Faces, Pixels

SHORT: dict[str, Method] = {
    "agn": AGN(batch=2, samples=2),
    "ccs16": replace(CCS16, steps=2),
    "ccs16-physical": replace(CCS16_PHYSICAL, steps=2),
    "pgd": replace(PGD, steps=2),
    "pixels": PixelConfig(steps=2),
    "solid": ChoiceConfig(kind="solid", count=2),
}


@pytest.mark.parametrize("name", SHORT)
def test_every_method_gives_what_scoring_needs(
    frozen: Recognizer, photos: Faces, gan: tuple[Generator, Discriminator], glasses: Pixels,
    name: str,
) -> None:  # fmt: skip
    outcome = run_attack(
        SHORT[name], frozen, photos[:2], Dodge(subject=0, stop=1e-9),
        generator=gan[0], discriminator=gan[1], glasses=glasses[:4],
    )  # fmt: skip
    assert (outcome.generator is not None) == (outcome.latents is not None) == (name == "agn")
    assert outcome.frames.shape[1:] == (3, 64, 176)
    assert 0 < outcome.probability < 1
    assert not outcome.met
    assert outcome.iterations == 2
    assert outcome.seconds > 0
    assert all("probability" in row for row in outcome.history)


def test_methods_are_named_by_what_they_do() -> None:
    assert {name: name_of(method) for name, method in METHODS.items()} == {
        name: name for name in METHODS
    }
    assert name_of(replace(PGD, jitter=1, seed=7)) == "pgd"
    other = replace(CCS16_PHYSICAL, jitter=1, palette="own.csv")
    assert name_of(other) == "ccs16-physical"
    assert name_of(DescentConfig(bound=0.3)) == "descent"
    assert name_of(replace(CCS16_PHYSICAL, smoothness=0)) == "descent"


def test_a_method_disturbs_placements_as_its_settings_say() -> None:
    shaken = disturbed(Placement(), replace(CCS16, jitter=1, brightness=0.1))
    assert (shaken.jitter, shaken.brightness) == (1, 0.1)
    assert (shaken.shift, shaken.rotation) == (0, 0)
    moved = disturbed(Placement(), CCS16_PHYSICAL)
    assert (moved.shift, moved.rotation, moved.jitter) == (4, 4, 0)
    still = Placement()
    assert disturbed(still, PixelConfig()) is still


def test_a_palette_is_that_of_the_settings() -> None:
    assert palette_of(replace(CCS16_PHYSICAL, palette="own.csv")) == "own.csv"
    assert palette_of(AGN(printability=0.1, palette="own.csv")) == "own.csv"
    assert palette_of(AGN()) is None
    assert palette_of(PixelConfig()) is None
