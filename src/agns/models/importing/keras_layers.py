"""Keras layers on the way to ours: their tensors checked before they are read, then laid out anew.

Keras keeps convolutions as (height, width, in, out), transposed ones as (height, width, out, in),
and fully connected layers as (in, out). A picture is flattened with its channels last.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor, nn

from agns.errors import WeightsError
from agns.models.importing.imported import Found, to_tensor

Order: TypeAlias = Int[Tensor, " ours"]
"""For each of our channels or units, the place of the same in the source."""

PARTS = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
"""Keras's names of a layer's tensors, and ours."""

AXES = {1: (0,), 2: (1, 0), 4: (3, 2, 0, 1)}
"""Where our axes lie in Keras, by their number; the same for convolutions of both directions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weight:
    """A tensor that has not been read yet."""

    name: str
    """As the file calls it."""

    shape: tuple[int, ...]
    """As it lies in the file."""

    read: Callable[[], np.ndarray]
    """Reads it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A layer that has weights."""

    name: str
    """As the file calls it, with what it is nested in."""

    weights: Mapping[str, Weight]
    """By the keys of `PARTS`."""

    @property
    def kind(self) -> str:
        """In words, for messages and for telling networks apart."""
        if "kernel" not in self.weights:
            return "batch norm"
        axes = len(self.weights["kernel"].shape)
        return {2: "fully connected layer", 4: "convolution"}.get(axes, "unknown layer")


def describe(layers: Sequence[Layer]) -> str:
    """How many layers there are of each kind, in words."""
    kinds = [layer.kind for layer in layers]
    counts = [(kinds.count(kind), kind) for kind in dict.fromkeys(kinds)]
    words = [f"{count} {kind}{'s' if count > 1 else ''}" for count, kind in counts]
    return ", ".join(words) or "no layers"


def channels_first(channels: int, height: int, width: int) -> Order:
    """Order of a flattened picture's numbers, from (height, width, channels) to ours."""
    places = torch.arange(height * width * channels).reshape(height, width, channels)
    return places.permute(2, 0, 1).flatten()


def fit(
    network: nn.Module,
    layers: Mapping[str, Layer],
    path: Path,
    *,
    inputs: Mapping[str, Order] | None = None,
    outputs: Mapping[str, Order] | None = None,
) -> Found:
    """Read the weights of layers, each checked before, and lay them out as a network's.

    Args:
        network: The one to be filled.
        layers: By our name of the module that is the same.
        path: Where they came from.
        inputs: Order of a module's input channels, where it is not the source's.
        outputs: Order of a module's output channels, likewise.

    Raises:
        WeightsError: A tensor is too many, of another shape, or not finite.
    """
    own = network.state_dict()
    found: Found = {}
    for module, layer in layers.items():
        for part, weight in layer.weights.items():
            name = f"{module}.{PARTS[part]}"
            if name not in own:
                raise WeightsError(f"{path} holds {weight.name}, which the network does not have")
            axes, ours = AXES[own[name].ndim], own[name].shape
            expected = tuple(ours[axes.index(axis)] for axis in range(len(ours)))
            if weight.shape != expected:
                raise WeightsError(f"{path}: {weight.name} is {weight.shape}, expected {expected}")
            tensor = to_tensor(weight.read().transpose(axes), f"{path}: {weight.name}")
            if part == "moving_variance" and (tensor < 0).any():
                raise WeightsError(f"{path}: {weight.name} holds a variance below 0")
            if inputs and module in inputs and part == "kernel":
                tensor = tensor[:, inputs[module]]
            if outputs and module in outputs:
                tensor = tensor[outputs[module]]
            found[name] = tensor, weight.name
    return found
