"""Networks of Keras files, written as Keras 2 lays them out, against themselves in NumPy."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from agns.models.backbone import Backbone
from agns.models.families import FAMILIES
from agns.models.importing import import_weights
from agns.models.recognizer import Recognizer
from agns.models.vgg import Vgg16
from agns.models.victim import freeze

Array = np.ndarray
Weights = dict[str, dict[str, Array]]
Port = tuple[Weights, Array, Array]
"""Weights of the port's of10, its embeddings and its logits."""
Original = tuple[Weights, Array]
"""Weights of Keras-OpenFace and its embeddings."""


BLOCKS = ((2, 2), (3, 2), (3, 3), (4, 3), (5, 3))


def run_vgg(k: SimpleNamespace, faces: Array, head: str = "Logits") -> Array:
    x = faces
    for block, (channels, count) in enumerate(BLOCKS, 1):
        for number in range(1, count + 1):
            name = f"block{block}_conv{number}"
            x = np.maximum(k.convolve(x, name, channels, 3), 0)
        x = x.reshape(len(x), x.shape[1] // 2, 2, x.shape[2] // 2, 2, channels).max((2, 4))
    x = x.reshape(len(x), -1)
    for name in ("fc1", "fc2"):
        x = np.maximum(k.dense(x, name, 8), 0)
    return k.dense(x, head, 10)


class SmallVgg(Vgg16):
    def __init__(self) -> None:
        super().__init__(blocks=BLOCKS, width=8)


@pytest.fixture
def small_vgg(monkeypatch: pytest.MonkeyPatch) -> None:
    small = dataclasses.replace(
        FAMILIES["vgg"], backbone=lambda _, __: SmallVgg(), head=lambda n: nn.Linear(8, n)
    )
    monkeypatch.setitem(FAMILIES, "vgg", small)


def test_the_ports_recogniser_gives_its_logits(port: Port, of10: Path, faces: torch.Tensor) -> None:
    network = import_weights(of10, "of10").network
    assert isinstance(network, Recognizer)
    assert (network.pooling, network.convention) == ("same", "tensorflow")
    assert network.average is None
    logits = torch.cat([network(face[None]) for face in faces]).detach().numpy()
    assert port[2].std() > 0.2
    np.testing.assert_allclose(logits, port[2], atol=1e-5)
    np.testing.assert_allclose(freeze(network)(faces).numpy(), port[2], atol=1e-5)


def test_names_come_from_the_caller(of10: Path) -> None:
    names = tuple("abcdefghij")
    network = import_weights(of10, "of", names).network
    assert isinstance(network, Recognizer)
    assert network.identities == names


@pytest.mark.parametrize("alone", [False, True])
def test_the_ports_backbone_gives_its_embeddings(
    keras: SimpleNamespace, port: Port, faces: torch.Tensor, tmp_path: Path, alone: bool
) -> None:
    body = {name: own for name, own in port[0].items() if name not in ("Fully_Connected", "Logits")}
    path = keras.write(tmp_path / "openface.h5", keras.layer_by_layer(body), alone=alone)
    backbone = import_weights(path, "openface").network
    assert isinstance(backbone, Backbone)
    embeddings = backbone.backbone(2 * faces - 1).detach().numpy()
    np.testing.assert_allclose(embeddings, port[1], atol=1e-5)


def test_a_backbone_comes_out_of_a_recogniser(port: Port, of10: Path, faces: torch.Tensor) -> None:
    backbone = import_weights(of10, "openface").network
    assert isinstance(backbone, Backbone)
    embeddings = backbone.backbone(2 * faces - 1).detach().numpy()
    np.testing.assert_allclose(embeddings, port[1], atol=1e-5)


@pytest.mark.parametrize("numbered", [False, True])
def test_keras_openface_gives_the_originals_embeddings(
    keras: SimpleNamespace, original: Original, faces: torch.Tensor, tmp_path: Path, numbered: bool
) -> None:
    weights, expected = original
    groups = {name: {f"{name}_1" if numbered else name: own} for name, own in weights.items()}
    # By name, not by order.
    path = keras.write(tmp_path / "nn4.h5", dict(reversed(groups.items())), alone=True)
    backbone = import_weights(path, "openface").network
    assert isinstance(backbone, Backbone)
    assert (backbone.pooling, backbone.convention) == ("strided", "torch")
    assert backbone.average is not None
    embeddings = backbone.backbone(2 * faces - 1 - backbone.average).detach().numpy()
    np.testing.assert_allclose(embeddings, expected, atol=1e-5)


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.usefixtures("small_vgg")
def test_the_ports_vgg_gives_its_logits(
    keras: SimpleNamespace, tmp_path: Path, generator: torch.Generator, alone: bool
) -> None:
    photos = torch.rand(1, 3, 224, 224, generator=generator)
    k = keras.Layers(0)
    expected = run_vgg(k, keras.channels_last(photos))
    path = keras.write(tmp_path / "vgg_10.h5", keras.nested(k.weights, "Logits"), alone=alone)
    network = import_weights(path, "vgg10").network
    assert isinstance(network, Recognizer)
    assert (network.pooling, network.convention) == ("strided", "torch")
    assert expected.std() > 0.1
    np.testing.assert_allclose(network(photos).detach().numpy(), expected, atol=1e-5)


@pytest.mark.usefixtures("small_vgg")
def test_kerass_own_vgg_takes_blue_green_red_less_a_mean(
    keras: SimpleNamespace, tmp_path: Path, generator: torch.Generator
) -> None:
    photos = torch.rand(1, 3, 224, 224, generator=generator)
    k = keras.Layers(0)
    own = 255 * keras.channels_last(photos)[..., ::-1] - (103.939, 116.779, 123.68)
    expected = run_vgg(k, own, "predictions")
    path = keras.write(tmp_path / "vgg16.h5", keras.layer_by_layer(k.weights), alone=True)
    network = import_weights(path, "vgg").network
    assert isinstance(network, Recognizer)
    np.testing.assert_allclose(network(photos).detach().numpy(), expected, rtol=1e-3, atol=1e-3)


def test_numpys_layers_are_tensorflows(keras: SimpleNamespace) -> None:
    """What the references of the other tests stand for."""
    tf = pytest.importorskip("tensorflow")
    x = 5 * np.random.default_rng(5).standard_normal((2, 12, 6, 16)).astype(np.float32)
    theirs = tf.nn.local_response_normalization(x, alpha=1e-4, beta=0.75)
    np.testing.assert_allclose(keras.respond(x, 5, 1e-4), theirs, rtol=1e-5)
    for stride in (1, 2):
        theirs = tf.nn.max_pool2d(x, 3, stride, "SAME")
        np.testing.assert_array_equal(keras.max_pool(x, stride), theirs)
    theirs = tf.sqrt(9 * tf.nn.avg_pool2d(x * x, 3, 1, "SAME"))
    np.testing.assert_allclose(keras.l2_pool(x), theirs, rtol=1e-5)
    k = keras.Layers(1e-3)
    for kernel, stride in ((7, 2), (5, 2), (3, 2), (3, 1)):
        name = f"{kernel}_{stride}"
        ours = k.convolve(x, name, 4, kernel, stride)
        theirs = tf.nn.conv2d(x, k.weights[name]["kernel"], stride, "SAME")
        np.testing.assert_allclose(ours, theirs + k.weights[name]["bias"], atol=1e-4)
