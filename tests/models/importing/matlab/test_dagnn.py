"""OpenFace of MatConvNet, against the graph in the file itself run in NumPy."""

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view

from agns.errors import WeightsError
from agns.models.backbone import Backbone
from agns.models.importing import import_weights
from agns.models.recognizer import Recognizer, load_recognizer

Write = Callable[..., Path]
Cell = Callable[..., np.ndarray]
Structs = Callable[..., np.ndarray]
Block = dict[str, object]
# Reductions and outputs of the 3x3 and 5x5 branches, pooling, its projection, the 1x1 branch,
# the stride (Amos et al. 2016, table 4).
MODULES = (
    (96, 128, 16, 32, "max", 32, 64, 1), (96, 128, 32, 64, "l2", 64, 64, 1),
    (128, 256, 32, 64, "max", 0, 0, 2), (96, 192, 32, 64, "l2", 128, 256, 1),
    (160, 256, 64, 128, "max", 0, 0, 2), (96, 384, 0, 0, "l2", 96, 256, 1),
    (96, 384, 0, 0, "max", 96, 256, 1),
)  # fmt: skip


class Graph:
    """Builds a DagNN: layers and parameters as MatConvNet keeps them."""

    def __init__(self, classes: int, *, alpha: float = 1e-4 / 5) -> None:
        self.draws = np.random.default_rng(0)
        self.layers: list[dict[str, object]] = []
        self.params: dict[str, np.ndarray] = {}
        self.alpha = alpha
        at, channels = self.stem("input")
        for module in MODULES:
            at, channels = self.inception(at, channels, *module)
        at = self.add("Pooling", at, block={"method": "avg", "poolSize": 3.0, "stride": 1.0})
        at = self.add("Reshape", at, block={"dims": np.float64([1, channels, 1])})
        weights = self.normal((128, channels), channels), self.normal((128, 1), 100)
        at = self.add("NormalizeEuclidean", self.add("Linear", at, params=weights))
        hidden = 12 if classes == 10 else 2 * classes
        at = self.convolution(at, (1, 128, 1), hidden, gain=9)
        at = self.add("Tanh", at)
        at = self.convolution(at, (1, 1, hidden), classes, gain=9)
        self.add("SoftMax", at)

    def normal(self, shape: tuple[int, ...], fan: float) -> np.ndarray:
        return self.draws.normal(0, (2 / fan) ** 0.5, shape).astype(np.float32)

    def add(
        self,
        kind: str,
        *inputs: str,
        params: tuple[np.ndarray, ...] = (),
        block: Block | None = None,
    ) -> str:
        index = len(self.layers)
        names = [f"{kind}{index}_{part}" for part in range(len(params))]
        self.params.update(zip(names, params, strict=True))
        self.layers.append(
            {
                "name": f"layer{index}",
                "type": f"dagnn.{kind}",
                "inputs": list(inputs),
                "outputs": [f"x{index}"],
                "params": names,
                "block": block or {},
            }
        )
        return f"x{index}"

    def convolution(
        self,
        at: str,
        size: tuple[int, int, int],
        out: int,
        *,
        stride: int = 1,
        gain: float = 1,
    ) -> str:
        pad = 0 if size[0] != size[1] else size[0] // 2
        filters = self.normal((*size, out), np.prod(size) / gain)
        block = {"pad": np.float64([pad] * 4), "stride": np.float64([stride, stride])}
        return self.add("Conv", at, params=(filters, self.normal((1, out), 100)), block=block)

    def block(self, at: str, channels: int, out: int, size: int, stride: int = 1) -> str:
        at = self.convolution(at, (size, size, channels), out, stride=stride)
        moments = np.stack(
            [self.draws.normal(0, 0.3, out), self.draws.uniform(0.4, 1.6, out)], 1
        ).astype(np.float32)
        # One channel's deviation lies below our epsilon's root.
        moments[0, 1] = 2e-3
        gains = self.draws.uniform(0.5, 1.5, (out, 1)).astype(np.float32)
        gains[0] *= 1e-3
        at = self.add("BatchNorm", at, params=(gains, self.normal((out, 1), 50), moments))
        return self.add("ReLU", at)

    def max_pool(self, at: str, pad: int) -> str:
        block = {"method": "max", "poolSize": 3.0, "stride": 2.0, "pad": float(pad)}
        return self.add("Pooling", at, block=block)

    def normalise(self, at: str) -> str:
        return self.add("LRN", at, block={"param": np.float64([5, 1, self.alpha, 0.75])})

    def stem(self, at: str) -> tuple[str, int]:
        at = self.normalise(self.max_pool(self.block(at, 3, 64, 7, 2), 1))
        at = self.block(self.block(at, 64, 64, 1), 64, 192, 3)
        return self.max_pool(self.normalise(at), 1), 192

    def inception(
        self,
        at: str,
        channels: int,
        reduce3: int,
        out3: int,
        reduce5: int,
        out5: int,
        pool: str,
        projection: int,
        out1: int,
        stride: int,
    ) -> tuple[str, int]:
        branches = [self.block(self.block(at, channels, reduce3, 1), reduce3, out3, 3, stride)]
        if reduce5:
            reduced = self.block(at, channels, reduce5, 1)
            branches.append(self.block(reduced, reduce5, out5, 5, stride))
        if pool == "l2":
            pooled = self.add("Square", at)
            block = {"method": "avg", "poolSize": 3.0, "stride": 3.0, "pad": 0.0}
            pooled = self.add("Pooling", pooled, block=block)
            pooled = self.add("Sqrt", self.add("MulConstant", pooled, block={"constant": 9.0}))
        else:
            pooled = self.max_pool(at, 0)
        branches.append(self.block(pooled, channels, projection, 1) if projection else pooled)
        if out1:
            branches.append(self.block(at, channels, out1, 1))
        joined = self.add("DepthConcat", *branches, block={"dim": 3.0})
        return joined, out3 + out5 + (projection or channels) + out1

    def net(self, cell: Cell, structs: Structs) -> Block:
        layers = [
            {
                key: cell(*value) if isinstance(value, list) else value
                for key, value in layer.items()
            }
            for layer in self.layers
        ]
        params = [{"name": name, "value": value} for name, value in self.params.items()]
        return {"vars": cell(), "params": structs(params), "layers": structs(layers)}

    def run(self, face: np.ndarray) -> dict[str, np.ndarray]:
        """Every variable on a face (height, width, channels)."""
        values = {"input": face}
        for layer in self.layers:
            inputs = [values[name] for name in layer["inputs"]]
            params = [np.float64(self.params[name]) for name in layer["params"]]
            kind = str(layer["type"]).removeprefix("dagnn.")
            values[layer["outputs"][0]] = OPERATIONS[kind](inputs, params, layer["block"])
        return values

    def run_with_alpha(self, alpha: float, face: np.ndarray) -> np.ndarray:
        """Logits with another local response normalisation."""
        other = copy.copy(self)
        block = {"param": np.float64([5, 1, alpha, 0.75])}
        other.layers = [
            {**layer, "block": block} if layer["type"] == "dagnn.LRN" else layer
            for layer in self.layers
        ]
        return other.run(face)[self.layers[-1]["inputs"][0]].ravel()


def scalar(value: object) -> int:
    return int(np.ravel(value)[0])


def windows(x: np.ndarray, size: tuple[int, int], stride: int) -> np.ndarray:
    return sliding_window_view(x, size, (0, 1))[::stride, ::stride]  # (y, x, channel, h, w)


def padded(x: np.ndarray, pad: int, fill: float) -> np.ndarray:
    return np.pad(x, [(pad, pad), (pad, pad), (0, 0)], constant_values=fill)


def convolved(inputs: list[np.ndarray], params: list[np.ndarray], block: Block) -> np.ndarray:
    filters = params[0]
    seen = windows(padded(inputs[0], scalar(block["pad"]), 0), filters.shape[:2],
                   scalar(block["stride"]))  # fmt: skip
    rows, columns = seen.shape[:2]
    flat = seen.transpose(0, 1, 3, 4, 2).reshape(rows * columns, -1)
    out = flat @ filters.reshape(-1, filters.shape[3]) + params[1].ravel()
    return out.reshape(rows, columns, -1)


def normalised(inputs: list[np.ndarray], params: list[np.ndarray], block: Block) -> np.ndarray:
    gains, shifts, moments = params
    return gains.ravel() * (inputs[0] - moments[:, 0]) / moments[:, 1] + shifts.ravel()


def pooled(inputs: list[np.ndarray], params: list[np.ndarray], block: Block) -> np.ndarray:
    x, stride = inputs[0], scalar(block["stride"])
    if block["method"] == "avg":
        return windows(x, (3, 3), stride).mean((3, 4))
    return windows(padded(x, scalar(block["pad"]), -np.inf), (3, 3), stride).max((3, 4))


def across(inputs: list[np.ndarray], params: list[np.ndarray], block: Block) -> np.ndarray:
    size, kappa, alpha, beta = np.ravel(block["param"])
    squares, half = inputs[0] ** 2, int(size) // 2
    sums = np.stack(
        [
            squares[..., max(0, channel - half) : channel + half + 1].sum(-1)
            for channel in range(squares.shape[-1])
        ],
        -1,
    )
    return inputs[0] / (kappa + alpha * sums) ** beta


def joined(inputs: list[np.ndarray], params: list[np.ndarray], block: Block) -> np.ndarray:
    size = max(x.shape[0] for x in inputs)
    wide = []
    for x in inputs:
        before = (size - x.shape[0]) // 2
        after = size - x.shape[0] - before
        wide.append(np.pad(x, [(before, after), (before, after), (0, 0)]))
    return np.concatenate(wide, 2)


OPERATIONS: dict[str, Callable[..., np.ndarray]] = {
    "Conv": convolved,
    "BatchNorm": normalised,
    "Pooling": pooled,
    "LRN": across,
    "DepthConcat": joined,
    "ReLU": lambda x, _, __: np.maximum(x[0], 0),
    "Square": lambda x, _, __: x[0] ** 2,
    "Sqrt": lambda x, _, __: np.sqrt(x[0]),
    "MulConstant": lambda x, _, block: x[0] * block["constant"],
    "Reshape": lambda x, _, __: x[0].reshape(1, -1, 1),
    "Linear": lambda x, p, _: (x[0][:, :, 0] @ p[0].T + p[1].T)[:, :, None],
    "NormalizeEuclidean": lambda x, _, __: x[0] / np.sqrt((x[0] ** 2).sum() + 1e-10),
    "Tanh": lambda x, _, __: np.tanh(x[0]),
    "SoftMax": lambda x, _, __: np.exp(x[0]) / np.exp(x[0]).sum(),
}


@pytest.fixture(scope="module")
def graph() -> Graph:
    return Graph(10)


@pytest.fixture
def face() -> np.ndarray:
    coarse = np.random.default_rng(1).uniform(0, 1, (12, 12, 3))
    return np.kron(coarse, np.ones((8, 8, 1)))


def public(face: np.ndarray) -> torch.Tensor:
    return torch.tensor(face.transpose(2, 0, 1)[None], dtype=torch.float32)


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
    tmp_path: Path,
    write_mat: Write,
    cell: Cell,
    structs: Structs,
    graph: Graph,
    face: np.ndarray,
) -> None:
    path = write_mat(tmp_path / "openface10.mat", {"net": graph.net(cell, structs)})
    imported = import_weights(path, "of10")
    ours = check(imported.network, graph, face)
    imported.save(tmp_path / "r.safetensors", path.name)
    with torch.no_grad():
        again = load_recognizer(tmp_path / "r.safetensors")[0](public(face))[0].numpy()
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
    tmp_path: Path, write_mat5: Write, cell: Cell, structs: Structs, face: np.ndarray
) -> None:
    graph = Graph(143, alpha=0.02)
    path = write_mat5(tmp_path / "openface143.mat", {"net": graph.net(cell, structs)})
    logits = check(import_weights(path, "of143").network, graph, face)
    usual = graph.run_with_alpha(1e-4 / 5, face)
    assert abs(logits - usual).max() > 0.1


def test_the_order_of_layers_does_not_matter(
    tmp_path: Path,
    write_mat5: Write,
    cell: Cell,
    structs: Structs,
    graph: Graph,
    face: np.ndarray,
) -> None:
    shuffled = copy.copy(graph)
    order = np.random.default_rng(3).permutation(len(graph.layers) - 1) + 1
    shuffled.layers = [graph.layers[0], *(graph.layers[index] for index in order)]
    path = write_mat5(tmp_path / "a.mat", shuffled.net(cell, structs))
    check(import_weights(path, "of10").network, graph, face)


def test_a_backbone_gives_its_embeddings(
    tmp_path: Path,
    write_mat5: Write,
    cell: Cell,
    structs: Structs,
    graph: Graph,
    face: np.ndarray,
) -> None:
    path = write_mat5(tmp_path / "a.mat", {"net": graph.net(cell, structs)})
    backbone = import_weights(path, "openface").network
    assert isinstance(backbone, Backbone)
    assert backbone.average is not None
    with torch.no_grad():
        ours = backbone.network(2 * public(face) - 1 - backbone.average)[0].numpy()
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
        layer["block"] = {**layer["block"], key: value}

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
    tmp_path: Path,
    write_mat5: Write,
    cell: Cell,
    structs: Structs,
    graph: Graph,
    change: Callable[[Graph], None],
    arch: str,
    complaint: str,
) -> None:
    other = copy.deepcopy(graph)
    change(other)
    path = write_mat5(tmp_path / "a.mat", {"net": other.net(cell, structs)})
    with pytest.raises(WeightsError, match=complaint):
        import_weights(path, arch)
