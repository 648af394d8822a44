"""A crowd of drawn strangers, a small recogniser that knows them, and what attacks need."""

import contextlib
import functools
from collections.abc import Iterator

import pytest
import torch
from tests.attack.conftest import accustom, build_narrow_gan, measure_briefly
from torch import nn

from agns.data.faces import FaceSet, faces_from_pixels
from agns.data.simulation.drawn_frames import draw_frames
from agns.evaluation import attack_setup as module
from agns.evaluation import score
from agns.evaluation.attack_setup import AttackSetup
from agns.evaluation.stealth import StealthScale
from agns.images import from_pixels, to_pixels
from agns.models.dcgan import Discriminator, Generator
from agns.models.families import FAMILIES, Family, InputContract
from agns.models.recognizer import Recognizer, build_recognizer
from agns.types import Pixels

NAMES = ("Ann", "Bob", "Cy")
PHOTOS = 8


@pytest.fixture(scope="session")
def glasses() -> Pixels:
    return draw_frames(16)


@pytest.fixture(scope="session")
def crowd() -> FaceSet:
    """Three people, each a pattern of coarse patches of their own with some noise in it."""
    draws = torch.Generator().manual_seed(1)
    people = 0.5 + 0.06 * torch.randn(len(NAMES), 1, 3, 8, 8, generator=draws)
    coarse = people + 0.03 * torch.randn(len(NAMES), PHOTOS, 3, 8, 8, generator=draws)
    faces = coarse.flatten(0, 1).repeat_interleave(28, 2).repeat_interleave(28, 3)
    photos = [f"{name}/{number}.png" for name in NAMES for number in range(PHOTOS)]
    labels = torch.arange(len(NAMES)).repeat_interleave(PHOTOS)
    return faces_from_pixels(to_pixels(faces), labels, NAMES, photos)


def build_tiny_recognizer(names: tuple[str, ...], draws: torch.Generator) -> Recognizer:
    """Untrained, in evaluation mode."""
    family = Family(
        contract=InputContract(size=32, low=-1, high=1),
        backbone=lambda *_: nn.Sequential(
            nn.Sequential(nn.Conv2d(3, 8, 5, 2, padding=2), nn.BatchNorm2d(8), nn.ReLU()),
            nn.AvgPool2d(4),
            nn.Flatten(),
        ),
        head=lambda classes: nn.Linear(128, classes),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(FAMILIES, "tiny", family)
        return build_recognizer("tiny", names, rng=draws).eval()


@pytest.fixture(scope="session")
def recognizer(crowd: FaceSet) -> Recognizer:
    """Knows each person by the mean of their photos' features."""
    built = build_tiny_recognizer(NAMES, torch.Generator().manual_seed(0))
    with torch.no_grad():
        features: list[torch.Tensor] = []
        hook = built.backbone.register_forward_hook(lambda *call: features.append(call[2]))
        built(from_pixels(crowd.pixels))
        hook.remove()
        centres = features[0].reshape(len(NAMES), PHOTOS, 128).mean(1)
        centres = centres - centres.mean(0)
        middle = features[0].mean(0)
        built.head.weight.copy_(12 * centres)
        built.head.bias.copy_(-12 * (centres @ middle + (centres**2).sum(1) / 2))
    return built


@pytest.fixture(scope="session")
def gan(glasses: Pixels) -> tuple[Generator, Discriminator]:
    """Untrained, with the running statistics of one batch, so that frames vary."""
    draws = torch.Generator().manual_seed(0)
    return accustom(build_narrow_gan(rng=draws), glasses, draws)


# Of a package it would last to the end of all tests, as these folders are no packages.
@pytest.fixture(scope="module", autouse=True)
def few_benign() -> Iterator[None]:
    """20 benign frames to measure looks by in place of 200, which take as long as an attack."""
    with pytest.MonkeyPatch.context() as patch:
        measure_briefly(patch)
        patch.setattr(module, "StealthScale", functools.partial(StealthScale, benign=20))
        yield


@contextlib.contextmanager
def without_pictures() -> Iterator[None]:
    """No pictures of attacks, which take as long as a short attack."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("draw_before_after", "draw_history"):
            patch.setattr(score, name, lambda *_, **__: None)
        yield


@pytest.fixture
def no_pictures() -> Iterator[None]:
    with without_pictures():
        yield


@pytest.fixture(scope="package")
def setup(
    gan: tuple[Generator, Discriminator], recognizer: Recognizer, glasses: Pixels
) -> AttackSetup:
    return AttackSetup(
        generator=gan[0],
        discriminator=gan[1],
        recognizer=recognizer,
        recognizer_name="tiny",
        metadata={},
        glasses=glasses,
    )
