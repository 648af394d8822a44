"""OpenFace of MatConvNet, against the graph in the file itself run in NumPy."""

import copy
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeAlias

import numpy as np
import pytest
import torch

from agns.errors import WeightsError
from agns.models.backbone import Backbone
from agns.models.importing import import_weights
from agns.models.importing.matfile import load_mat
from agns.models.importing.matvalues import MatFile
from agns.models.recognizer import Recognizer

Write = Callable[..., Path]
Cell = Callable[..., np.ndarray]
Structs = Callable[..., np.ndarray]
Graph: TypeAlias = Any
"""The one of conftest.py."""
Net: TypeAlias = dict[str, Any]
"""A network's structure as it is read from a file."""


@pytest.fixture
def face() -> np.ndarray:
    coarse = np.random.default_rng(1).uniform(0, 1, (12, 12, 3))
    return np.kron(coarse, np.ones((8, 8, 1)))


def public(face: np.ndarray) -> torch.Tensor:
    return torch.tensor(face.transpose(2, 0, 1)[None], dtype=torch.float32)


@pytest.fixture(scope="module")
def read(
    tmp_path_factory: pytest.TempPathFactory,
    write_mat5: Write,
    cell: Cell,
    structs: Structs,
    graph: Graph,
) -> tuple[Path, Net]:
    """A file of the format 5, and what it holds."""
    path = write_mat5(tmp_path_factory.mktemp("read") / "a.mat", {"net": graph.net(cell, structs)})
    net = load_mat(path).variables["net"]
    assert isinstance(net, dict)
    return path, net


@pytest.fixture
def hold(read: tuple[Path, Net], monkeypatch: pytest.MonkeyPatch) -> Callable[[Net], Path]:
    """A file that is read as holding the network given, as writing and reading many takes long."""

    def held(net: Net) -> Path:
        content = MatFile(variables={"net": net})
        monkeypatch.setattr("agns.models.importing.matlab.load_mat", lambda _: content)
        return read[0]

    return held


def check(network: object, graph: Graph, face: np.ndarray) -> np.ndarray:
    assert isinstance(network, Recognizer)
    with torch.no_grad():
        ours = network(public(face))[0]
    values = graph.run(face)
    *_, last = graph.layers
    logits = values[last["inputs"][0]].ravel()
    assert np.ptp(logits) > 1
    np.testing.assert_allclose(ours.numpy(), logits, atol=2e-4)
    np.testing.assert_allclose(
        ours.softmax(0).numpy(), values[last["outputs"][0]].ravel(), atol=1e-4
    )
    return ours.numpy()


def test_a_structure_gives_its_logits(
    tmp_path: Path, read: tuple[Path, Net], graph: Graph, face: np.ndarray
) -> None:
    imported = import_weights(read[0], "of10")
    ours = check(imported.network, graph, face)
    imported.save(tmp_path / "r.safetensors", "a.mat")
    with torch.no_grad():
        again = Recognizer.read(tmp_path / "r.safetensors")(public(face))[0].numpy()
    np.testing.assert_array_equal(again, ours)


def test_an_object_as_the_original_saved_it_gives_its_logits(
    tmp_path: Path,
    write_object: Write,
    cell: Cell,
    structs: Structs,
    graph: Graph,
    face: np.ndarray,
) -> None:
    net = graph.net(cell, structs)
    path = write_object(tmp_path / "openface10-recognition-nn.mat", "net", "dagnn.DagNN", net)
    check(import_weights(path, "of10").network, graph, face)


def test_143_classes_and_another_alpha_are_followed(
    tmp_path: Path,
    write_mat5: Write,
    cell: Cell,
    structs: Structs,
    make_graph: Callable[..., Graph],
    face: np.ndarray,
) -> None:
    graph = make_graph(143, alpha=0.02)
    path = write_mat5(tmp_path / "openface143.mat", {"net": graph.net(cell, structs)})
    logits = check(import_weights(path, "of143").network, graph, face)
    usual = graph.run_with_alpha(1e-4 / 5, face)
    assert abs(logits - usual).max() > 0.1


def test_the_order_of_layers_does_not_matter(
    read: tuple[Path, Net], hold: Callable[[Net], Path], graph: Graph, face: np.ndarray
) -> None:
    layers = read[1]["layers"]
    order = np.random.default_rng(3).permutation(len(layers) - 1) + 1
    shuffled = {**read[1], "layers": [layers[0], *(layers[index] for index in order)]}
    check(import_weights(hold(shuffled), "of10").network, graph, face)


def test_a_backbone_gives_its_embeddings(
    read: tuple[Path, Net], graph: Graph, face: np.ndarray
) -> None:
    backbone = import_weights(read[0], "openface").network
    assert isinstance(backbone, Backbone)
    assert backbone.average is not None
    with torch.no_grad():
        ours = backbone.backbone(2 * public(face) - 1 - backbone.average)[0].numpy()
    values = graph.run(face)
    (name,) = (
        layer["outputs"][0] for layer in graph.layers if "NormalizeEuclidean" in layer["type"]
    )
    np.testing.assert_allclose(ours, values[name].ravel(), atol=2e-5)


def named(graph: Graph, kind: str, which: int = 0) -> dict[str, object]:
    return [layer for layer in graph.layers if layer["type"] == f"dagnn.{kind}"][which]


def narrow(graph: Graph) -> None:
    name = named(graph, "Conv", 1)["params"][0]
    graph.params[name] = graph.params[name][..., :60]


def lacking(graph: Graph) -> None:
    del graph.params[named(graph, "BatchNorm", 2)["params"][2]]


def flat(graph: Graph) -> None:
    graph.params[named(graph, "BatchNorm")["params"][2]][:, 1] = 0


def bare(graph: Graph) -> None:
    name = named(graph, "BatchNorm")["params"][2]
    graph.params[name] = graph.params[name][:, :1]


def circle(graph: Graph) -> None:
    named(graph, "Tanh")["outputs"][0] = named(graph, "Linear")["inputs"][0]


def unjoined(graph: Graph) -> None:
    named(graph, "DepthConcat")["inputs"].pop()


def set_block(kind: str, key: str, value: object) -> Callable[[Graph], None]:
    def change(graph: Graph) -> None:
        layer = named(graph, kind)
        layer["block"] = {**layer["block"], key: np.atleast_2d(value)}

    return change


def set_kind(kind: str, other: str) -> Callable[[Graph], None]:
    return lambda graph: named(graph, kind).update(type=other)


@pytest.mark.parametrize(
    ("change", "arch", "complaint"),
    [
        (lambda _: None, "of143", "tells 10 classes apart, and of143 143"),
        (lambda _: None, "vgg10", "holds a DagNN, as OpenFace is saved, and vgg10 is none"),
        (lambda _: None, "generator", "lacks the cell array matrices"),
        (narrow, "of10", r"Conv5_0 of layer5 comes to \(60, 64, 1, 1\), expected \(64, 64, 1, 1\)"),
        (lacking, "of10", "lacks the parameter BatchNorm9_2 of layer9"),
        (flat, "of10", "BatchNorm1_2 of layer1 holds a standard deviation that is not positive"),
        (bare, "of10", r"come to \(64,\) and \(64, 1\), expected \(64,\) and \(64, 2\)"),
        (circle, "of10", "runs in a circle|is not joined"),
        (unjoined, "of10", "is not joined again|joins"),
        (set_kind("Sqrt", "dagnn.Scale"), "of10", "layer.* is a Scale, which OpenFace does not"),
        (set_kind("LRN", "dagnn.ReLU"), "of10", "holds 88 convolutions, .* expected 89"),
        (set_kind("BatchNorm", "dagnn.LRN"), "of10", "layer1 is a LRN where OpenFace has a Batch"),
        (set_block("MulConstant", "constant", 3.0), "of10", "multiplies with 3, expected 9"),
        (set_block("Pooling", "stride", 1.0), "of10", r"layer3 has the stride \[1.0\], expected 2"),
        (
            set_block("LRN", "param", np.float64([11, 1, 1e-4, 0.75])),
            "of10",
            r"layer4 normalises with \[11.0, 1.0, 0.0001, 0.75\], expected \[5, 1, alpha, 0.75\]",
        ),
        (
            set_block("LRN", "param", np.float64([5, 1, 0, 0.75])),
            "of10",
            "layer4 has the alpha 0.0, which is not positive",
        ),
    ],
)
def test_other_graphs_are_refused(
    read: tuple[Path, Net],
    hold: Callable[[Net], Path],
    change: Callable[[Graph], None],
    arch: str,
    complaint: str,
) -> None:
    net = copy.deepcopy(read[1])
    other = SimpleNamespace(
        layers=net["layers"], params={entry["name"]: entry["value"] for entry in net["params"]}
    )
    change(other)
    net["params"] = [{"name": name, "value": value} for name, value in other.params.items()]
    with pytest.raises(WeightsError, match=complaint):
        import_weights(hold(net), arch)
