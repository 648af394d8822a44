"""Stride 2 by way of more channels, against PyTorch's own convolutions."""

import pytest
import torch
from torch import nn

from agns.models.halving import FromPicture, SameFromPicture, SameToPicture, ToPicture
from agns.models.layers import SameConv2d, SameConvTranspose2d

PAIRS = [
    (nn.Conv2d(3, 8, 7, 2, 3), FromPicture(3, 8, 7, 2, 3)),
    (nn.Conv2d(3, 8, 5, 2, 2), FromPicture(3, 8, 5, 2, 2)),
    (nn.Conv2d(1, 8, 4, 2, 1), FromPicture(1, 8, 4, 2, 1)),
    (SameConv2d(3, 8, 5, 2), SameFromPicture(3, 8, 5, 2)),
    (
        nn.ConvTranspose2d(3, 2, 5, 2, padding=2, output_padding=1),
        ToPicture(3, 2, 5, 2, padding=2, output_padding=1),
    ),
    (SameConvTranspose2d(3, 2), SameToPicture(3, 2)),
]
NAMES = ["7x7", "5x5", "4x4 of one channel", "same", "transposed", "same transposed"]
pairs = pytest.mark.parametrize(("usual", "quick"), PAIRS, ids=NAMES)


@pairs
@pytest.mark.parametrize("batch", [2, 0])
def test_values_and_all_gradients_are_those_of_the_usual_convolution(
    usual: nn.Conv2d, quick: nn.Conv2d, batch: int, generator: torch.Generator
) -> None:
    quick.load_state_dict(usual.state_dict())
    gradients = []
    x = torch.rand(batch, usual.in_channels, 12, 16, generator=generator)
    for layer in (usual, quick):
        given = x.clone().requires_grad_()
        made = layer(given)
        weights = torch.linspace(-1, 1, made.shape[1:].numel()).reshape(made.shape[1:])
        weighed = made * weights
        gradients.append(
            (*torch.autograd.grad(weighed.sum(), [given, layer.weight, layer.bias]), made)
        )
    for own, wanted in zip(gradients[1], gradients[0], strict=True):
        torch.testing.assert_close(own, wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("usual", "quick"), PAIRS[:3], ids=NAMES[:3])
def test_pictures_of_odd_height_and_width_are_halved_alike(
    usual: nn.Conv2d, quick: nn.Conv2d, generator: torch.Generator
) -> None:
    quick.load_state_dict(usual.state_dict())
    x = torch.rand(2, usual.in_channels, 13, 15, generator=generator)
    torch.testing.assert_close(quick(x), usual(x), atol=1e-6, rtol=1e-5)
