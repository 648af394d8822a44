"""VGG-16 (Simonyan & Zisserman 2015, configuration D): 224x224 faces to descriptors."""

from typing import TypeAlias

from jaxtyping import Float
from torch import Tensor, nn

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
