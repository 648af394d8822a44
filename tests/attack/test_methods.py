"""The attacks behind one function."""

import json
from dataclasses import asdict, replace
from types import ModuleType

import pytest
import torch

from agns.accessory.placement import Placement
from agns.attack import agn, descent, pixels
from agns.attack.agn import AGN, PHYSICAL
from agns.attack.choice import ChoiceConfig
from agns.attack.descent import CCS16, CCS16_PHYSICAL, PGD, DescentConfig
from agns.attack.goals import Dodge
from agns.attack.methods import METHODS, Method, name_of, palette_of
from agns.attack.pixels import PixelConfig
from agns.attack.result import AttackResult
from agns.models.dcgan import Discriminator, Generator
from agns.models.recognizer import Recognizer
from agns.types import Faces, Pixels

SHORT: dict[str, Method] = {
    "agn": AGN(batch=2, samples=2),
    "ccs16": replace(CCS16(), steps=2),
    "ccs16-physical": replace(CCS16_PHYSICAL, steps=2),
    "pgd": replace(PGD(), steps=2),
    "pixels": PixelConfig(steps=2),
    "solid": ChoiceConfig(kind="solid", count=2),
}


@pytest.mark.parametrize("name", SHORT)
def test_every_method_gives_what_scoring_needs(
    frozen: Recognizer, photos: Faces, gan: tuple[Generator, Discriminator], glasses: Pixels,
    name: str,
) -> None:  # fmt: skip
    outcome = SHORT[name].run(
        frozen, photos[:2], Dodge(subject=0, stop=1e-9), frames=glasses[:4], nets=gan
    )
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
    assert name_of(replace(PGD(), jitter=1, seed=7)) == "pgd"
    other = replace(CCS16_PHYSICAL, jitter=1, palette="own.csv")
    assert name_of(other) == "ccs16-physical"
    assert name_of(DescentConfig(bound=0.3)) == "descent"
    assert name_of(replace(CCS16_PHYSICAL, smoothness=0)) == "descent"


@pytest.mark.parametrize(
    ("method", "within", "expected"),
    [
        (
            replace(CCS16(), jitter=1, brightness=0.1),
            (descent, "attack_by_descent"),
            (1, 0.1, 0, 0),
        ),
        (CCS16_PHYSICAL, (descent, "attack_by_descent"), (0, 0, 4, 4)),
        (PHYSICAL, (agn, "attack_with_agn"), (1, 0.1, 0, 0)),
        (PixelConfig(), (pixels, "attack_with_pixels"), (0, 0, 0, 0)),
    ],
)
def test_a_method_disturbs_placements_as_its_settings_say(
    method: Method, within: tuple[ModuleType, str], expected: tuple[float, ...],
    frozen: Recognizer, photos: Faces, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    met: list[Placement] = []

    def note(*_: object, placement: Placement, progress: object) -> AttackResult:
        met.append(placement)
        return AttackResult(
            frames=torch.zeros(1, 3, 64, 176), probability=0, met=True, iterations=0, seconds=0,
            stopped_because="used up its steps",
        )  # fmt: skip

    monkeypatch.setattr(*within, note)
    method.run(frozen, photos, Dodge(0), frames=torch.zeros(0, 3, 64, 176, dtype=torch.uint8))
    (place,) = met
    assert (place.jitter, place.brightness, place.shift, place.rotation) == expected


def test_a_palette_is_that_of_the_settings() -> None:
    assert palette_of(replace(CCS16_PHYSICAL, palette="own.csv")) == "own.csv"
    assert palette_of(AGN(printability=0.1, palette="own.csv")) == "own.csv"
    assert palette_of(AGN()) is None
    assert palette_of(PixelConfig()) is None


def test_settings_are_written_as_ledgers_of_campaigns_have_them() -> None:
    written = json.dumps(asdict(METHODS["pgd"]))
    assert written == (
        '{"steps": 100, "step": 0.01, "momentum": 0, "bound": 0.12, "signed": true, '
        '"smoothness": 0.0, "printability": 0.0, "palette": null, "jitter": 0.0, '
        '"brightness": 0.0, "shift": 0.0, "rotation": 0.0, "batch": 64, "seed": 0}'
    )
