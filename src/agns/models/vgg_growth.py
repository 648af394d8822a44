"""A VGG that grows with the faces that it learns from: a few blocks for small ones, then one more.

On faces of 56 pixels VGG-16's five halvings leave its last layers a map of 1x1. Three blocks leave
them 7x7, as five do at 224. When the faces double, the network becomes the later blocks of a wider
one, before which a new block halves the picture, and still says the same (Chen, Goodfellow &
Shlens, "Net2Net: accelerating learning via knowledge transfer", 2016).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from agns.errors import ConfigError
from agns.models.initialization import draw_weights
from agns.models.vgg import Blocks, Vgg16


def blocks_at(size: int, blocks: Blocks) -> Blocks:
    """The blocks of a network for faces of a size, which leave its last layers 7x7.

    They are as wide as the first of all, and have as many convolutions as the last.

    Args:
        size: Height and width in pixels.
        blocks: Those of the whole network, which is for the largest size.

    Raises:
        ConfigError: The network does not grow with faces of this size.
    """
    # On fewer pixels people hardly differ.
    counts = [len(blocks) - 2, len(blocks) - 1, len(blocks)]
    sizes = [7 * 2**count for count in counts]
    if size not in sizes:
        raise ConfigError(
            "a VGG that begins from nothing grows with its faces, whose sizes are "
            f"{sizes[0]}, {sizes[1]} or {sizes[2]} pixels, got {size}"
        )
    count = counts[sizes.index(size)]
    return tuple(
        (width, convolutions)
        for (width, _), (_, convolutions) in zip(blocks[:count], blocks[-count:], strict=True)
    )


@torch.no_grad()
def deepen(network: Vgg16, blocks: Blocks, *, rng: torch.Generator) -> Vgg16:
    """A network of one block more, which says of faces what the given one says of them halved.

    As the first block halves them: the mean of each 2x2 pixels, and the largest of four of these.
    Channels that are new are drawn, and nothing reads them yet.

    Args:
        network: Without batch norms.
        blocks: Of the new one: as wide as before from the second on, or wider, and with as many
            convolutions.
        rng: Draws the new channels.
    """
    made = Vgg16(dropout=network.dropout, blocks=blocks, width=network.width)
    deeper = draw_weights(made, rng=rng)
    before, after = _convolutions(network), _convolutions(deeper)
    added = after[: len(after) - len(before)]
    _give(added[0], functional.pad(torch.full((1, 1, 2, 2), 0.25), (1, 0, 1, 0)) * _only(3))
    for convolution in added[1:]:
        _give(convolution, functional.pad(torch.ones(1, 1, 1, 1), (1, 1, 1, 1)) * _only(3))
    for convolution, given in zip(after[len(added) :], before, strict=True):
        _give(convolution, given.weight, given.bias)
    for layer, known in zip(_linear(deeper), _linear(network), strict=True):
        # The first reads the channels that there were.
        layer.weight.zero_()
        layer.weight[:, : known.in_features] = known.weight
        layer.bias.copy_(known.bias)
    return deeper.train(network.training)


def _convolutions(network: Vgg16) -> list[nn.Conv2d]:
    return [part for part in network.features if isinstance(part, nn.Conv2d)]


def _linear(network: Vgg16) -> list[nn.Linear]:
    return [part for part in network.descriptor if isinstance(part, nn.Linear)]


def _only(channels: int) -> Tensor:
    """What each channel reads, if it reads itself alone."""
    return torch.eye(channels)[:, :, None, None]


def _give(convolution: nn.Conv2d, weight: Tensor, bias: Tensor | None = None) -> None:
    """Let the first channels compute what they would without any others."""
    made, read = weight.shape[:2]
    assert convolution.bias is not None
    convolution.weight[:made] = 0
    convolution.weight[:made, :read] = weight
    convolution.bias[:made] = 0 if bias is None else bias
