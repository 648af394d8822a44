"""A victim small enough to attack in a blink, an untrained GAN, photos and real frames."""

import copy
import itertools
from collections.abc import Iterator

import pytest
import torch
from torch import nn

from agns.attack import agn, search
from agns.data.simulation.drawn_frames import draw_frames
from agns.images import from_pixels
from agns.models.dcgan import (
    Discriminator,
    Generator,
    MinibatchDiscrimination,
    build_gan,
    sample_latents,
)
from agns.models.families import FAMILIES, Family, InputContract
from agns.models.halving import FromPicture, ToPicture
from agns.models.initialization import draw_gan_weights
from agns.models.recognizer import Recognizer, build_recognizer
from agns.models.victim import freeze
from agns.types import Faces, Latents, Pixels


def measure_briefly(patch: pytest.MonkeyPatch) -> None:
    """Few generated frames to tell what is usual, in place of 264, which take longer than steps."""

    def fewer(count: int, *, rng: torch.Generator) -> Latents:
        # Whatever else is sampled is as many as asked for.
        return sample_latents(32 if count in (64, 200) else count, rng=rng)

    for module in (agn, search):
        patch.setattr(module, "sample_latents", fewer)


# Of a package it would last to the end of all tests, as these folders are no packages.
@pytest.fixture(scope="module", autouse=True)
def _brief() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        measure_briefly(patch)
        yield


def build_victim(generator: torch.Generator) -> Recognizer:
    """Left in training mode, in which its dropout would draw and its batch norm would move."""
    family = Family(
        contract=InputContract(size=32, low=-1, high=1),
        backbone=lambda *_: nn.Sequential(
            nn.Sequential(nn.Conv2d(3, 8, 5, 2, padding=2), nn.BatchNorm2d(8), nn.ReLU()),
            nn.AvgPool2d(4),
            nn.Flatten(),
            nn.Dropout(0.5),
        ),
        head=lambda classes: nn.Linear(128, classes),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(FAMILIES, "tiny", family)
        return build_recognizer("tiny", ("Ann", "Bob", "Cy"), rng=generator)


@pytest.fixture
def victim(generator: torch.Generator) -> Recognizer:
    return build_victim(generator)


@pytest.fixture
def frozen(victim: Recognizer) -> Recognizer:
    return freeze(victim)


@pytest.fixture(scope="session")
def noise() -> Faces:
    return torch.rand(3, 3, 224, 224, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="session")
def glasses() -> Pixels:
    return draw_frames(16)


def draw_coarse_photos(generator: torch.Generator) -> Faces:
    coarse = torch.rand(6, 3, 8, 8, generator=generator)
    return coarse.repeat_interleave(28, 2).repeat_interleave(28, 3)


@pytest.fixture
def photos(generator: torch.Generator) -> Faces:
    return draw_coarse_photos(generator)


def build_narrow_gan(*, rng: torch.Generator) -> tuple[Generator, Discriminator]:
    """As `build_gan`, with few channels within: layer for layer the same, and several times faster.

    Such networks cannot be read back from a file.
    """
    drawer, judge = Generator(), Discriminator()
    widths = (160, 8, 8, 8)
    drawer.draw = nn.Sequential(
        *(
            layer
            for channels, out in itertools.pairwise(widths)
            for layer in (
                nn.ConvTranspose2d(channels, out, 5, 2, padding=2, output_padding=1),
                nn.BatchNorm2d(out),
                nn.ReLU(inplace=True),
            )
        ),
        ToPicture(widths[-1], 3, 5, 2, padding=2, output_padding=1),
        nn.Tanh(),
    )
    widths = (4, 8, 8, 160)
    judge.see = nn.Sequential(
        FromPicture(3, widths[0], 5, 2, 2),
        nn.LeakyReLU(0.2, inplace=True),
        *(
            layer
            for channels, out in itertools.pairwise(widths)
            for layer in (
                nn.Conv2d(channels, out, 5, 2, 2),
                nn.BatchNorm2d(out),
                nn.LeakyReLU(0.2, inplace=True),
            )
        ),
    )
    judge.compare = MinibatchDiscrimination(7040, 8, 3)
    judge.judge = nn.Linear(7040 + 8, 1)
    return (
        draw_gan_weights(drawer, rng=rng),
        draw_gan_weights(judge, rng=rng),
    )


@torch.no_grad()
def accustom(
    networks: tuple[Generator, Discriminator], glasses: Pixels, draws: torch.Generator
) -> tuple[Generator, Discriminator]:
    """Give untrained networks the statistics of one batch, so that frames vary."""
    for network in networks:
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
                layer.momentum = 1
    networks[0].train()(sample_latents(32, rng=draws))
    networks[1].train()(from_pixels(glasses))
    return networks[0].eval(), networks[1].eval()


@pytest.fixture(scope="session")
def built(glasses: Pixels) -> tuple[Generator, Discriminator, torch.Tensor]:
    """Untrained, with the statistics of one batch, and the state of what they were drawn from."""
    draws = torch.Generator().manual_seed(0)
    networks = accustom(build_narrow_gan(rng=draws), glasses, draws)
    return *networks, draws.get_state()


@pytest.fixture(scope="session")
def whole_gan(glasses: Pixels) -> tuple[Generator, Discriminator]:
    """As `gan`, as large as those that are used, and not to be changed."""
    draws = torch.Generator().manual_seed(0)
    return accustom(build_gan(rng=draws), glasses, draws)


@pytest.fixture
def gan(
    built: tuple[Generator, Discriminator, torch.Tensor], generator: torch.Generator
) -> tuple[Generator, Discriminator]:
    """A copy for each test to do with as it likes."""
    generator.set_state(built[2])
    return copy.deepcopy(built[0]), copy.deepcopy(built[1])
