"""Layers that the OpenFace networks need: normalisation across channels, L2 pooling, inception."""

import functools
from collections.abc import Iterator
from typing import Literal, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

Activations: TypeAlias = Float[Tensor, "batch _ _ _"]
"""(batch, channels, height, width); layers may change all but the batch."""
Pooling: TypeAlias = Literal["strided", "same"]
"""How an inception module's pooling branch moves: the original's stride, padded back to size
with zeros, or the Keras port's stride of 1."""
Convention: TypeAlias = Literal["torch", "tensorflow"]
"""What a layer's name leaves open: padding at stride 2, the batch norms' epsilon, and the local
response normalisation, as Torch and the original have them or as the Keras port."""


@functools.lru_cache(maxsize=16)
def _band(channels: int, size: int) -> Float[Tensor, "channels channels 1 1"]:
    """Ones where two channels lie within one normalisation window."""
    index = torch.arange(channels)
    near = (index[:, None] - index[None]).abs() <= size // 2
    return near.float()[:, :, None, None]


class CrossChannelNorm(nn.Module):
    """Local response normalisation across channels (Krizhevsky et al. 2012, section 3.3).

    `x / (1 + alpha / size * sum of squares over `size` neighbouring channels) ** beta`, with the
    sum written as one banded 1x1 convolution: torch's own goes through a slow 3-d pooling.

    Args:
        size: Channels in a window, odd.
        alpha: Weight of the mean square.
        beta: Exponent.
    """

    def __init__(self, size: int = 5, alpha: float = 1e-4, beta: float = 0.75) -> None:
        super().__init__()
        self.size, self.alpha, self.beta = size, alpha, beta

    def forward(self, x: Activations) -> Activations:
        """Normalise each position's channels by their neighbours."""
        band = _band(x.shape[1], self.size).to(x)
        scale = 1 + (self.alpha / self.size) * functional.conv2d(x * x, band)
        if self.beta == 0.75:
            # Two square roots cost a fifth of a general power.
            root = scale.rsqrt()
            return x * root * root.sqrt()
        return x * scale.pow(-self.beta)


class L2Pool(nn.Module):
    """Root of the sum of squares in each 3x3 window (Torch7's LPPooling with p = 2).

    Args:
        stride: Step between windows in pixels.
        padding: Zeros around the picture in pixels.
    """

    def __init__(self, stride: int, padding: int = 0) -> None:
        super().__init__()
        self.stride, self.padding = stride, padding

    def forward(self, x: Activations) -> Activations:
        """Pool; differentiable also where a whole window is zero."""
        mean = functional.avg_pool2d(x * x, 3, self.stride, self.padding)
        # The gradient of a bare root is infinite at 0, where dead channels lie.
        return (9 * mean + 1e-12).sqrt()


def conv_block(
    channels: int, out: int, kernel: int, *, stride: int = 1, padding: int = 0
) -> nn.Sequential:
    """Convolution, batch norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(channels, out, kernel, stride, padding), nn.BatchNorm2d(out), nn.ReLU()
    )


class PooledBranch(nn.Module):
    """The pooling branch of an inception module, brought to the other branches' size.

    Args:
        pool: 3x3 pooling.
        projection: What follows the pooling, or `nn.Identity()`.
    """

    def __init__(self, pool: nn.Module, projection: nn.Module) -> None:
        super().__init__()
        self.pool, self.projection = pool, projection

    def forward(self, x: Activations, size: tuple[int, int]) -> Activations:
        """Pool, project, and pad with zeros to (height, width) `size`, the odd pixel after."""
        pooled: Tensor = self.projection(self.pool(x))
        rows, columns = size[0] - pooled.shape[2], size[1] - pooled.shape[3]
        if rows == 0 and columns == 0:
            return pooled
        edges = (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2)
        return functional.pad(pooled, edges)


class Inception(nn.Module):
    """One inception module of nn4.small2 (Amos et al. 2016): branches side by side.

    Args:
        channels: Input channels.
        reduce3: Channels of the 1x1 reduction before the 3x3 convolution.
        out3: Channels of the 3x3 convolution.
        reduce5: As `reduce3`, before the 5x5 convolution; 0 for no such branch.
        out5: Channels of the 5x5 convolution.
        pool: Kind of the pooling branch.
        pool_out: Channels of its 1x1 projection; 0 for none.
        out1: Channels of the plain 1x1 branch; 0 for no such branch.
        stride: Step of the convolutions: 2 halves the picture.
        pooling: Whether the pooling branch strides and is padded back, or moves as the
            convolutions do.
    """

    def __init__(
        self,
        channels: int,
        *,
        reduce3: int,
        out3: int,
        reduce5: int,
        out5: int,
        pool: Literal["max", "l2"],
        pool_out: int,
        out1: int,
        stride: int = 1,
        pooling: Pooling = "strided",
    ) -> None:
        super().__init__()
        self.branch3 = nn.Sequential(
            conv_block(channels, reduce3, 1),
            conv_block(reduce3, out3, 3, stride=stride, padding=1),
        )
        self.branch5 = (
            nn.Sequential(
                conv_block(channels, reduce5, 1),
                conv_block(reduce5, out5, 5, stride=stride, padding=2),
            )
            if reduce5
            else None
        )
        step, padding = (stride, 1) if pooling == "same" else (3 if pool == "l2" else 2, 0)
        self.pooled = PooledBranch(
            L2Pool(step, padding) if pool == "l2" else nn.MaxPool2d(3, step, padding),
            conv_block(channels, pool_out, 1) if pool_out else nn.Identity(),
        )
        self.branch1 = conv_block(channels, out1, 1) if out1 else None

    def forward(self, x: Activations) -> Activations:
        """Run the branches and join their channels: 3x3, 5x5, pooling, 1x1."""
        first = self.branch3(x)
        return torch.cat(list(self._branches(x, first)), 1)

    def _branches(self, x: Activations, first: Activations) -> Iterator[Activations]:
        yield first
        if self.branch5 is not None:
            yield self.branch5(x)
        yield self.pooled(x, (first.shape[2], first.shape[3]))
        if self.branch1 is not None:
            yield self.branch1(x)
