"""OpenFace as a DagNN of MatConvNet, built as the file keeps it and run in NumPy."""

import copy
from collections.abc import Callable

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

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


@pytest.fixture(scope="session")
def make_graph() -> type[Graph]:
    return Graph


@pytest.fixture(scope="session")
def graph() -> Graph:
    """With ten classes; not to be changed."""
    return Graph(10)
