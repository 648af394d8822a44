"""Recognisers and backbones of Keras 2: the port of AGN, and OpenFace as Keras-OpenFace has it.

The port (PhilK-7/agns-port) saves whole models: `vgg_10.h5`, `vgg_143.h5`, `of10.h5`, `of143.h5`
and `openface.h5`. Its VGG takes RGB in [0, 1], its OpenFace RGB in [-1, 1], which is what its
attacks feed them. Keras numbers the layers, so that they are told by their order. The inception
modules join 1x1, 3x3, 5x5 and pooling, where ours join 3x3, 5x5, pooling and 1x1. The embeddings
are divided by the length of the whole batch's, which is ours for a batch of one.

Keras-OpenFace's files (`nn4.small2.v1.h5`, `nn4.small2.lrn.h5`) hold the original's weights under
names of their own: RGB in [0, 1], strided pooling branches, epsilon 1e-5. There, TensorFlow's local
response normalisation stands in for Torch's; ours is Torch's, which the weights were trained with.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from agns.errors import WeightsError
from agns.models.backbone import Backbone
from agns.models.importing.imported import (
    BACKBONES,
    OPENFACE,
    VGG,
    Imported,
    empty,
    finished,
    layers_of,
)
from agns.models.importing.keras_files import (
    Settings,
    list_layers,
    list_settings,
    opening,
    recognises,
)
from agns.models.importing.keras_layers import Layer, Order, channels_first, describe, fit
from agns.models.importing.openface import name_files
from agns.models.layers import Convention, Pooling, norm_epsilon
from agns.models.recognizer import Recognizer

__all__ = ["ARCHS", "KIND", "read", "recognises"]

KIND = "Keras 2 (HDF5)"
ARCHS = (*VGG, *OPENFACE)

STEM = ("0.0", "0.1", "3.0", "3.1", "4.0", "4.1")
"""Our first layers with weights, in the port's order."""

BRANCHES = {"1x1": "branch1", "3x3": "branch3", "5x5": "branch5", "pool": "pooled.projection"}
"""An inception module's branches, in the port's order."""

IMAGENET_MEAN = (123.68, 116.779, 103.939)
"""Red, green and blue, in [0, 255], which Keras's own VGG-16 has subtracted before it takes BGR."""


def read(path: Path, arch: str, identities: Sequence[str] | None) -> Imported:
    """Build a recogniser or a backbone, which is also taken out of a recogniser.

    Raises:
        ConfigError: The names do not fit.
        WeightsError: The file is damaged, or holds another network.
    """
    with opening(path) as file:
        layers = list_layers(file, path)
        heads = _find_heads(layers, arch, path)
        named = {layer.name.rpartition("/")[2]: layer for layer in layers}
        original = "inception_3a_3x3_conv1" in named
        pooling: Pooling = "strided"
        convention: Convention = "torch"
        if arch in OPENFACE:
            pooling, convention = _tell_forms(list_settings(file, path), path, original=original)
        network = empty(
            arch, lambda: heads[-1].weights["kernel"].shape[-1], lambda: identities,
            pooling=pooling, convention=convention,
        )  # fmt: skip
        body = [layer for layer in layers if layer not in heads]
        inputs: dict[str, Order] = {}
        modules = list(layers_of(network.backbone))
        if arch in VGG:
            channels = network.backbone.get_parameter("descriptor.0.weight").shape[1] // 49
            inputs["backbone.descriptor.0"] = channels_first(channels, 7, 7)
        elif not original:
            modules, inputs = _follow_port(network.backbone.get_submodule("inceptions"))
        places = _match_names(body, path) if original else dict(zip(modules, body, strict=True))
        places = {f"backbone.{module}": layer for module, layer in places.items()}
        if isinstance(network, Recognizer):
            linear = [name for name in layers_of(network) if name.startswith("head")]
            places |= dict(zip(linear, heads, strict=True))
        found = fit(network, places, path, inputs=inputs)
    if original:
        average = torch.full((3, 1, 1), -1.0)
        return finished(network, found, path, KIND, average=average, first=lambda part: part / 2)
    if "predictions" in named:
        average = torch.tensor(IMAGENET_MEAN).reshape(3, 1, 1) / 255
        # In [0, 255], and blue first.
        return finished(
            network, found, path, KIND, average=average, first=lambda part: (part * 255).flip(1)
        )
    return finished(network, found, path, KIND, average=None)


def _find_heads(layers: Sequence[Layer], arch: str, path: Path) -> list[Layer]:
    """The fully connected layers behind the backbone, once the file is of the right family."""
    with torch.device("meta"):
        own = [*Backbone("vgg" if arch in VGG else "of").modules()]
    expected = {
        "convolution": sum(isinstance(module, nn.Conv2d) for module in own),
        "batch norm": sum(isinstance(module, nn.BatchNorm2d) for module in own),
    }
    found = {kind: sum(layer.kind == kind for layer in layers) for kind in expected}
    dense = [layer for layer in layers if layer.kind == "fully connected layer"]
    inner = sum(isinstance(module, nn.Linear) for module in own)
    if found != expected or len(dense) < inner or sum(found.values()) + len(dense) < len(layers):
        raise WeightsError(
            f"{path} holds {describe(layers)}, which is not {arch}: its backbone has "
            f"{expected['convolution']} convolutions, {expected['batch norm']} batch norms, "
            f"and a last part of {inner} fully connected"
        )
    heads = dense[inner:]
    needed, alone = (1, "vgg16") if arch in VGG else (2, "openface")
    if arch not in BACKBONES and len(heads) != needed:
        raise WeightsError(
            f"{path} has {len(heads)} fully connected layers behind its backbone, and {arch} has "
            f"{needed}: the backbone alone is --arch {alone}"
        )
    return heads


def _tell_forms(settings: Settings, path: Path, *, original: bool) -> tuple[Pooling, Convention]:
    """Forms of OpenFace, from the layers' settings where the file has them."""
    pooling: Pooling = "strided" if original else "same"
    convention: Convention = "torch" if original else "tensorflow"
    if original and settings.get("conv1", {}).get("padding") == "same":
        convention = "tensorflow"
    for name, layer in settings.items():
        kind = layer.get("class_name")
        # The last pooling moves by 1 as well, without padding.
        still = layer.get("strides") in ([1, 1], 1) and layer.get("padding") == "same"
        if original and kind in ("MaxPooling2D", "AveragePooling2D") and still:
            pooling = "same"
        epsilon = layer.get("epsilon")
        if kind == "BatchNormalization" and isinstance(epsilon, float):
            expected = norm_epsilon(convention)
            if abs(epsilon - expected) > 1e-3 * expected:
                raise WeightsError(
                    f"{path}: {name} adds {epsilon:g} to variances, expected {expected:g} as in "
                    f"the rest of what {convention} does"
                )
    return pooling, convention


def _follow_port(inceptions: nn.Module) -> tuple[list[str], dict[str, Order]]:
    """Our modules in the port's order, and the order of input channels in and behind inceptions."""
    names = [f"stem.{place}" for place in STEM]
    orders: dict[str, Order] = {}
    order: Order = torch.arange(192)
    for index, module in enumerate(inceptions.children()):
        pieces: dict[str, Order] = {}
        start = 0
        for key, branch in BRANCHES.items():
            inner = [name for name in layers_of(module) if name.startswith(f"{branch}.")]
            names += [f"inceptions.{index}.{name}" for name in inner]
            # Without layers of its own, pooling passes its input's channels on.
            own = order if key == "pool" else torch.arange(0)
            if inner:
                orders[f"backbone.inceptions.{index}.{inner[0]}"] = order
                own = torch.arange(len(module.get_parameter(f"{inner[-1]}.weight")))
            pieces[key] = start + own
            start += len(own)
        order = torch.cat([pieces[key] for key in ("3x3", "5x5", "pool", "1x1")])
    return [*names, "embed"], {**orders, "backbone.embed": order}


def _match_names(body: Sequence[Layer], path: Path) -> dict[str, Layer]:
    """Our modules, and Keras-OpenFace's layers of their names."""
    # The CSV files are named after these layers, and the tensor.
    modules = {
        file.rpartition("_")[0]: tensor.rpartition(".")[0] for tensor, file in name_files().items()
    }
    modules["dense_layer"] = modules.pop("dense")
    places: dict[str, Layer] = {}
    for layer in body:
        name = layer.name.rpartition("/")[2]
        if name not in modules:
            raise WeightsError(f"{path} holds a layer {layer.name} that nn4.small2 does not have")
        places[modules[name]] = layer
    return places
