"""Where a network's weights lie: on which device, and in which order in memory."""

from typing import TypeVar

import torch
from torch import nn

_Module = TypeVar("_Module", bound=nn.Module)


def device_of(network: object) -> torch.device:
    """Where a network's weights are; what it is given is moved there, and the answer back.

    The CPU for what has none.
    """
    weights = network.parameters() if isinstance(network, nn.Module) else iter(())
    first = next(weights, None)
    return torch.device("cpu") if first is None else first.device


def lay_channels_last(network: _Module) -> _Module:
    """Lay a network's convolution weights out channels-last in place, which its inputs follow."""
    for parameter in network.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return network
