"""A network's numbers: counted, drawn, averaged, laid out, and filled from a file."""

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from agns.errors import WeightsError


def count_parameters(network: nn.Module) -> int:
    """Parameters and moving statistics; the counters of batches seen are left out."""
    return sum(
        tensor.numel()
        for name, tensor in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    )


def fill(network: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Load tensors into a network, saying which one does not fit.

    Raises:
        WeightsError: A tensor is missing, too many, of another shape, or not finite.
    """
    check_fit(network, tensors, path)
    network.load_state_dict(dict(tensors))


def check_fit(network: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Complain of the first tensor that does not fit a network, which may lie on no device.

    Raises:
        WeightsError: A tensor is missing, too many, of another shape, or not finite.
    """
    expected = network.state_dict()
    for name in sorted(expected.keys() | tensors.keys()):
        if name not in tensors:
            raise WeightsError(f"{path} lacks the tensor {name}")
        if name not in expected:
            raise WeightsError(f"{path} holds a tensor {name} that the network does not have")
        if tensors[name].shape != expected[name].shape:
            raise WeightsError(
                f"{path}: {name} is {tuple(tensors[name].shape)}, "
                f"expected {tuple(expected[name].shape)}"
            )
        if not bool(tensors[name].isfinite().all()):
            raise WeightsError(f"{path}: {name} holds a number that is not finite")


def device_of(network: nn.Module) -> torch.device:
    """Where a network's weights are; what it is given is moved there, and the answer back."""
    return next(network.parameters()).device


_Module = TypeVar("_Module", bound=nn.Module)


def lay_channels_last(network: _Module) -> _Module:
    """Lay a network's convolution weights out channels-last in place, which its inputs follow."""
    for parameter in network.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return network


def draw_weights(network: _Module, *, generator: torch.Generator) -> _Module:
    """Draw a network's weights in place after He et al. 2015; biases become 0."""
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
    return network


@torch.no_grad()
def average(averaged: nn.Module, network: nn.Module, decay: float) -> None:
    """Move the averaged weights and statistics towards the network's."""
    into, source = averaged.state_dict(), network.state_dict()
    floating = [name for name, tensor in into.items() if tensor.is_floating_point()]
    torch._foreach_lerp_(
        [into[name] for name in floating], [source[name] for name in floating], 1 - decay
    )


def draw_gan_weights(network: _Module, *, generator: torch.Generator) -> _Module:
    """Draw a network's weights from N(0, 0.02) in place (Radford et al. 2016); biases become 0."""
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
                nn.init.normal_(layer.weight, 0, 0.02, generator=generator)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
    return network


def photos_seen(metadata: Mapping[str, object]) -> frozenset[str]:
    """Digests of the photos that a network was trained on, as far as its file tells.

    Args:
        metadata: What the file says beside the weights.
    """
    listed = metadata.get("training_photos")
    return frozenset(map(str, listed)) if isinstance(listed, list) else frozenset()
