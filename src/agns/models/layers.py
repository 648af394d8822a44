"""Layers that the OpenFace networks need: L2 pooling, inception, and padding as two systems do."""

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


class DrawnDropout(nn.Dropout):
    """Dropout whose masks come from a generator that a training gives it (`draw_dropout_from`).

    Without one it draws from torch's own, as `nn.Dropout` does.
    """

    generator: torch.Generator | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Drop entries while training, and scale the others up."""
        if not self.training or self.generator is None or self.p == 0:
            kept: Tensor = super().forward(x)
            return kept
        # Drawn on the processor, so that a seed means the same on every device.
        mask = torch.rand(x.shape, generator=self.generator) >= self.p
        return x * (mask.to(x) / (1 - self.p))


def draw_dropout_from(network: nn.Module, rng: torch.Generator) -> None:
    """Let a network's dropouts draw their next masks from a CPU generator."""
    for layer in network.modules():
        if isinstance(layer, DrawnDropout):
            layer.generator = rng


class L2Pool(nn.Module):
    """Root of the sum of squares in each 3x3 window (Torch7's LPPooling with p = 2).

    Args:
        stride: Step between windows in pixels.
        padding: Zeros around the picture in pixels.
        convention: "tensorflow" takes nine times the mean over what lies within the picture, so
            that windows at its borders weigh more; "torch" counts the zeros.
    """

    def __init__(self, stride: int, padding: int = 0, convention: Convention = "torch") -> None:
        super().__init__()
        self.stride, self.padding = stride, padding
        self.count_zeros = convention == "torch"

    def forward(self, x: Activations) -> Activations:
        """Pool; differentiable also where a whole window is zero."""
        # In 16 bits squares of small numbers vanish, and the root's slope is infinite again.
        whole = x.float() if x.dtype.itemsize < 4 else x
        mean = functional.avg_pool2d(
            whole * whole, 3, self.stride, self.padding, count_include_pad=self.count_zeros
        )
        # The gradient of a bare root is infinite at 0, where dead channels lie.
        return (9 * mean + 1e-12).sqrt().to(x.dtype)


class SameConv2d(nn.Conv2d):
    """A convolution padded as TensorFlow's "same": zeros to ceil(size / stride), the odd one after.

    Args:
        channels: Input channels.
        out: Output channels.
        kernel: Height and width of the kernel.
        stride: Step in pixels.
    """

    def __init__(self, channels: int, out: int, kernel: int, stride: int) -> None:
        super().__init__(channels, out, kernel, stride)

    def forward(self, x: Activations) -> Activations:
        """Pad and convolve."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        edges: list[int] = []
        for size in (x.shape[3], x.shape[2]):
            missing = max(0, (-(-size // stride) - 1) * stride + kernel - size)
            edges += [missing // 2, missing - missing // 2]
        return super().forward(functional.pad(x, edges))


class SameConvTranspose2d(nn.ConvTranspose2d):
    """A transposed 5x5 convolution that doubles a picture as TensorFlow's "same" does.

    It is the gradient of `SameConv2d`, so that a picture lies one pixel after where Torch's
    padding of 2 puts it.

    Args:
        channels: Input channels.
        out: Output channels.
    """

    def __init__(self, channels: int, out: int) -> None:
        super().__init__(channels, out, 5, 2, padding=1)

    def forward(self, x: Activations, output_size: list[int] | None = None) -> Activations:
        """Double; one row and one column too many are cut off behind."""
        return super().forward(x, output_size)[..., :-1, :-1]


def halving_pool(convention: Convention) -> nn.MaxPool2d:
    """3x3 max pooling that halves a picture of even height and width.

    Torch's windows begin a pixel before the picture, TensorFlow's at its first pixel, so that the
    last ones reach beyond it.
    """
    if convention == "tensorflow":
        return nn.MaxPool2d(3, 2, ceil_mode=True)
    return nn.MaxPool2d(3, 2, 1)


def norm_epsilon(convention: Convention) -> float:
    """What a batch norm adds to variances."""
    return 1e-3 if convention == "tensorflow" else 1e-5


def conv_block(
    channels: int,
    out: int,
    kernel: int,
    *,
    stride: int = 1,
    padding: int = 0,
    convention: Convention = "torch",
) -> nn.Sequential:
    """Convolution, batch norm, ReLU; TensorFlow's convention has a say only in padding at a stride.

    Args:
        channels: Input channels.
        out: Output channels.
        kernel: Height and width of the kernel.
        stride: Step in pixels.
        padding: Zeros around the picture in pixels.
        convention: "tensorflow" replaces the padding by its own where `stride` is above 1.
    """
    if convention == "tensorflow" and stride > 1:
        convolution: nn.Conv2d = SameConv2d(channels, out, kernel, stride)
    else:
        convolution = nn.Conv2d(channels, out, kernel, stride, padding)
    return nn.Sequential(convolution, nn.BatchNorm2d(out, eps=norm_epsilon(convention)), nn.ReLU())


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
        convention: Form of the padding and the batch norms.
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
        convention: Convention = "torch",
    ) -> None:
        super().__init__()
        block = functools.partial(conv_block, convention=convention)
        self.branch3 = nn.Sequential(
            block(channels, reduce3, 1), block(reduce3, out3, 3, stride=stride, padding=1)
        )
        self.branch5 = (
            nn.Sequential(
                block(channels, reduce5, 1), block(reduce5, out5, 5, stride=stride, padding=2)
            )
            if reduce5
            else None
        )
        step, padding = (stride, 1) if pooling == "same" else (3 if pool == "l2" else 2, 0)
        if pool == "l2":
            pool_layer: nn.Module = L2Pool(step, padding, convention)
        elif pooling == "same" and stride == 2:
            pool_layer = halving_pool(convention)
        else:
            pool_layer = nn.MaxPool2d(3, step, padding)
        self.pooled = PooledBranch(
            pool_layer, block(channels, pool_out, 1) if pool_out else nn.Identity()
        )
        self.branch1 = block(channels, out1, 1) if out1 else None

    def named_branches(self) -> Iterator[tuple[str, nn.Module]]:
        """The branches that there are, in the order of their channels: 3x3, 5x5, pooling, 1x1."""
        for name in ("branch3", "branch5", "pooled", "branch1"):
            if (branch := getattr(self, name)) is not None:
                yield name, branch

    def forward(self, x: Activations) -> Activations:
        """Run the branches and join their channels."""
        first = self.branch3(x)
        size = (first.shape[2], first.shape[3])
        others = [
            branch(x, size) if branch is self.pooled else branch(x)
            for name, branch in self.named_branches()
            if name != "branch3"
        ]
        return torch.cat([first, *others], 1)
