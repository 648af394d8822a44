"""Local response normalisation across channels (Krizhevsky et al. 2012, section 3.3)."""

import functools
from collections.abc import Callable
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import BackwardCFunction, FunctionCtx, once_differentiable
from torch.nn import functional

from agns.models.layers import Activations


@functools.lru_cache(maxsize=16)
def _band(channels: int, size: int) -> Float[Tensor, "channels channels 1 1"]:
    """Ones where two channels lie within one normalisation window."""
    index = torch.arange(channels)
    near = (index[:, None] - index[None]).abs() <= size // 2
    return near.float()[:, :, None, None]


class CrossChannelNorm(nn.Module):
    """Normalise each position's channels by their neighbours.

    `x / (1 + alpha / size * sum of squares over `size` neighbouring channels) ** beta`, with the
    sum written as one banded 1x1 convolution: torch's own goes through a slow 3-d pooling.
    TensorFlow's alpha weighs the sum itself, so that ours is its own times the size.

    Args:
        size: Channels in a window, odd.
        alpha: Weight of the mean square.
        beta: Exponent.
    """

    def __init__(self, size: int = 5, alpha: float = 1e-4, beta: float = 0.75) -> None:
        super().__init__()
        self.size, self.alpha, self.beta = size, alpha, beta

    def forward(self, x: Activations) -> Activations:
        """Normalise; differentiable once."""
        weights = _band(x.shape[1], self.size).to(x) * (self.alpha / self.size)
        normalise = cast("Callable[[Tensor, Tensor, float], Tensor]", _Normalise.apply)
        return normalise(x, weights, self.beta)


class _Normalise(torch.autograd.Function):
    """The gradient written out: autograd's own takes about three times the passes over memory."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, weights: Tensor, beta: float) -> Tensor:
        scale = functional.conv2d(x * x, weights, weights.new_ones(len(weights)))
        # One division serves both passes; two square roots cost a fifth of a general power.
        inverse = scale.reciprocal_()
        power = inverse.sqrt()
        power = power.sqrt().mul_(power) if beta == 0.75 else inverse.pow(beta)
        ctx.save_for_backward(x, weights * (-2 * beta), inverse, power)
        return x * power

    @staticmethod
    @once_differentiable
    def backward(ctx: BackwardCFunction, slope: Tensor) -> tuple[Tensor, None, None]:
        x, weights, inverse, power = cast("tuple[Tensor, ...]", ctx.saved_tensors)
        direct = slope * power
        through = functional.conv2d((direct * x).mul_(inverse), weights)
        return direct.addcmul_(x, through), None, None
