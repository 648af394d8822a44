"""VGG-16 (Simonyan & Zisserman 2015, configuration D): 224x224 faces to descriptors."""

import contextlib
from collections.abc import Iterator
from typing import TypeAlias

import torch
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
        self.dropout, self.blocks, self.width = dropout, blocks, width
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
        longer mean the same, unless `settling_norms` follows.
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

    @contextlib.contextmanager
    def settling_norms(self) -> Iterator[None]:
        """Within, let batch norms begin as what changes nothing, on the faces that pass through.

        Each takes the moments of what it is given as its own, and as its scale and shift too: it
        undoes what it does, until it has learnt otherwise. The network comes to be in evaluation
        mode.
        """
        self.eval()
        norms = [part for part in self.modules() if isinstance(part, _NORMS)]
        hooks = [norm.register_forward_pre_hook(_settle) for norm in norms]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

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


_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


@torch.no_grad()
def _settle(norm: nn.BatchNorm1d | nn.BatchNorm2d, inputs: tuple[Tensor]) -> None:
    values = inputs[0]
    others = [axis for axis in range(values.ndim) if axis != 1]
    variance, mean = torch.var_mean(values, others, correction=0)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance)
    norm.bias.copy_(mean)
    norm.weight.copy_((variance + norm.eps).sqrt())


def _refill(part: nn.Sequential, layers: list[nn.Module]) -> None:
    del part[:]
    part.extend(layers)
