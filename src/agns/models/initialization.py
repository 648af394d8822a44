"""First weights of networks, drawn from a generator."""

from typing import TypeVar

import torch
from torch import nn

_Module = TypeVar("_Module", bound=nn.Module)


@torch.no_grad()
def draw_weights(network: _Module, *, rng: torch.Generator) -> _Module:
    """Draw a network's weights in place after He et al. 2015; biases become 0."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=rng)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return network


@torch.no_grad()
def draw_gan_weights(network: _Module, *, rng: torch.Generator) -> _Module:
    """Draw a network's weights from N(0, 0.02) in place (Radford et al. 2016); biases become 0."""
    for layer in network.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(layer.weight, 0, 0.02, generator=rng)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return network
