"""A VGG that grows: what it says stays, and what is new can learn."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from agns.errors import ConfigError
from agns.models.initialization import draw_weights
from agns.models.vgg import BLOCKS, Vgg16
from agns.models.vgg_growth import blocks_at, deepen

SMALL = ((3, 1), (4, 2), (6, 2))


def test_blocks_are_as_wide_as_the_first_and_as_deep_as_the_last() -> None:
    assert blocks_at(56, BLOCKS) == ((64, 3), (128, 3), (256, 3))
    assert blocks_at(112, BLOCKS) == ((64, 2), (128, 3), (256, 3), (512, 3))
    assert blocks_at(224, BLOCKS) == BLOCKS
    with pytest.raises(ConfigError, match="are 56, 112 or 224 pixels, got 96"):
        blocks_at(96, BLOCKS)


def halved(faces: torch.Tensor) -> torch.Tensor:
    # Pixels beyond the lower and the right edge are black.
    means = functional.avg_pool2d(functional.pad(faces, (0, 1, 0, 1)), 2, stride=1)
    return functional.max_pool2d(means, 2)


@pytest.mark.parametrize("size", [14, 28])
def test_a_deeper_network_says_of_faces_what_it_said_of_them_halved(
    size: int, generator: torch.Generator
) -> None:
    network = draw_weights(Vgg16(blocks=blocks_at(size, SMALL), width=5), rng=generator).eval()
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.normal_(layer.bias, 0, 0.1, generator=generator)
    deeper = deepen(network, blocks_at(2 * size, SMALL), rng=generator)
    assert deeper.blocks == blocks_at(2 * size, SMALL)
    faces = torch.rand(4, 3, 2 * size, 2 * size, generator=generator)
    expected = network(halved(faces))
    assert expected.std() > 0.01
    torch.testing.assert_close(deeper(faces), expected, rtol=1e-5, atol=1e-6)


def test_channels_that_are_new_learn(generator: torch.Generator) -> None:
    network = draw_weights(Vgg16(blocks=blocks_at(28, SMALL), width=5, dropout=0), rng=generator)
    deeper = deepen(network, SMALL, rng=generator)
    deeper(torch.rand(4, 3, 56, 56, generator=generator)).square().sum().backward()
    last = deeper.features[-3]
    assert isinstance(last, nn.Conv2d)
    assert last.weight.grad is not None
    first = deeper.descriptor[0]
    assert isinstance(first, nn.Linear)
    assert first.weight.grad is not None
    # Nothing reads the last block's two new channels, until the descriptor has learnt to.
    assert (last.weight.grad[4:] == 0).all()
    assert (first.weight.grad[:, 4 * 49 :] != 0).any()
    assert (last.weight.grad[:4, 3:] != 0).any()
