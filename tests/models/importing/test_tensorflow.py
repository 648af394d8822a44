"""The port's generator and discriminator: layers against NumPy, checkpoints where TensorFlow is."""

import functools
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from agns.accessory.frame import frame_mask
from agns.errors import ConfigError, WeightsError
from agns.models.dcgan import Discriminator, Generator
from agns.models.importing import import_weights, tensorflow
from agns.models.importing.keras_layers import Layer, Weight

Array = np.ndarray
Weights = list[dict[str, Array]]

KERNELS = {
    "generator": (
        (25, 7040), None, (5, 5, 80, 160), None, (5, 5, 40, 80), None, (5, 5, 20, 40), None,
        (5, 5, 3, 20),
    ),
    "discriminator": (
        (5, 5, 3, 20), (5, 5, 20, 40), None, (5, 5, 40, 80), None, (5, 5, 80, 160), None,
        (7040, 480), (7200, 1),
    ),
}  # fmt: skip
"""As Keras has them; None is the batch norm of the layer before."""


def draw(arch: str) -> Weights:
    random = np.random.default_rng(0)
    layers: Weights = []
    channels = 0
    for shape in KERNELS[arch]:
        if shape is None:
            parts = {"gamma": 0.7, "beta": 0.0, "moving_mean": 0.0, "moving_variance": 0.4}
            own = {part: centre + 0.2 * random.random(channels) for part, centre in parts.items()}
        else:
            # Transposed convolutions have their output channels before the last axis.
            channels = shape[-2] if arch == "generator" and len(shape) == 4 else shape[-1]
            scale = 1 / np.sqrt(np.prod(shape) / channels)
            # Distances that an exponential leaves something of.
            scale *= 0.05 if shape == (7040, 480) else 1.5
            kernel = scale * random.standard_normal(shape)
            own = {"kernel": kernel, "bias": 0.2 * random.standard_normal(channels)}
        layers.append({part: array.astype(np.float32) for part, array in own.items()})
    return layers


def norm(x: Array, own: dict[str, Array]) -> Array:
    scale = own["gamma"] / np.sqrt(own["moving_variance"] + 1e-3)
    return (x - own["moving_mean"]) * scale + own["beta"]


def spread(x: Array, own: dict[str, Array]) -> Array:
    """A transposed 5x5 convolution at stride 2 with "same" padding, channels last."""
    count, rows, columns, _ = x.shape
    total = np.zeros((count, 2 * rows + 3, 2 * columns + 3, own["kernel"].shape[2]))
    for down in range(5):
        for right in range(5):
            piece = x @ own["kernel"][down, right].T
            total[:, down : down + 2 * rows : 2, right : right + 2 * columns : 2] += piece
    return total[:, 1:-2, 1:-2] + own["bias"]


def halve(x: Array, own: dict[str, Array]) -> Array:
    """A 5x5 convolution at stride 2: one pixel of padding before, two after."""
    padded = np.pad(x, ((0, 0), (1, 2), (1, 2), (0, 0)))
    rows, columns = x.shape[1], x.shape[2]
    total = own["bias"].astype(np.float64)
    for down in range(5):
        for right in range(5):
            seen = padded[:, down : down + rows : 2, right : right + columns : 2]
            total = total + seen @ own["kernel"][down, right]
    return total


def run_generator(layers: Weights, latents: Array) -> Array:
    x = norm(latents @ layers[0]["kernel"] + layers[0]["bias"], layers[1])
    x = np.maximum(x, 0).reshape(-1, 4, 11, 160)
    for index in (2, 4, 6):
        x = np.maximum(norm(spread(x, layers[index]), layers[index + 1]), 0)
    return np.tanh(spread(x, layers[8]))


def run_discriminator(layers: Weights, frames: Array) -> Array:
    """Probabilities of frames in [-1, 1]; a sample is near to itself as well."""
    x = halve(frames, layers[0])
    x = np.where(x > 0, x, 0.3 * x)
    for index in (1, 3, 5):
        x = norm(halve(x, layers[index]), layers[index + 1])
        x = np.where(x > 0, x, 0.3 * x)
    x = x.reshape(len(x), -1)
    points = (x @ layers[7]["kernel"] + layers[7]["bias"]).reshape(-1, 160, 3)
    nearness = np.exp(-np.abs(points[:, None] - points[None]).sum(3)).sum(1)
    logits = np.concatenate([x, nearness], 1) @ layers[8]["kernel"] + layers[8]["bias"]
    return 1 / (1 + np.exp(-logits[:, 0]))


def list_layers(weights: Weights, path: Path) -> list[Layer]:
    """What stands in for reading a checkpoint."""
    return [
        Layer(
            name=f"layer_with_weights-{number}",
            weights={
                part: Weight(name=part, shape=array.shape, read=functools.partial(np.copy, array))
                for part, array in own.items()
            },
        )
        for number, own in enumerate(weights)
    ]


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """A file that ends as an index does."""
    path = tmp_path / "weights.index"
    path.write_bytes(bytes(40) + tensorflow.MAGIC)
    return path


def compare_generator(path: Path, weights: Weights) -> None:
    latents = torch.randn(2, 25, generator=torch.Generator().manual_seed(3))
    expected = run_generator(weights, latents.double().numpy())
    assert expected.std() > 0.1
    masked = (expected.transpose(0, 3, 1, 2) + 1) / 2 * frame_mask().numpy()
    imported = import_weights(path, "generator")
    assert isinstance(imported.network, Generator)
    np.testing.assert_allclose(imported.network(latents).detach().numpy(), masked, atol=1e-5)
    imported.save(path.parent / "ours.safetensors", "gweights")
    again = Generator.read(path.parent / "ours.safetensors")
    assert torch.equal(again(latents), imported.network(latents))


def compare_discriminator(path: Path, weights: Weights) -> None:
    frames = torch.rand(3, 3, 64, 176, generator=torch.Generator().manual_seed(4))
    expected = run_discriminator(weights, 2 * frames.permute(0, 2, 3, 1).double().numpy() - 1)
    imported = import_weights(path, "discriminator")
    assert isinstance(imported.network, Discriminator)
    judged = torch.sigmoid(imported.network(frames)).detach().numpy()
    np.testing.assert_allclose(judged, expected, atol=1e-5)
    imported.save(path.parent / "ours.safetensors", "dweights")
    again = Discriminator.read(path.parent / "ours.safetensors")
    assert torch.equal(again(frames), imported.network(frames))


def test_the_ports_generator_draws_its_frames(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = draw("generator")
    monkeypatch.setattr(tensorflow, "_list_layers", functools.partial(list_layers, weights))
    compare_generator(index, weights)


def test_the_ports_discriminator_judges_as_it_does(
    index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = draw("discriminator")
    monkeypatch.setattr(tensorflow, "_list_layers", functools.partial(list_layers, weights))
    compare_discriminator(index, weights)


def test_one_network_is_not_taken_for_the_other(
    index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = draw("discriminator")
    monkeypatch.setattr(tensorflow, "_list_layers", functools.partial(list_layers, weights))
    with pytest.raises(WeightsError, match=r"4 convolutions, 3 batch norms.* not the generator"):
        import_weights(index, "generator")
    monkeypatch.setattr(tensorflow, "_list_layers", functools.partial(list_layers, weights[:-2]))
    with pytest.raises(WeightsError, match=r"not the discriminator: it has 9 layers"):
        import_weights(index, "discriminator")


def test_what_does_not_fit_is_named(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = draw("generator")
    weights[2]["kernel"] = np.zeros((5, 5, 160, 80), np.float32)
    monkeypatch.setattr(tensorflow, "_list_layers", functools.partial(list_layers, weights))
    with pytest.raises(WeightsError, match=r"\(5, 5, 160, 80\), expected \(5, 5, 80, 160\)"):
        import_weights(index, "generator")
    del weights[2]["kernel"]
    with pytest.raises(WeightsError, match=r"lacks what becomes draw\.0\.weight"):
        import_weights(index, "generator")


def test_a_checkpoint_holds_no_recogniser_and_no_names(index: Path) -> None:
    with pytest.raises(ConfigError, match="take --arch generator or discriminator, not of10"):
        import_weights(index, "of10")
    with pytest.raises(ConfigError, match="no classes to be named"):
        import_weights(index, "generator", ("a", "b"))


def test_other_files_are_no_checkpoints(index: Path, tmp_path: Path) -> None:
    assert tensorflow.recognises(index)
    index.write_bytes(index.read_bytes()[:-1])
    assert not tensorflow.recognises(index)
    assert not tensorflow.recognises(tmp_path)
    with pytest.raises(WeightsError, match="none of the kinds"):
        import_weights(index, "generator")


def test_without_tensorflow_the_hint_says_what_to_install(
    index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(WeightsError, match=r"pip install tensorflow"):
        import_weights(index, "generator")


def save_checkpoint(path: Path, weights: Weights) -> Path:
    """Objects named as Keras 2 names a model's layers, written by TensorFlow."""
    tf = pytest.importorskip("tensorflow")
    root = tf.train.Checkpoint()
    for number, own in enumerate(weights):
        layer = tf.train.Checkpoint(**{part: tf.Variable(array) for part, array in own.items()})
        if "kernel" in own and own["kernel"].shape == (7040, 480):
            layer = tf.train.Checkpoint(dense_help=layer)
        setattr(root, f"layer_with_weights-{number}", layer)
    root.write(str(path))
    return path.with_suffix(".index")


@pytest.mark.parametrize("arch", ["generator", "discriminator"])
def test_tensorflows_own_checkpoints_are_read(tmp_path: Path, arch: str) -> None:
    weights = draw(arch)
    path = save_checkpoint(tmp_path / "weights", weights)
    {"generator": compare_generator, "discriminator": compare_discriminator}[arch](path, weights)
    data = tmp_path / "weights.data-00000-of-00001"
    import_weights(data, arch)
    data.write_bytes(data.read_bytes()[:1000])
    with pytest.raises(WeightsError, match="cannot be read"):
        import_weights(path, arch)
    data.unlink()
    with pytest.raises(WeightsError, match=r"not a readable checkpoint|cannot be read"):
        import_weights(path, arch)


def test_a_damaged_index_is_refused(index: Path) -> None:
    pytest.importorskip("tensorflow")
    with pytest.raises(WeightsError, match="not a readable checkpoint"):
        import_weights(index, "generator")


def test_numpys_layers_are_tensorflows() -> None:
    """What the references of the other tests stand for."""
    tf = pytest.importorskip("tensorflow")
    random = np.random.default_rng(5)
    x = random.standard_normal((2, 4, 6, 3))
    kernel, bias = random.standard_normal((5, 5, 3, 7)), np.zeros(7)
    ours = halve(x, {"kernel": kernel, "bias": bias})
    np.testing.assert_allclose(ours, tf.nn.conv2d(x, kernel, 2, "SAME"), atol=1e-10)
    back = spread(ours, {"kernel": kernel, "bias": np.zeros(3)})
    theirs = tf.nn.conv2d_transpose(ours, kernel, x.shape, 2, "SAME")
    np.testing.assert_allclose(back, theirs, atol=1e-9)
