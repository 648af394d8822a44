"""dlib's face embedding, the network behind `face_recognition`.

A residual network of 29 convolutions (King 2017, dlib's `dnn_face_recognition_ex`), CC0, trained
on 7,485 people without those of Labeled Faces in the Wild.
"""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

SIZE = 150
"""Height and width in pixels that it takes."""

MEAN = (122.782, 117.001, 104.298)
"""Subtracted from faces in [0, 255]; they are divided by 256 then."""

_WIDTHS = (32, 32, 32, 64, 64, 64, 64, 128, 128, 128, 256, 256, 256, 256)
"""Channels of the fourteen residual blocks."""

_SHRINKING = (3, 7, 10, 13)
"""The blocks that halve the picture."""


class DlibResNet(nn.Module):
    """dlib's embedding of a face, 128 numbers; Euclidean distances compare them.

    Each convolution is followed by a scale and an offset for each channel in dlib's file, which are
    part of the convolution here.
    """

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 32, 7, stride=2)
        self.blocks = nn.ModuleList()
        before = 32
        for place, width in enumerate(_WIDTHS):
            halves = place in _SHRINKING
            self.blocks.append(_Block(before, width, halves=halves))
            before = width
        self.embed = nn.Linear(256, 128, bias=False)

    def forward(self, chips: Float[Tensor, "batch 3 150 150"]) -> Float[Tensor, "batch 128"]:
        """Embed chips, RGB, less `MEAN`, by 256."""
        features = functional.max_pool2d(self.first(chips).relu(), 3, stride=2)
        for block in self.blocks:
            features = block(features)
        embedded: Tensor = self.embed(features.mean((2, 3)))
        return embedded

    def convolutions(self) -> list[nn.Conv2d]:
        """From the input to the output."""
        return [part for part in self.modules() if isinstance(part, nn.Conv2d)]


class _Block(nn.Module):
    def __init__(self, before: int, width: int, *, halves: bool) -> None:
        super().__init__()
        self.halves = halves
        self.first = nn.Conv2d(
            before, width, 3, stride=2 if halves else 1, padding=0 if halves else 1
        )
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        changed: Tensor = self.second(self.first(features).relu())
        if self.halves:
            features = functional.avg_pool2d(features, 2)
        # What one has less of, in channels or pixels, counts as zeros.
        sizes = [max(pair) for pair in zip(changed.shape[1:], features.shape[1:], strict=True)]
        return (_grown(changed, sizes) + _grown(features, sizes)).relu()


def _grown(features: Tensor, sizes: Sequence[int]) -> Tensor:
    own = features.shape[1:]
    more = [wanted - has for wanted, has in zip(sizes, own, strict=True)]
    if not any(more):
        return features
    return functional.pad(features, (0, more[2], 0, more[1], 0, more[0]))
