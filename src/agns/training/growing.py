"""Training a VGG that begins from nothing: it grows with its faces (agns.models.vgg_growth)."""

import copy
from dataclasses import dataclass

import torch

from agns.errors import ConfigError
from agns.models.initialization import draw_weights
from agns.models.recognizer import Recognizer
from agns.models.vgg import Blocks, Vgg16
from agns.models.vgg_growth import blocks_at, deepen
from agns.training.recipe import RecognizerTraining
from agns.types import CANVAS


@dataclass(frozen=True)
class Growth:
    """From a few blocks to all of them."""

    blocks: Blocks
    """Of the network that it grows to."""

    seed: int
    """Draws what is new."""

    def begin(self, recognizer: Recognizer, size: int | None) -> None:
        """Put the blocks for faces of a size in the place of all."""
        whole = recognizer.backbone
        assert isinstance(whole, Vgg16)
        blocks = blocks_at(size or CANVAS, self.blocks)
        part = Vgg16(dropout=whole.dropout, blocks=blocks, width=whole.width)
        rng = torch.Generator().manual_seed(self.seed)
        recognizer.backbone = draw_weights(part, rng=rng)

    def grown(self, recognizer: Recognizer, size: int | None = None) -> Recognizer:
        """A copy on the processor for faces of a size, or of the largest one.

        It is without batch norms, and says of faces what the given one says of them made smaller.
        """
        other = copy.deepcopy(recognizer).cpu()
        network = other.backbone
        assert isinstance(network, Vgg16)
        network.fold_norms()
        rng = torch.Generator().manual_seed(self.seed)
        while len(network.blocks) < len(blocks_at(size or CANVAS, self.blocks)):
            next_size = 7 * 2 ** (len(network.blocks) + 1)
            network = deepen(network, blocks_at(next_size, self.blocks), rng=rng)
        other.backbone = network
        return other


def growth_of(recognizer: Recognizer, config: RecognizerTraining) -> Growth | None:
    """How a recogniser that begins from nothing is to grow, if it is.

    Raises:
        ConfigError: The sizes are not some that it can grow with.
    """
    whole = recognizer.backbone
    if not config.sizes or not isinstance(whole, Vgg16):
        return None
    sizes = [size or CANVAS for size in config.sizes]
    for size in sizes:
        blocks_at(size, whole.blocks)
    if sizes != sorted(sizes):
        raise ConfigError(f"a VGG grows, so that sizes rise, got {config.sizes}")
    return Growth(whole.blocks, config.seed)
