"""OpenFace's nn4.small2 (Amos et al. 2016, table 4): 96x96 faces to unit embeddings."""

import functools

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from agns.models.cross_channel import CrossChannelNorm
from agns.models.layers import Convention, Inception, Pooling, conv_block, halving_pool
from agns.types import Embeddings


class OpenFace(nn.Module):
    """The backbone nn4.small2.

    Args:
        pooling: "strided" is the original, whose pooling branches stride and are padded back
            with zeros; "same" is the Keras port, whose pooling branches move as the
            convolutions beside them do.
        convention: "torch" is the original; "tensorflow" is the Keras port, with epsilon 1e-3 in
            the batch norms, the odd pixel of padding after at stride 2, a local response
            normalisation over eleven channels, and no zeros counted where pooling meets a border.
    """

    def __init__(self, *, pooling: Pooling = "strided", convention: Convention = "torch") -> None:
        super().__init__()
        self.convention = convention
        port = convention == "tensorflow"
        size, alpha = (11, 11e-4) if port else (5, 1e-4)
        self.stem = nn.Sequential(
            conv_block(3, 64, 7, stride=2, padding=3, convention=convention),
            halving_pool(convention),
            CrossChannelNorm(size, alpha),
            conv_block(64, 64, 1, convention=convention),
            conv_block(64, 192, 3, padding=1, convention=convention),
            CrossChannelNorm(size, alpha),
            halving_pool(convention),
        )
        module = functools.partial(Inception, pooling=pooling, convention=convention)
        self.inceptions = nn.Sequential(
            # 3a, 3b, 3c: 12x12, then 6x6
            module(192, reduce3=96, out3=128, reduce5=16, out5=32,
                      pool="max", pool_out=32, out1=64),
            module(256, reduce3=96, out3=128, reduce5=32, out5=64,
                      pool="l2", pool_out=64, out1=64),
            module(320, reduce3=128, out3=256, reduce5=32, out5=64,
                      pool="max", pool_out=0, out1=0, stride=2),
            # 4a, 4e: 6x6, then 3x3
            module(640, reduce3=96, out3=192, reduce5=32, out5=64,
                      pool="l2", pool_out=128, out1=256),
            module(640, reduce3=160, out3=256, reduce5=64, out5=128,
                      pool="max", pool_out=0, out1=0, stride=2),
            # 5a, 5b: 3x3
            module(1024, reduce3=96, out3=384, reduce5=0, out5=0,
                      pool="l2", pool_out=96, out1=256),
            module(736, reduce3=96, out3=384, reduce5=0, out5=0,
                      pool="max", pool_out=96, out1=256),
        )  # fmt: skip
        self.embed = nn.Linear(736, 128)

    def forward(self, x: Float[Tensor, "batch 3 height width"]) -> Embeddings:
        """Faces in [-1, 1], 96x96 or of another size from 65x65, to embeddings of length 1."""
        features = self.inceptions(self.stem(x))  # (batch, 736, 3, 3) at 96x96
        return functional.normalize(self.embed(features.mean((2, 3))).float(), dim=1)
