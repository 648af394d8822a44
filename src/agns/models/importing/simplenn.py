"""MatConvNet's SimpleNN, a chain of layers: VGG-16, as VGG-Face and the original's recognisers.

`layers{i}.weights` are filters (height, width, channels, filters) and biases; files of before 2015
name them `filters` and `biases`. Fully connected layers are convolutions as large as their input.
Faces are RGB in 0..255 less `meta.normalization.averageImage`, three numbers or a picture; older
files keep `normalization` and `classes` beside the layers. The scale goes into the first
convolution and the average, in [0, 1], into the recogniser.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from agns.errors import WeightsError
from agns.models.importing.imported import (
    BACKBONES,
    Found,
    Imported,
    empty,
    finished,
    layers_of,
)
from agns.models.importing.matvalues import entries, member, numbers, tensor_of, texts
from agns.types import CANVAS

_PASSED = ("relu", "dropout", "softmax", "softmaxloss", "loss")
_KIND = "a VGG-16 of MatConvNet"
WHITE = 255


def read_simplenn(
    net: dict[str, object], path: Path, arch: str, identities: Sequence[str] | None
) -> Imported:
    """Build a VGG recogniser, or its backbone, from a network's structure.

    Raises:
        ConfigError: The names are another number than the classes.
        WeightsError: A layer is missing, too many, or of another shape.
    """
    layers = _layers(net, path)
    average = _average(net, path)

    def classes() -> int:
        last = next((layer for layer in reversed(layers) if layer.kind == "conv"), None)
        if last is None:
            raise WeightsError(f"{path} holds no convolution")
        return len(last.kernel(path))

    network = empty(arch, classes, lambda: identities or named(net, classes()))
    targets = layers_of(network, (nn.Conv2d, nn.Linear, nn.MaxPool2d))
    if arch in BACKBONES:
        layers = layers[: len(targets)]
    found = _found(targets, layers, path)
    return finished(network, found, path, _KIND, average=average, first=lambda part: part * WHITE)


def named(net: dict[str, object], classes: int) -> tuple[str, ...] | None:
    """Names of the classes in a network's description, where they are as many.

    A network that was trained on from another often still carries the other's names.
    """
    for where in (("meta", "classes"), ("classes",)):
        for which in ("description", "name"):
            found = texts(member(net, *where, which))
            if len(found) == len(set(found)) == classes:
                return tuple(found)
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layer:
    """A convolution or a pooling."""

    kind: str
    """"conv" or "pool"."""

    what: str
    """Its place and name, for messages."""

    filters: object = None
    biases: object = None

    def kernel(self, path: Path) -> np.ndarray:
        """Its filters, (filters, channels, height, width)."""
        what = f"{self.what}'s filters"
        return rows_first(numbers(self.filters, what, path), what, path)


def _layers(net: dict[str, object], path: Path) -> list[_Layer]:
    """Convolutions and poolings, in order."""
    found = []
    for index, layer in enumerate(entries(net["layers"]), 1):
        kind, name = member(layer, "type"), member(layer, "name")
        what = f"layers{{{index}}}" + (f" ({name})" if isinstance(name, str) and name else "")
        if kind == "conv":
            weights = entries(member(layer, "weights"))
            filters = weights[0] if weights else member(layer, "filters")
            biases = weights[1] if len(weights) > 1 else member(layer, "biases")
            found.append(_Layer(kind="conv", what=what, filters=filters, biases=biases))
        elif kind == "pool" and member(layer, "method") in (None, "max"):
            found.append(_Layer(kind="pool", what=what))
        elif kind not in _PASSED:
            raise WeightsError(f"{path}: {what} is a {kind!r} layer, which VGG-16 does not have")
    return found


def _found(targets: dict[str, nn.Module], layers: list[_Layer], path: Path) -> Found:
    order = ["pool" if isinstance(module, nn.MaxPool2d) else "conv" for module in targets.values()]
    if [layer.kind for layer in layers] != order:
        raise WeightsError(
            f"{path}: {len(layers)} convolutions and poolings do not follow one another "
            f"as the {len(order)} of VGG-16"
        )
    found: Found = {}
    channels = 3
    for (name, module), layer in zip(targets.items(), layers, strict=True):
        if layer.kind == "pool":
            continue
        kernel, weight, bias = (
            layer.kernel(path),
            f"{layer.what}'s filters",
            f"{layer.what}'s biases",
        )
        # Were its inputs flattened already, their order would be anyone's guess.
        if kernel.shape[1] != channels:
            raise WeightsError(
                f"{path}: {layer.what} takes {kernel.shape[1]} channels, "
                f"and the layer before gives {channels}"
            )
        channels = len(kernel)
        if isinstance(module, nn.Linear):
            kernel = kernel.reshape(channels, -1)
        found[f"{name}.weight"] = tensor_of(kernel, weight, path), weight
        found[f"{name}.bias"] = bias_of(layer.biases, channels, bias, path), bias
    return found


def rows_first(filters: np.ndarray, what: str, path: Path) -> np.ndarray:
    """Filters (height, width, channels, filters) as (filters, channels, height, width).

    Raises:
        WeightsError: They have more axes.
    """
    if filters.ndim > 4:
        raise WeightsError(f"{path}: {what} have {filters.ndim} axes, expected 4")
    # MATLAB drops trailing axes of size 1.
    return filters.reshape(filters.shape + (1,) * (4 - filters.ndim)).transpose(3, 2, 0, 1)


def bias_of(value: object, count: int, what: str, path: Path) -> Tensor:
    """Biases as a vector; none are zeros."""
    if not entries(value):
        return torch.zeros(count)
    return tensor_of(numbers(value, what, path).ravel(), what, path)


def _average(net: dict[str, object], path: Path) -> Tensor | None:
    """What is subtracted in [0, 1], (3, 1, 1) or (3, 224, 224)."""
    value = member(net, "meta", "normalization", "averageImage")
    if value is None:
        value = member(net, "normalization", "averageImage")
    if not entries(value):
        return None
    array = numbers(value, "averageImage", path) / WHITE
    if array.size in (1, 3):
        picture = np.broadcast_to(array.ravel(), 3).reshape(3, 1, 1)
    elif array.shape == (CANVAS, CANVAS, 3):
        picture = array.transpose(2, 0, 1)
    else:
        raise WeightsError(
            f"{path}: averageImage is {array.shape}, expected three numbers "
            f"or {(CANVAS, CANVAS, 3)}"
        )
    return tensor_of(picture, "averageImage", path)
