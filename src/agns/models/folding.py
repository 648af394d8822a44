"""Batch norms in evaluation mode, folded into the layers before them: for good, or at each pass.

Convention:
    `norm(layer(x))` is `layer(x)` with other weights and another bias, which are computed from the
    layer's and the norm's. Values and gradients are the same up to float rounding, and two passes
    over the activations are saved. What is folded at each pass stays differentiable in all weights.
"""

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.utils.fusion import fuse_conv_bn_eval

from agns.models.halving import FromPicture

Norm = nn.BatchNorm1d | nn.BatchNorm2d


def through(layers: nn.Sequential, x: Tensor) -> Tensor:
    """What layers give; in evaluation mode with batch norms folded.

    Args:
        layers: As they are: nothing of them changes. Where one of them has a forward hook, each is
            called by itself, so that what watches a network sees all of it.
        x: What the first one takes.
    """
    watched = any(one._forward_hooks or one._forward_pre_hooks for one in (layers, *layers))
    if layers.training or watched:
        given: Tensor = layers(x)
        return given
    waiting = list(layers)
    while waiting:
        layer = waiting.pop(0)
        if waiting and isinstance(waiting[0], Norm):
            x = functional_call(layer, _folded(layer, waiting.pop(0)), (x,))
        else:
            x = layer(x)
    return x


def _folded(layer: nn.Module, norm: nn.Module) -> dict[str, Tensor]:
    """Weight and bias of a layer that does a norm's work, too."""
    assert isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d)
    assert isinstance(norm, Norm)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert layer.bias is not None
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    bias = torch.addcmul(norm.bias, layer.bias - norm.running_mean, scale)
    # Output channels come second in a transposed convolution.
    axis = 1 if isinstance(layer, nn.ConvTranspose2d) else 0
    shape = [-1 if place == axis else 1 for place in range(layer.weight.ndim)]
    return {"weight": layer.weight * scale.reshape(shape), "bias": bias}


def fold_convolutions(layers: nn.Sequential) -> None:
    """Fold, for good, each batch norm that follows a convolution; `nn.Identity` takes its place."""
    for place, norm in enumerate(layers):
        before = layers[place - 1] if place else None
        if not isinstance(norm, nn.BatchNorm2d) or not isinstance(before, nn.Conv2d):
            continue
        layers[place - 1] = FromPicture.of(fuse_conv_bn_eval(before, norm))
        layers[place] = nn.Identity()
        after = layers[place + 1] if place + 1 < len(layers) else None
        if isinstance(after, nn.ReLU):
            # Nothing else looks at what a convolution gives, its gradient included.
            after.inplace = True
