"""A small network to train in place of OpenFace, for processes of their own too."""

from torch import nn

from agns.models.layers import Convention, Inception, Pooling, conv_block
from agns.models.openface import OpenFace


class SmallOpenFace(OpenFace):
    """OpenFace's kinds of layers, one of each, with a hundredth of its weights."""

    def __init__(self, *, pooling: Pooling = "strided", convention: Convention = "torch") -> None:
        nn.Module.__init__(self)
        self.convention = convention
        self.stem = nn.Sequential(
            conv_block(3, 16, 7, stride=4, padding=3, convention=convention), nn.MaxPool2d(3, 2, 1)
        )
        module = Inception(16, reduce3=8, out3=32, reduce5=0, out5=0, pool="max", pool_out=16,
                           out1=16, stride=1, pooling=pooling, convention=convention)  # fmt: skip
        self.inceptions = nn.Sequential(module)
        self.embed = nn.Linear(64, 128)
