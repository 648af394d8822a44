"""VGG of MatConvNet, shrunk, against the layers of the file itself run in NumPy."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view
from torch import nn

from agns.errors import ConfigError, WeightsError
from agns.models import families, vgg
from agns.models.backbone import Backbone
from agns.models.families import FAMILIES
from agns.models.importing import import_weights
from agns.models.recognizer import Recognizer

Write = Callable[..., Path]
Cell = Callable[..., np.ndarray]
Net = dict[str, object]
BLOCKS = ((3, 2), (4, 2), (4, 3), (5, 3), (6, 3))
WIDTH = 12
COLOURS = (129.1863, 104.7624, 93.5940)


class SmallVgg(vgg.Vgg16):
    def __init__(self) -> None:
        super().__init__(blocks=BLOCKS, width=WIDTH)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same layers with few channels: VGG-16 fills half a gigabyte."""
    monkeypatch.setattr(families, "Vgg16", SmallVgg)
    head = dataclasses.replace(FAMILIES["vgg"], head=lambda classes: nn.Linear(WIDTH, classes))
    monkeypatch.setitem(FAMILIES, "vgg", head)


def drawn_layers(classes: int) -> list[Net]:
    """Layers as MatConvNet keeps them."""
    draws = np.random.default_rng(0)

    def convolution(name: str, size: int, channels: int, out: int) -> Net:
        deviation = (2 / (size * size * channels)) ** 0.5
        filters = draws.normal(0, deviation, (size, size, channels, out)).astype(np.float32)
        biases = draws.normal(0, 0.1, (1, out)).astype(np.float32)
        pad = 1.0 if size == 3 else 0.0
        return {"type": "conv", "name": name, "weights": (filters, biases), "pad": pad}

    layers: list[Net] = []
    channels = 3
    for block, (out, count) in enumerate(BLOCKS, 1):
        for index in range(1, count + 1):
            layers.append(convolution(f"conv{block}_{index}", 3, channels, out))
            layers.append({"type": "relu", "name": f"relu{block}_{index}"})
            channels = out
        layers.append({"type": "pool", "method": "max", "name": f"pool{block}"})
    connected = ("fc6", 7, channels, WIDTH), ("fc7", 1, WIDTH, WIDTH), ("fc8", 1, WIDTH, classes)
    for name, size, before, out in connected:
        layers.append(convolution(name, size, before, out))
        layers += [{"type": "relu", "name": "relu"}, {"type": "dropout", "rate": 0.5}]
    # The first convolution sees 0..255.
    filters, biases = layers[0]["weights"]
    layers[0]["weights"] = filters / np.float32(60), biases
    return [*layers[:-2], {"type": "softmax", "name": "prob"}]


def as_net(layers: list[Net], cell: Cell, **beside: object) -> Net:
    packed = [
        {key: cell(*value) if isinstance(value, tuple) else value for key, value in layer.items()}
        for layer in layers
    ]
    return {"layers": cell(*packed), **beside}


def run(layers: list[Net], x: np.ndarray) -> np.ndarray:
    """A SimpleNN on one picture (height, width, channels) that its average is taken off of."""
    for layer in layers:
        if layer["type"] == "conv":
            filters, biases = layer["weights"]
            pad = int(layer["pad"])
            padded = np.pad(x, [(pad, pad), (pad, pad), (0, 0)])
            windows = sliding_window_view(padded, filters.shape[:2], (0, 1))
            x = np.einsum("yxchw,hwcn->yxn", windows, np.float64(filters), optimize=True)
            x = x + (biases.ravel() if np.size(biases) else 0)
        elif layer["type"] == "relu":
            x = np.maximum(x, 0)
        elif layer["type"] == "pool":
            rows, columns, channels = x.shape
            x = x.reshape(rows // 2, 2, columns // 2, 2, channels).max((1, 3))
    return x.ravel()


@pytest.fixture
def face() -> np.ndarray:
    """A face in 0..255, rows first."""
    rng = np.random.default_rng(1)
    coarse = rng.uniform(0, 255, (14, 14, 3))
    return np.kron(coarse, np.ones((16, 16, 1)))


def public(face: np.ndarray) -> torch.Tensor:
    return torch.tensor(face.transpose(2, 0, 1)[None] / 255, dtype=torch.float32)


def test_a_recogniser_of_the_original_gives_its_logits(
    tmp_path: Path, write_mat73: Write, cell: Cell, face: np.ndarray
) -> None:
    layers = drawn_layers(10)
    # Without biases, as the original's last layer, and with VGG-Face's names still in it.
    layers[-2]["weights"] = layers[-2]["weights"][0], np.zeros((0, 0))
    stale = {"description": cell(*(f"someone {index}" for index in range(2622)))}
    colours = np.float32(COLOURS).reshape(1, 1, 3)
    net = as_net(layers, cell, normalization={"averageImage": colours}, classes=stale)
    path = write_mat73(tmp_path / "vgg10-recognition-nn.mat", {"net": net})
    imported = import_weights(path, "vgg10")
    assert isinstance(imported.network, Recognizer)
    assert imported.network.identities[0] == "class_0000"
    with torch.no_grad():
        ours = imported.network(public(face))[0].numpy()
    theirs = run(layers, face - COLOURS)
    assert np.ptp(theirs) > 0.1
    np.testing.assert_allclose(ours, theirs, atol=2e-4 * abs(theirs).max())

    imported.save(tmp_path / "r.safetensors", path.name)
    with torch.no_grad():
        again = Recognizer.read(tmp_path / "r.safetensors")(public(face))[0].numpy()
    np.testing.assert_array_equal(again, ours)


def test_vgg_face_as_published_gives_its_names_and_logits(
    tmp_path: Path, write_mat5: Write, cell: Cell, face: np.ndarray
) -> None:
    layers = drawn_layers(4)
    names = ("A.J. Buckley", "Aamir Khan", "Zoë Kravitz", "Zulay Henao")
    rng = np.random.default_rng(2)
    average = (rng.uniform(80, 140, (224, 224, 3))).astype(np.float32)
    meta = {"classes": {"description": cell(*names)}, "normalization": {"averageImage": average}}
    path = write_mat5(tmp_path / "vgg-face.mat", as_net(layers, cell, meta=meta))
    network = import_weights(path, "vgg").network
    assert isinstance(network, Recognizer)
    assert network.identities == names
    with torch.no_grad():
        ours = network(public(face))[0].numpy()
    theirs = run(layers, face - average)
    np.testing.assert_allclose(ours, theirs, atol=2e-4 * abs(theirs).max())
    other = import_weights(path, "vgg", ("a", "b", "c", "d")).network
    assert isinstance(other, Recognizer)
    assert other.identities == ("a", "b", "c", "d")
    with pytest.raises(ConfigError, match="has 4 classes, and 2 names were given"):
        import_weights(path, "vgg", ("a", "b"))


def test_fields_of_early_versions_are_read(
    tmp_path: Path, write_mat5: Write, cell: Cell, face: np.ndarray
) -> None:
    layers = drawn_layers(3)
    early = [
        {"filters": layer["weights"][0], "biases": layer["weights"][1], "type": "conv"}
        if layer["type"] == "conv"
        else layer
        for layer in layers
    ]
    path = write_mat5(tmp_path / "early.mat", as_net(early, cell))
    network = import_weights(path, "vgg").network
    assert isinstance(network, Recognizer)
    assert network.average is None
    with torch.no_grad():
        ours = network(public(face))[0].numpy()
    np.testing.assert_allclose(ours, run(layers, face), rtol=1e-3, atol=1e-3)


def test_a_backbone_gives_its_descriptors(
    tmp_path: Path, write_mat5: Write, cell: Cell, face: np.ndarray
) -> None:
    layers = drawn_layers(3)
    colours = np.float64(COLOURS)
    net = as_net(layers, cell, meta={"normalization": {"averageImage": colours}})
    path = write_mat5(tmp_path / "vgg-face.mat", net)
    imported = import_weights(path, "vgg16")
    assert isinstance(imported.network, Backbone)
    assert imported.network.average is not None
    with torch.no_grad():
        ours = imported.network.backbone(public(face) - imported.network.average)[0].numpy()
    theirs = run([layer for layer in layers if layer.get("name") != "fc8"], face - COLOURS)
    np.testing.assert_allclose(ours, theirs, atol=2e-4 * abs(theirs).max())


Change = Callable[[list[Net]], list[Net]]


def without(name: str) -> Change:
    return lambda layers: [layer for layer in layers if layer.get("name") != name]


def changed(name: str, **fields: object) -> Change:
    return lambda layers: [
        {**layer, **fields} if layer.get("name") == name else layer for layer in layers
    ]


@pytest.mark.parametrize(
    ("change", "arch", "complaint"),
    [
        (without("conv3_2"), "vgg", "20 convolutions and poolings do not follow .* 21 of VGG-16"),
        (without("pool2"), "vgg16", "20 convolutions and poolings do not follow"),
        (lambda layers: layers, "vgg10", "tells 3 classes apart, and vgg10 10"),
        (lambda layers: layers, "of10", "holds a SimpleNN, as VGG is saved, and of10 is none"),
        (changed("relu1_1", type="bnorm"), "vgg", "relu1_1. is a 'bnorm' layer, which VGG-16"),
        (changed("pool1", method="avg"), "vgg", "pool1. is a 'pool' layer, which VGG-16"),
        (
            changed("conv1_2", weights=(np.ones((5, 5, 3, 3)), np.ones(3))),
            "vgg",
            r"layers\{3\} \(conv1_2\)'s filters comes to \(3, 3, 5, 5\), expected \(3, 3, 3, 3\)",
        ),
        (
            changed("fc6", weights=(np.ones((1, 1, 294, WIDTH)), np.ones(WIDTH))),
            "vgg",
            r"layers\{32\} \(fc6\) takes 294 channels, and the layer before gives 6",
        ),
        (
            changed("conv2_1", weights=("a", np.ones(4))),
            "vgg",
            r"layers\{6\} \(conv2_1\)'s filters is not an array of real numbers",
        ),
        (
            changed("fc7", weights=(np.ones((1, 1, WIDTH, WIDTH)), np.ones(5))),
            "vgg",
            r"\(fc7\)'s biases comes to \(5,\), expected \(12,\)",
        ),
        (lambda layers: [], "vgg", "holds no convolution"),
        (
            changed("conv2_1", weights=(np.ones((2, 2, 2, 2, 2)), np.ones(2))),
            "vgg",
            r"\(conv2_1\)'s filters have 5 axes, expected 4",
        ),
        (
            changed("fc8", weights=(np.ones((1, 1, WIDTH, 1)), np.ones(1))),
            "vgg",
            "tells 1 classes apart, and a recogniser 2 to 100000",
        ),
    ],
)
def test_other_networks_are_refused(
    tmp_path: Path, write_mat5: Write, cell: Cell, change: Change, arch: str, complaint: str
) -> None:
    net = as_net(change(drawn_layers(3)), cell)
    path = write_mat5(tmp_path / "a.mat", {"net": net})
    with pytest.raises(WeightsError, match=complaint):
        import_weights(path, arch)


@pytest.mark.parametrize("shape", [(256, 256, 3), (224, 224), (3, 224, 224)])
def test_an_average_of_another_size_is_refused(
    tmp_path: Path, write_mat5: Write, cell: Cell, shape: tuple[int, ...]
) -> None:
    meta = {"normalization": {"averageImage": np.ones(shape)}}
    path = write_mat5(tmp_path / "a.mat", as_net(drawn_layers(3), cell, meta=meta))
    with pytest.raises(WeightsError, match=r"averageImage is \(.*, expected three numbers or"):
        import_weights(path, "vgg")


def test_a_file_without_a_network_is_refused(tmp_path: Path, write_mat5: Write) -> None:
    path = write_mat5(tmp_path / "a.mat", {"imdb": 1.0, "opts": {"x": 2.0}})
    with pytest.raises(WeightsError, match="holds no network of MatConvNet, but imdb, opts"):
        import_weights(path, "vgg")
