"""Three people of an even colour each, and a network that knows them by it."""

import pytest
import torch
from torch import nn

from agns.types import Faces, Labels


@pytest.fixture
def network() -> nn.Module:
    """Faces to logits, (batch, 3): how bright the upper half is in red, green and blue."""
    return nn.Sequential(Upper(), nn.AvgPool2d((112, 224)), nn.Flatten(), Louder()).eval()


class Upper(nn.Module):
    def forward(self, faces: torch.Tensor) -> torch.Tensor:
        return faces[:, :, :112]


class Louder(nn.Module):
    def forward(self, means: torch.Tensor) -> torch.Tensor:
        return 40 * means


@pytest.fixture(scope="session")
def classes() -> Labels:
    return torch.tensor([0, 1, 2, 0, 1])


@pytest.fixture(scope="session")
def faces(classes: Labels) -> Faces:
    """Of each class one colour, a little brighter than the others, and some noise."""
    draws = torch.Generator().manual_seed(0)
    grey = torch.full((len(classes), 3, 224, 224), 0.45)
    grey[torch.arange(len(classes)), classes] += 0.1
    return (grey + 0.05 * torch.randn(grey.shape, generator=draws)).clamp(0, 1)
