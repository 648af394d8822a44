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
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from agns.errors import WeightsError
from agns.models.backbone import Backbone
from agns.models.cross_channel import CrossChannelNorm
from agns.models.importing.graph import Layer, parameters, walk
from agns.models.importing.imported import Imported, name_classes, place
from agns.models.importing.matfile import entries, numbers, to_tensor
from agns.models.importing.simplenn import bias_of, named, rows_first
from agns.models.layers import L2Pool
from agns.models.openface import OpenFace
from agns.models.recognizer import Recognizer

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


@dataclass(slots=True)
class _Found:
    """Tensors on their way, by our names, and what the file calls them."""

    path: Path
    tensors: dict[str, Tensor] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, tensor: Tensor, what: str) -> None:
        self.tensors[name], self.names[name] = tensor, what


def read_dagnn(
    net: dict[str, object], path: Path, arch: str, identities: Sequence[str] | None
) -> Imported:
    """Build an OpenFace recogniser, or its backbone.

    Args:
        net: The network's structure.
        path: Where it came from.
        arch: "of10", "of143", "of" or "openface".
        identities: Names of the classes in place of the file's own.

    Raises:
        ConfigError: The names are another number than the classes.
        WeightsError: A layer is missing, too many, or of another shape.
    """
    values = parameters(net)
    layers = [layer for layer in walk(net, path) if layer.kind in _PAIRS]
    average = torch.full((3, 1, 1), -1.0)
    if arch == "openface":
        network = OpenFace()
        _fill(network, layers, values, path, whole=False)
        backbone = Backbone(network=network.eval(), average=average)
        return Imported(network=backbone, kind=_KIND)
    last = next((layer for layer in reversed(layers) if layer.kind in ("Conv", "Linear")), None)
    if last is None:
        raise WeightsError(f"{path} holds no convolution")
    classes = len(_matrix(last, values, path))
    names = name_classes(arch, classes, identities or named(net, classes))
    # Without storage, until all is seen to fit: a small file may declare any size.
    with torch.device("meta"):
        recognizer = Recognizer(arch, names)
    _fill(recognizer, layers, values, path, whole=True)
    recognizer.subtract(average)
    return Imported(network=recognizer.eval(), kind=_KIND)


def _fill(
    network: nn.Module,
    layers: list[Layer],
    values: dict[str, object],
    path: Path,
    *,
    whole: bool,
) -> None:
    prefix = "backbone." if whole else ""
    targets: list[tuple[str, nn.Module]] = []
    for name, module in network.named_modules():
        if name == f"{prefix}embed":
            # A mean over the picture, which ours takes without a module.
            targets.append(("the mean", nn.AvgPool2d(3)))
        if isinstance(module, sum(_PAIRS.values(), ())):
            targets.append((name, module))
    if len(layers) != len(targets) and (whole or len(layers) < len(targets)):
        raise WeightsError(
            f"{path} holds {len(layers)} convolutions, poolings and normalisations, "
            f"expected {len(targets)}"
        )
    found = _Found(path)
    stretched: dict[str, float] = {}
    for layer, (name, module) in zip(layers, targets, strict=False):
        if not isinstance(module, _PAIRS[layer.kind]):
            raise WeightsError(
                f"{path}: {layer.name} is a {layer.kind} where OpenFace has "
                f"a {type(module).__name__}"
            )
        if isinstance(module, CrossChannelNorm):
            stretched[name] = _stretch(layer, module, path)
        elif isinstance(module, nn.BatchNorm2d):
            _batch_norm(name, module, layer, values, found)
        elif isinstance(module, nn.Conv2d | nn.Linear):
            what = f"{layer.parameter(0)} of {layer.name}"
            kernel = _matrix(layer, values, path)
            if isinstance(module, nn.Linear):
                kernel = kernel.reshape(len(kernel), -1)
            found.add(f"{name}.weight", to_tensor(kernel, what, path), what)
            what = f"{layer.parameter(1)} of {layer.name}"
            biases = bias_of(values.get(layer.parameter(1)), len(kernel), what, path)
            found.add(f"{name}.bias", biases, what)
        if isinstance(module, nn.Conv2d | nn.MaxPool2d | L2Pool):
            _check_stride(layer, module, path)
    place(network, found.tensors, found.names, path)
    own = network.state_dict()
    own[f"{prefix}stem.0.0.weight"] /= 2
    for name, factor in stretched.items():
        before, after = _AROUND[name.removeprefix(prefix)]
        own[f"{prefix}{before}.weight"] *= factor
        own[f"{prefix}{before}.bias"] *= factor
        for convolution in after:
            own[f"{prefix}{convolution}.weight"] /= factor


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
    name: str, module: nn.BatchNorm2d, layer: Layer, values: dict[str, object], found: _Found
) -> None:
    """A batch norm with the same scale and shift in evaluation mode, exactly."""
    path, channels = found.path, module.num_features
    what = [f"{layer.parameter(index)} of {layer.name}" for index in range(3)]
    gain = to_tensor(_value(layer, 0, values, path).ravel(), what[0], path).double()
    shift = to_tensor(_value(layer, 1, values, path).ravel(), what[1], path)
    moments = to_tensor(_value(layer, 2, values, path), what[2], path).double()
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
    for ours, tensor, theirs in (
        ("weight", gain.float(), what[0]),
        ("bias", shift, what[1]),
        ("running_mean", mean.float(), what[2]),
        ("running_var", variance.float(), what[2]),
    ):
        found.add(f"{name}.{ours}", tensor, theirs)


def _stretch(layer: Layer, module: CrossChannelNorm, path: Path) -> float:
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
