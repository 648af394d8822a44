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
from torch import Tensor, nn

from agns.errors import ConfigError, WeightsError
from agns.models.backbone import Backbone
from agns.models.families import FAMILIES
from agns.models.importing.imported import Imported, name_classes
from agns.models.importing.keras_files import Settings, list_layers, list_settings, opening
from agns.models.importing.keras_layers import Layer, Order, channels_first, describe, fit
from agns.models.importing.openface import name_files
from agns.models.layers import Convention, Pooling, norm_epsilon
from agns.models.openface import OpenFace
from agns.models.recognizer import RECOGNIZERS, Recognizer
from agns.models.vgg import Vgg16

KIND = "Keras 2 (HDF5)"

BACKBONES = {"vgg16": "vgg", "openface": "of"}
"""Backbones alone, and their families."""

STEM = ("0.0", "0.1", "3.0", "3.1", "4.0", "4.1")
"""Our first layers with weights, in the port's order."""

BRANCHES = {"1x1": "branch1", "3x3": "branch3", "5x5": "branch5", "pool": "pooled.projection"}
"""An inception module's branches, in the port's order."""

IMAGENET_MEAN = (123.68, 116.779, 103.939)
"""Red, green and blue, in [0, 255], which Keras's own VGG-16 has subtracted before it takes BGR."""


def read(path: Path, arch: str, identities: Sequence[str] | None) -> Imported:
    """Build a recogniser or a backbone from a Keras file.

    Args:
        path: The file.
        arch: A recogniser, `vgg16` or `openface`; a backbone is also taken out of a recogniser.
        identities: Names of the classes, in the order of the logits; a backbone has none.

    Raises:
        ConfigError: There are no such networks in Keras files, or the names do not fit.
        WeightsError: The file is damaged, or holds another network.
    """
    alone = arch in BACKBONES
    family = BACKBONES[arch] if alone else RECOGNIZERS.get(arch, (arch, 0))[0]
    if family not in FAMILIES:
        raise ConfigError(f"{path} is a Keras file, and the port keeps its {arch} in a checkpoint")
    if alone and identities is not None:
        raise ConfigError(f"{arch} is a backbone, which has no classes to be named")
    with opening(path) as file:
        layers = list_layers(file, path)
        heads = _find_heads(layers, arch, family, path)
        body = [layer for layer in layers if layer not in heads]
        named = {layer.name.rpartition("/")[2]: layer for layer in layers}
        original = "inception_3a_3x3_conv1" in named
        pooling: Pooling = "strided"
        convention: Convention = "torch"
        if family == "of":
            pooling, convention = _tell_forms(list_settings(file, path), path, original=original)
        # Without storage, until all is seen to fit: a small file may declare any size.
        if alone:
            with torch.device("meta"):
                backbone = FAMILIES[family].backbone(pooling, convention)
            whole: nn.Module = nn.ModuleDict({"backbone": backbone})
            heads = []
        else:
            names = name_classes(arch, heads[-1].weights["kernel"].shape[-1], identities)
            with torch.device("meta"):
                whole = recognizer = Recognizer(arch, names, pooling=pooling, convention=convention)
            backbone = recognizer.backbone
        assert isinstance(backbone, OpenFace | Vgg16)
        places, orders = _arrange(backbone, body, path, original=original)
        places = {f"backbone.{module}": layer for module, layer in places.items()}
        inputs = {f"backbone.{module}": order for module, order in orders.items()}
        linear = [
            name
            for name, module in whole.named_modules()
            if name.startswith("head") and isinstance(module, nn.Linear)
        ]
        places |= dict(zip(linear, heads, strict=True))
        fit(whole, places, path, inputs=inputs)
    average: Tensor | None = None
    if original:
        average = torch.full((3, 1, 1), -1.0)
        _scale_first(backbone, 0.5)
    elif "predictions" in named:
        average = torch.tensor(IMAGENET_MEAN).reshape(3, 1, 1) / 255
        _scale_first(backbone, 255, swap=True)
    if not alone:
        recognizer.subtract(average)
        return Imported(network=recognizer.eval(), kind=KIND)
    return Imported(
        network=Backbone(
            network=backbone.eval(), pooling=pooling, convention=convention, average=average
        ),
        kind=KIND,
    )


def _arrange(
    backbone: OpenFace | Vgg16, body: Sequence[Layer], path: Path, *, original: bool
) -> tuple[dict[str, Layer], dict[str, Order]]:
    """The layer of each of our modules, and the order of input channels where it is not ours."""
    if isinstance(backbone, Vgg16):
        channels = backbone.get_parameter("descriptor.0.weight").shape[1] // 49
        places = dict(zip(_list_vgg(backbone), body, strict=True))
        return places, {"descriptor.0": channels_first(channels, 7, 7)}
    if original:
        return _match_names(body, path), {}
    return dict(zip(_list_port(backbone), body, strict=True)), _follow_branches(backbone)


def _find_heads(layers: Sequence[Layer], arch: str, family: str, path: Path) -> list[Layer]:
    """The fully connected layers behind the backbone, once the file is of the right family."""
    with torch.device("meta"):
        own = [*FAMILIES[family].backbone("strided", "torch").modules()]
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
    needed = 1 if family == "vgg" else 2
    if arch not in BACKBONES and len(heads) != needed:
        alone = "vgg16" if family == "vgg" else "openface"
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


def _list_vgg(backbone: Vgg16) -> list[str]:
    """Our modules with weights in Keras's order, which is ours."""
    kinds = (nn.Conv2d, nn.Linear)
    return [name for name, module in backbone.named_modules() if isinstance(module, kinds)]


def _list_port(backbone: OpenFace) -> list[str]:
    """Our modules with weights in the port's order."""
    names = [f"stem.{place}" for place in STEM]
    for index, module in enumerate(backbone.inceptions):
        for branch in BRANCHES.values():
            names += [f"inceptions.{index}.{name}" for name in _inside(module, branch)]
    return [*names, "embed"]


def _inside(module: nn.Module, branch: str) -> dict[str, nn.Module]:
    """The convolutions and batch norms of an inception module's branch, by name."""
    return {
        name: layer
        for name, layer in module.named_modules()
        if name.startswith(f"{branch}.") and isinstance(layer, nn.Conv2d | nn.BatchNorm2d)
    }


def _follow_branches(backbone: OpenFace) -> dict[str, Order]:
    """The order of input channels in and behind the port's inception modules."""
    orders: dict[str, Order] = {}
    order: Order = torch.arange(192)
    for index, module in enumerate(backbone.inceptions):
        pieces: dict[str, Order] = {}
        start = 0
        for key, branch in BRANCHES.items():
            inner = _inside(module, branch)
            # Without layers of its own, pooling passes its input's channels on.
            own = order if key == "pool" else torch.arange(0)
            if inner:
                *_, last = inner.values()
                assert isinstance(last, nn.BatchNorm2d)
                orders[f"inceptions.{index}.{next(iter(inner))}"] = order
                own = torch.arange(last.num_features)
            pieces[key] = start + own
            start += len(own)
        order = torch.cat([pieces[key] for key in ("3x3", "5x5", "pool", "1x1")])
    return {**orders, "embed": order}


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


def _scale_first(backbone: OpenFace | Vgg16, factor: float, *, swap: bool = False) -> None:
    """Bring another range, and BGR, to ours in the first convolution."""
    first = next(module for module in backbone.modules() if isinstance(module, nn.Conv2d))
    with torch.no_grad():
        first.weight.mul_(factor)
        if swap:
            first.weight.copy_(first.weight.flip(1))
