"""Victims small enough to ask thousands of times, and photos that none of them was made for."""

import pytest
import torch
from torch import Tensor, nn

from agns.models.embedder import Embedder
from agns.models.gallery import Gallery
from agns.models.victim import Classifier
from agns.types import Faces

NAMES = ("Ann", "Bob", "Cy")


class Blocks(nn.Module):
    """Colours of a picture's blocks, weighed at random: every block has a say."""

    def __init__(self, outputs: int, rng: torch.Generator, blocks: int = 8) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(blocks)
        self.layer = nn.Linear(3 * blocks**2, outputs)
        with torch.no_grad():
            self.layer.weight.normal_(generator=rng)
            self.layer.bias.zero_()

    def forward(self, faces: Tensor) -> Tensor:
        scores: Tensor = self.layer(self.pool(faces - 0.5).flatten(1))
        return scores


@pytest.fixture
def classifier(generator: torch.Generator) -> Classifier:
    return Classifier(Blocks(3, generator), NAMES, size=56).eval()


@pytest.fixture
def gallery(generator: torch.Generator, photos: Faces) -> Gallery:
    embedder = Embedder(Blocks(8, generator), size=56).eval()
    enrolled = {name: photos[at : at + 1] for at, name in enumerate(NAMES)}
    return Gallery(embedder, enrolled, threshold=1.0).eval()


@pytest.fixture(scope="session")
def photos() -> Faces:
    """Six coarse pictures."""
    coarse = torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(3))
    return coarse.repeat_interleave(28, 2).repeat_interleave(28, 3)
