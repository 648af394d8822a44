"""Keras 2 in NumPy: its layers, the port's OpenFace, and the files that they are kept in."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view

Array = np.ndarray
Weights = dict[str, dict[str, Array]]

MOVING = ("moving_mean", "moving_variance")


class Keras:
    """Layers of Keras on (batch, height, width, channels); weights are drawn at the first call."""

    def __init__(self, epsilon: float) -> None:
        self.epsilon = epsilon
        self.weights: Weights = {}
        self.random = np.random.default_rng(0)

    def draw(self, name: str, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Array]:
        if name not in self.weights:
            drawn = {part: self.random.normal(size=shape) for part, shape in shapes.items()}
            for part, array in drawn.items():
                if part == "kernel":
                    array *= 1.4 / np.sqrt(np.prod(array.shape[:-1]))
                elif part in ("gamma", "moving_variance"):
                    array[:] = 0.6 + 0.2 * np.abs(array)
                else:
                    array *= 0.3
            self.weights[name] = {part: array.astype(np.float32) for part, array in drawn.items()}
        return {part: array.astype(np.float64) for part, array in self.weights[name].items()}

    def convolve(
        self, x: Array, name: str, out: int, kernel: int = 1, stride: int = 1, padding: int = -1
    ) -> Array:
        """`padding` of -1 is "same"."""
        own = self.draw(name, {"kernel": (kernel, kernel, x.shape[3], out), "bias": (out,)})
        x = windows(x, kernel, stride, padding, 0)
        return np.tensordot(x, own["kernel"], ([4, 5, 3], [0, 1, 2])) + own["bias"]

    def norm(self, x: Array, name: str) -> Array:
        own = self.draw(name, dict.fromkeys(("gamma", "beta", *MOVING), (x.shape[3],)))
        scale = own["gamma"] / np.sqrt(own["moving_variance"] + self.epsilon)
        return np.maximum((x - own["moving_mean"]) * scale + own["beta"], 0)

    def dense(self, x: Array, name: str, out: int) -> Array:
        own = self.draw(name, {"kernel": (x.shape[1], out), "bias": (out,)})
        return x @ own["kernel"] + own["bias"]


def windows(x: Array, kernel: int, stride: int, padding: int, fill: float) -> Array:
    """(batch, rows, columns, channels, kernel, kernel); a padding of -1 is TensorFlow's "same"."""
    edges = []
    for size in x.shape[1:3]:
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        edges.append((total // 2, total - total // 2) if padding == -1 else (padding, padding))
    padded = np.pad(x, ((0, 0), *edges, (0, 0)), constant_values=fill)
    return sliding_window_view(padded, (kernel, kernel), axis=(1, 2))[:, ::stride, ::stride]


def max_pool(x: Array, stride: int, padding: int = -1) -> Array:
    return windows(x, 3, stride, padding, -np.inf).max((4, 5))


def l2_pool(x: Array) -> Array:
    """The root of nine times the mean over what lies in the picture."""
    inside = windows(np.ones_like(x), 3, 1, -1, 0).sum((4, 5))
    return np.sqrt(9 * windows(x * x, 3, 1, -1, 0).sum((4, 5)) / inside)


def respond(x: Array, reach: int, alpha: float) -> Array:
    """Local response normalisation over `reach` channels to both sides."""
    sums = [(x[..., max(0, c - reach) : c + reach + 1] ** 2).sum(3) for c in range(x.shape[3])]
    return x / (1 + alpha * np.stack(sums, 3)) ** 0.75


INCEPTIONS = (
    # 1x1, 3x3 reduced and after, 5x5 reduced and after, pooling and its projection, stride
    ("3a", 64, 96, 128, 16, 32, "max", 32, 1),
    ("3b", 64, 96, 128, 32, 64, "l2", 64, 1),
    ("3c", 0, 128, 256, 32, 64, "max", 0, 2),
    ("4a", 256, 96, 192, 32, 64, "l2", 128, 1),
    ("4e", 0, 160, 256, 64, 128, "max", 0, 2),
    ("5a", 256, 96, 384, 0, 0, "l2", 96, 1),
    ("5b", 256, 96, 384, 0, 0, "max", 96, 1),
)


def run_port(k: Keras, faces: Array) -> Array:
    """The port's nn4.small2 on faces in [-1, 1], one after the other."""
    numbers = iter(range(99))

    def block(x: Array, module: str, out: int, kernel: int = 1, stride: int = 1) -> Array:
        number = next(numbers)
        x = k.convolve(x, f"{module}conv2d_{number}", out, kernel, stride)
        return k.norm(x, f"{module}batch_normalization_{number}")

    x = respond(max_pool(block(faces, "", 64, 7, 2), 2), 5, 1e-4)
    x = block(block(x, "", 64), "", 192, 3)
    x = max_pool(respond(x, 5, 1e-4), 2)
    for name, out1, reduce3, out3, reduce5, out5, pool, projected, stride in INCEPTIONS:
        module = f"Inception_{name}/"
        branches = [block(x, module, out1)] if out1 else []
        branches.append(block(block(x, module, reduce3), module, out3, 3, stride))
        if reduce5:
            branches.append(block(block(x, module, reduce5), module, out5, 5, stride))
        pooled = max_pool(x, stride) if pool == "max" else l2_pool(x)
        branches.append(block(pooled, module, projected) if projected else pooled)
        x = np.concatenate(branches, 3)
    x = k.dense(x.mean((1, 2)), "dense", 128)
    return x / np.sqrt((x**2).sum(1, keepdims=True))


def run_original(k: Keras, faces: Array) -> Array:
    """Keras-OpenFace's nn4.small2 on faces in [0, 1], normalised as the original."""

    def block(x: Array, conv: str, norm: str, out: int, kernel: int = 1, stride: int = 1) -> Array:
        return k.norm(k.convolve(x, conv, out, kernel, stride, kernel // 2), norm)

    x = respond(max_pool(block(faces, "conv1", "bn1", 64, 7, 2), 2, 1), 2, 1e-4 / 5)
    x = block(block(x, "conv2", "bn2", 64), "conv3", "bn3", 192, 3)
    x = max_pool(respond(x, 2, 1e-4 / 5), 2, 1)
    for name, out1, reduce3, out3, reduce5, out5, pool, projected, stride in INCEPTIONS:
        branches = []
        for kind, reduce, out in ((3, reduce3, out3), (5, reduce5, out5)):
            if reduce:
                at = f"inception_{name}_{kind}x{kind}"
                reduced = block(x, f"{at}_conv1", f"{at}_bn1", reduce)
                branches.append(block(reduced, f"{at}_conv2", f"{at}_bn2", out, kind, stride))
        if pool == "max":
            pooled = max_pool(x, 2, 0)
        else:
            pooled = np.sqrt((windows(x, 3, 3, 0, 0) ** 2).sum((4, 5)))
        if projected:
            at = f"inception_{name}_pool"
            pooled = block(pooled, f"{at}_conv", f"{at}_bn", projected)
        missing = branches[0].shape[1] - pooled.shape[1]
        edges = (missing // 2, missing - missing // 2)
        branches.append(np.pad(pooled, ((0, 0), edges, edges, (0, 0))))
        if out1:
            at = f"inception_{name}_1x1"
            branches.append(block(x, f"{at}_conv", f"{at}_bn", out1))
        x = np.concatenate(branches, 3)
    x = k.dense(x.mean((1, 2)), "dense_layer", 128)
    return x / np.sqrt((x**2).sum(1, keepdims=True))


def write_group(group: "h5py.Group", weights: Weights) -> None:
    """One layer, or a model within the model: what is trained first, then moving statistics."""
    names = [(n, p) for n, own in weights.items() for p in own if p not in MOVING]
    names += [(n, p) for n, own in weights.items() for p in own if p in MOVING]
    group.attrs["weight_names"] = [f"{name}/{part}:0".encode() for name, part in names]
    for name, part in names:
        group[f"{name}/{part}:0"] = weights[name][part]


def write(
    path: Path, groups: Mapping[str, Weights], config: object = None, *, alone: bool = False
) -> Path:
    """A whole model, or a file of weights alone."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        root = file if alone else file.create_group("model_weights")
        root.attrs["layer_names"] = [name.encode() for name in groups]
        for name, weights in groups.items():
            write_group(root.create_group(name), weights)
        if config is not None:
            file.attrs["model_config"] = json.dumps(config)
    return path


def layer_by_layer(weights: Weights) -> dict[str, Weights]:
    """As the layers of one model lie, those without weights among them."""
    groups: dict[str, Weights] = {"input_1": {}}
    for name, own in weights.items():
        groups.setdefault(name.split("/")[0], {})[name] = own
        groups[f"after_{name.replace('/', '_')}"] = {}
    return groups


def nested(weights: Weights, *heads: str) -> dict[str, Weights]:
    """A backbone and a head, each a model within the model."""
    body = {name: own for name, own in weights.items() if name not in heads}
    return {"Backbone": body, "Head": {name: weights[name] for name in heads}}


def channels_last(faces: torch.Tensor) -> Array:
    return faces.permute(0, 2, 3, 1).double().numpy()


@pytest.fixture(scope="session")
def faces() -> torch.Tensor:
    return torch.rand(2, 3, 96, 96, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="session")
def port(faces: torch.Tensor) -> tuple[Weights, Array, Array]:
    """Weights of the port's of10, its embeddings and its logits."""
    k = Keras(1e-3)
    scaled = channels_last(2 * faces - 1)
    embeddings = run_port(k, scaled)
    hidden = np.tanh(k.dense(embeddings, "Fully_Connected", 12))
    return k.weights, embeddings, k.dense(hidden, "Logits", 10)


@pytest.fixture(scope="session")
def original(faces: torch.Tensor) -> tuple[Weights, Array]:
    """Weights of Keras-OpenFace and its embeddings."""
    k = Keras(1e-5)
    embeddings = run_original(k, channels_last(faces))
    return k.weights, embeddings


@pytest.fixture(scope="session")
def written_of10(
    port: tuple[Weights, Array, Array], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    path = tmp_path_factory.mktemp("keras") / "of10.h5"
    return write(path, nested(port[0], "Fully_Connected", "Logits"))


@pytest.fixture
def of10(written_of10: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copy(written_of10, tmp_path))


@pytest.fixture(scope="session")
def keras() -> SimpleNamespace:
    """What the tests take from here."""
    return SimpleNamespace(
        Layers=Keras,
        windows=windows,
        max_pool=max_pool,
        l2_pool=l2_pool,
        respond=respond,
        channels_last=channels_last,
        write=write,
        layer_by_layer=layer_by_layer,
        nested=nested,
    )
