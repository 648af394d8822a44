"""MatConvNet's DagNN, a graph of layers: the original's recognisers on OpenFace.

`layers` name what they read and write, and which of `params` they use; an object of the class is
saved as the same structure. The graph is followed from the first layer's input on, the branches of
an inception module in the order in which they are joined, so that names do not matter. That is the
order of our network's modules: every layer has its counterpart.

A convolution has filters (height, width, channels, filters) and biases, `Linear` weights
(outputs, inputs) and biases. A batch norm has scale, shift, and two columns of moments: mean, and
standard deviation with epsilon in it (`vl_nnbnorm`). The original's faces are RGB in [0, 1], ours
in [-1, 1]: the first convolution takes half its weights, and -1 is the average subtracted, for
where the original pads with 0, ours pads after.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from agns.errors import WeightsError
from agns.models.cross_channel import CrossChannelNorm
from agns.models.importing.graph import Layer, parameters, walk
from agns.models.importing.imported import BACKBONES, Found, Imported, empty, finished
from agns.models.importing.matvalues import entries, numbers, tensor_of
from agns.models.importing.simplenn import bias_of, named, rows_first
from agns.models.layers import L2Pool

_KIND = "an OpenFace of MatConvNet"
_PAIRS = {
    "Conv": (nn.Conv2d, nn.Linear),
    "Linear": (nn.Linear,),
    "BatchNorm": (nn.BatchNorm2d,),
    "LRN": (CrossChannelNorm,),
    "Pooling": (nn.MaxPool2d, L2Pool, nn.AvgPool2d),
}
"""What a layer may become."""
# Where a normalisation is reached from, and where it leads to, by our names in the stem.
_AROUND = {
    "stem.2": ("stem.0.1", ("stem.3.0",)),
    "stem.5": (
        "stem.4.1",
        tuple(
            f"inceptions.0.{name}.0"
            for name in ("branch3.0", "branch5.0", "pooled.projection", "branch1")
        ),
    ),
}


def read_dagnn(
    net: dict[str, object], path: Path, arch: str, identities: Sequence[str] | None
) -> Imported:
    """Build an OpenFace recogniser, or its backbone, from a network's structure.

    Raises:
        ConfigError: The names are another number than the classes.
        WeightsError: A layer is missing, too many, or of another shape.
    """
    values = parameters(net)
    layers = [layer for layer in walk(net, path) if layer.kind in _PAIRS]

    def classes() -> int:
        last = next((layer for layer in reversed(layers) if layer.kind in ("Conv", "Linear")), None)
        if last is None:
            raise WeightsError(f"{path} holds no convolution")
        return len(_matrix(last, values, path))

    network = empty(arch, classes, lambda: identities or named(net, classes()))
    targets: list[tuple[str, nn.Module]] = []
    for name, module in network.named_modules():
        if name == "backbone.embed":
            # A mean over the picture, which ours takes without a module.
            targets.append(("the mean", nn.AvgPool2d(3)))
        if isinstance(module, sum(_PAIRS.values(), ())):
            targets.append((name, module))
    least = len(layers) if arch not in BACKBONES else min(len(layers), len(targets))
    if least != len(targets):
        raise WeightsError(
            f"{path} holds {len(layers)} convolutions, poolings and normalisations, "
            f"expected {len(targets)}"
        )
    found: Found = {}
    for layer, (name, module) in zip(layers, targets, strict=False):
        if not isinstance(module, _PAIRS[layer.kind]):
            raise WeightsError(
                f"{path}: {layer.name} is a {layer.kind} where OpenFace has "
                f"a {type(module).__name__}"
            )
        if isinstance(module, nn.BatchNorm2d):
            found |= _batch_norm(name, module, layer, values, path)
        elif isinstance(module, nn.Conv2d | nn.Linear):
            what = f"{layer.parameter(0)} of {layer.name}"
            kernel = _matrix(layer, values, path)
            if isinstance(module, nn.Linear):
                kernel = kernel.reshape(len(kernel), -1)
            found[f"{name}.weight"] = tensor_of(kernel, what, path), what
            what = f"{layer.parameter(1)} of {layer.name}"
            biases = bias_of(values.get(layer.parameter(1)), len(kernel), what, path)
            found[f"{name}.bias"] = biases, what
        if isinstance(module, nn.Conv2d | nn.MaxPool2d | L2Pool):
            _check_stride(layer, module, path)
    for layer, (name, module) in zip(layers, targets, strict=False):
        if isinstance(module, CrossChannelNorm):
            _stretch(found, name, _stretching(layer, module, path))
    average = torch.full((3, 1, 1), -1.0)
    return finished(network, found, path, _KIND, average=average, first=lambda weight: weight / 2)


def _stretch(found: Found, name: str, factor: float) -> None:
    before, after = _AROUND[name.removeprefix("backbone.")]
    for part in (f"{before}.weight", f"{before}.bias"):
        found[f"backbone.{part}"][0].mul_(factor)
    for convolution in after:
        found[f"backbone.{convolution}.weight"][0].div_(factor)


def _value(layer: Layer, index: int, values: dict[str, object], path: Path) -> np.ndarray:
    name = layer.parameter(index)
    if name not in values:
        raise WeightsError(f"{path} lacks the parameter {name or index + 1} of {layer.name}")
    return numbers(values[name], f"{name} of {layer.name}", path)


def _matrix(layer: Layer, values: dict[str, object], path: Path) -> np.ndarray:
    """Weights with the outputs first."""
    weights = _value(layer, 0, values, path)
    what = f"{layer.parameter(0)} of {layer.name}"
    return weights if layer.kind == "Linear" else rows_first(weights, what, path)


def _batch_norm(
    name: str, module: nn.BatchNorm2d, layer: Layer, values: dict[str, object], path: Path
) -> Found:
    """A batch norm with the same scale and shift in evaluation mode, exactly."""
    channels = module.num_features
    what = [f"{layer.parameter(index)} of {layer.name}" for index in range(3)]
    gain = tensor_of(_value(layer, 0, values, path).ravel(), what[0], path).double()
    shift = tensor_of(_value(layer, 1, values, path).ravel(), what[1], path)
    moments = tensor_of(_value(layer, 2, values, path), what[2], path).double()
    if moments.shape != (channels, 2) or gain.shape != (channels,):
        raise WeightsError(
            f"{path}: {what[0]} and {what[2]} come to {tuple(gain.shape)} and "
            f"{tuple(moments.shape)}, expected {(channels,)} and {(channels, 2)}"
        )
    mean, deviation = moments.unbind(1)
    if not bool((deviation > 0).all()):
        raise WeightsError(f"{path}: {what[2]} holds a standard deviation that is not positive")
    variance = (deviation**2 - module.eps).clamp_min(0)
    # 1, but for a channel whose variance is smaller than our epsilon.
    gain = gain * (variance + module.eps).sqrt() / deviation
    return {
        f"{name}.weight": (gain.float(), what[0]),
        f"{name}.bias": (shift, what[1]),
        f"{name}.running_mean": (mean.float(), what[2]),
        f"{name}.running_var": (variance.float(), what[2]),
    }


def _stretching(layer: Layer, module: CrossChannelNorm, path: Path) -> float:
    """How much larger a normalisation's input must be for ours to do what the file's does.

    Where alpha differs, ours on an input `c` times as large, its output divided by `c` again, is
    the same; the batch norm before and the convolutions after take the factors.
    """
    given = layer.block.get("param")
    if not entries(given):
        return 1.0
    param = numbers(given, f"param of {layer.name}", path).ravel()
    alpha = module.alpha / module.size
    if param.size != 4 or not np.allclose(param[[0, 1, 3]], (module.size, 1, module.beta)):
        raise WeightsError(
            f"{path}: {layer.name} normalises with {param.tolist()}, "
            f"expected [{module.size}, 1, alpha, {module.beta}]"
        )
    if not 0 < param[2] < math.inf:
        raise WeightsError(f"{path}: {layer.name} has the alpha {param[2]}, which is not positive")
    factor = math.sqrt(float(param[2]) / alpha)
    return 1.0 if math.isclose(factor, 1, rel_tol=1e-6) else factor


def _check_stride(layer: Layer, module: nn.Conv2d | nn.MaxPool2d | L2Pool, path: Path) -> None:
    given, own = layer.block.get("stride"), module.stride
    if not entries(given):
        return
    steps = numbers(given, f"stride of {layer.name}", path).ravel().tolist()
    expected = own[0] if isinstance(own, tuple) else own
    if any(step != expected for step in steps):
        raise WeightsError(f"{path}: {layer.name} has the stride {steps}, expected {expected}")
