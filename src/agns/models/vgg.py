"""VGG-16 (Simonyan & Zisserman 2015, configuration D): 224x224 faces to descriptors."""

from typing import TypeAlias

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from agns.models.layers import DrawnDropout

Blocks: TypeAlias = tuple[tuple[int, int], ...]
BLOCKS: Blocks = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
"""Channels and number of 3x3 convolutions of each block; a 2x2 max pooling ends each."""


class Vgg16(nn.Module):
    """The backbone up to its second fully connected layer.

    Args:
        dropout: Share of descriptor entries dropped while training, in [0, 1).
        blocks: Other channels and numbers of convolutions: VGG-16's own fill half a gigabyte.
        width: Length of a descriptor.
    """

    def __init__(self, *, dropout: float = 0.5, blocks: Blocks = BLOCKS, width: int = 4096) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for out, count in blocks:
            for _ in range(count):
                layers += [nn.Conv2d(channels, out, 3, padding=1), nn.ReLU()]
                channels = out
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        # Changes nothing at 224x224; lets other sizes through.
        self.pool = nn.AdaptiveAvgPool2d(7)
        self.descriptor = nn.Sequential(
            nn.Linear(channels * 7 * 7, width),
            nn.ReLU(),
            DrawnDropout(dropout),
            nn.Linear(width, width),
            nn.ReLU(),
            DrawnDropout(dropout),
        )

    def forward(
        self, x: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch descriptor"]:
        """Faces in [0, 1] to descriptors of length 4096, or `width`."""
        descriptor: Tensor = self.descriptor(self.pool(self.features(x)).flatten(1))
        return descriptor

    def add_norms(self) -> None:
        """Put a batch norm after each layer with weights, in place, to learn with.

        Fifteen layers without any hardly learn from nothing. Weights that were loaded before no
        longer mean the same.
        """
        device = next(self.parameters()).device
        for part in (self.features, self.descriptor):
            layers: list[nn.Module] = []
            for layer in part:
                layers.append(layer)
                if isinstance(layer, nn.Conv2d):
                    layers.append(nn.BatchNorm2d(layer.out_channels, device=device))
                elif isinstance(layer, nn.Linear):
                    layers.append(nn.BatchNorm1d(layer.out_features, device=device))
            _refill(part, layers)

    def fold_norms(self) -> None:
        """Fold batch norms into the layers before them, in place: plain VGG-16 is left.

        The network comes to be in evaluation mode, in which descriptors stay the same but for
        rounding.
        """
        self.eval()
        for part in (self.features, self.descriptor):
            layers: list[nn.Module] = []
            for layer in part:
                before = layers[-1] if layers else None
                if isinstance(layer, nn.BatchNorm2d) and isinstance(before, nn.Conv2d):
                    layers[-1] = fuse_conv_bn_eval(before, layer)
                elif isinstance(layer, nn.BatchNorm1d) and isinstance(before, nn.Linear):
                    layers[-1] = fuse_linear_bn_eval(before, layer)
                else:
                    layers.append(layer)
            _refill(part, layers)


def _refill(part: nn.Sequential, layers: list[nn.Module]) -> None:
    del part[:]
    part.extend(layers)
