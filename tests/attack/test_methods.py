"""The attacks behind one function."""

import json
from dataclasses import asdict, dataclass, replace

import pytest

from agns.accessory.placement import Placement
from agns.attack.agn import AGN, PHYSICAL
from agns.attack.attack import FrameAttack
from agns.attack.baselines import Baseline
from agns.attack.goals import Dodge
from agns.attack.methods import METHODS, name_of, palette_of
from agns.attack.pixel_descent import CCS16, CCS16_PHYSICAL, PGD, PixelDescent
from agns.attack.pixels import FreePixels
from agns.attack.span import Span
from agns.models.dcgan import Discriminator, Generator
from agns.models.recognizer import Recognizer
from agns.types import Faces, Glasses

SHORT: dict[str, FrameAttack] = {
    "agn": AGN(batch=2, samples=2),
    "ccs16": replace(CCS16(), steps=2),
    "ccs16-physical": replace(CCS16_PHYSICAL, steps=2),
    "pgd": replace(PGD(), steps=2),
    "pixels": FreePixels(steps=2),
    "span": Span(steps=2, candidates=2, batch=2),
    "solid": Baseline(kind="solid", count=2),
}


@pytest.mark.parametrize("name", SHORT)
def test_every_method_gives_what_scoring_needs(
    frozen: Recognizer, photos: Faces, gan: tuple[Generator, Discriminator], glasses: Glasses,
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


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnPGD(PGD):
    """An attack of the user's own."""


def test_methods_are_named_by_what_they_do() -> None:
    assert {name: name_of(method) for name, method in METHODS.items()} == {
        name: name for name in METHODS
    }
    assert name_of(replace(PGD(), jitter=1)) == "pgd"
    other = replace(CCS16_PHYSICAL, jitter=1, palette="own.csv")
    assert name_of(other) == "ccs16-physical"
    assert name_of(PixelDescent(bound=0.3)) == "pixel-descent"
    assert name_of(replace(CCS16_PHYSICAL, tv_weight=0)) == "pixel-descent"
    assert name_of(CCS16(steps=10, momentum=0)) == "ccs16"
    assert name_of(replace(AGN.paper(), samples=48, kappa=0.5)) == "agn-paper"
    assert name_of(AGN(batch=8)) == "agn"
    assert name_of(OwnPGD()) == "tests.attack.test_methods:OwnPGD"


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        (replace(CCS16(), steps=1, jitter=1, brightness=0.1), (1, 0.1, 0, 0)),
        (replace(CCS16_PHYSICAL, steps=1), (0, 0, 4, 4)),
        (replace(PHYSICAL, batch=2, samples=2), (1, 0.1, 0, 0)),
        (FreePixels(steps=1), (0, 0, 0, 0)),
    ],
)
def test_a_method_disturbs_placements_as_its_settings_say(
    method: FrameAttack, expected: tuple[float, ...], frozen: Recognizer, photos: Faces,
    gan: tuple[Generator, Discriminator], glasses: Glasses, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    met: set[tuple[float, ...]] = set()
    wear = Placement.wear

    def note(own: Placement, *given: object, **named: object) -> object:
        met.add((own.jitter, own.brightness, own.shift, own.rotation))
        return wear(own, *given, **named)

    monkeypatch.setattr(Placement, "wear", note)
    method.run(frozen, photos[:2], Dodge(0, stop=1e-9), frames=glasses[:2], nets=gan)
    assert met == {expected}


def test_a_palette_is_that_of_the_settings() -> None:
    assert palette_of(replace(CCS16_PHYSICAL, palette="own.csv")) == "own.csv"
    assert palette_of(AGN(nps_weight=0.1, palette="own.csv")) == "own.csv"
    assert palette_of(AGN()) is None
    assert palette_of(FreePixels()) is None


def test_settings_are_written_as_ledgers_of_campaigns_have_them() -> None:
    written = json.dumps(asdict(METHODS["pgd"]))
    assert written == (
        '{"steps": 100, "step": 0.01, "momentum": 0, "bound": 0.12, "signed": true, '
        '"tv_weight": 0.0, "nps_weight": 0.0, "palette": null, "jitter": 0.0, '
        '"brightness": 0.0, "shift": 0.0, "rotation": 0.0, "batch": 64}'
    )
