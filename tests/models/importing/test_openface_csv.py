"""OpenFace's CSV files, against nn4.small2 in NumPy after its definition in Lua."""

import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from agns.errors import AgnsError, ConfigError, WeightsError
from agns.models.backbone import Backbone
from agns.models.importing import import_weights
from agns.models.importing.imported import Imported
from agns.models.recognizer import build_recognizer
from agns.models.start import Start

Array = NDArray[np.float64]
Files = dict[str, Array]


class Module(NamedTuple):
    """One inception: the reduction and the outputs of each branch, 0 where there is none."""

    channels: int
    three: tuple[int, int]
    five: tuple[int, int]
    pool: str
    pooled: int
    one: int
    stride: int = 1


MODULES = {
    "3a": Module(192, (96, 128), (16, 32), "max", 32, 64),
    "3b": Module(256, (96, 128), (32, 64), "l2", 64, 64),
    "3c": Module(320, (128, 256), (32, 64), "max", 0, 0, stride=2),
    "4a": Module(640, (96, 192), (32, 64), "l2", 128, 256),
    "4e": Module(640, (160, 256), (64, 128), "max", 0, 0, stride=2),
    "5a": Module(1024, (96, 384), (0, 0), "l2", 96, 256),
    "5b": Module(736, (96, 384), (0, 0), "max", 96, 256),
}


def draw_files() -> Files:
    """Every tensor in Torch's shape, by the name of its file."""
    draws = np.random.Generator(np.random.PCG64(0))
    files: Files = {}

    def layer(convolution: str, norm: str, *shape: int) -> None:
        fan = int(np.prod(shape[1:]))
        out = shape[0]
        files[f"{convolution}_w"] = draws.normal(0, (2 / fan) ** 0.5, shape)
        files[f"{convolution}_b"] = draws.normal(0, 0.1, out)
        files[f"{norm}_w"] = draws.uniform(0.5, 1.5, out)
        files[f"{norm}_b"] = draws.normal(0, 0.1, out)
        files[f"{norm}_m"] = draws.normal(0, 0.1, out)
        # Where it is small epsilon counts, and a root would be far from it everywhere.
        files[f"{norm}_v"] = draws.uniform(0.1, 3, out)

    layer("conv1", "bn1", 64, 3, 7, 7)
    layer("conv2", "bn2", 64, 64, 1, 1)
    layer("conv3", "bn3", 192, 64, 3, 3)
    for name, module in MODULES.items():
        for branch, size, sizes in (("3x3", 3, module.three), ("5x5", 5, module.five)):
            if sizes[0]:
                start = f"inception_{name}_{branch}"
                layer(f"{start}_conv1", f"{start}_bn1", sizes[0], module.channels, 1, 1)
                layer(f"{start}_conv2", f"{start}_bn2", sizes[1], sizes[0], size, size)
        for branch, out in (("pool", module.pooled), ("1x1", module.one)):
            if out:
                start = f"inception_{name}_{branch}"
                layer(f"{start}_conv", f"{start}_bn", out, module.channels, 1, 1)
    files["dense_w"] = draws.normal(0, 0.05, (128, 736))
    files["dense_b"] = draws.normal(0, 0.05, 128)
    return {name: np.round(values, 5) for name, values in files.items()}


def write_files(folder: Path, files: Files) -> None:
    """One line a file, in the order that Torch keeps its numbers in; one has a line a number."""
    folder.mkdir()
    for name, values in files.items():
        line = ",".join(map(repr, values.reshape(-1).tolist()))
        (folder / f"{name}.csv").write_text(line + "\n")
    lines = "".join(f"{value:.5e}\r\n" for value in files["dense_b"])
    (folder / "dense_b.csv").write_text(lines)


def embed(files: Files, face: Array) -> Array:
    """The embedding (128,) of one face (3, 96, 96), RGB in [0, 1]."""
    x = unit(files, face, "conv1", "bn1", stride=2)
    x = across_channels(windows(padded(x, 1, -np.inf), 3, 2).max((3, 4)))
    x = unit(files, x, "conv2", "bn2")
    x = across_channels(unit(files, x, "conv3", "bn3"))
    x = windows(padded(x, 1, -np.inf), 3, 2).max((3, 4))
    for name in MODULES:
        x = inception(files, x, f"inception_{name}", MODULES[name])
    embedding = files["dense_w"] @ x.mean((1, 2)) + files["dense_b"]
    return np.asarray(embedding / np.sqrt((embedding**2).sum()))


def inception(files: Files, x: Array, start: str, module: Module) -> Array:
    branches = []
    for branch, sizes in (("3x3", module.three), ("5x5", module.five)):
        if sizes[0]:
            reduced = unit(files, x, f"{start}_{branch}_conv1", f"{start}_{branch}_bn1")
            names = f"{start}_{branch}_conv2", f"{start}_{branch}_bn2"
            branches.append(unit(files, reduced, *names, stride=module.stride))
    if module.pool == "max":
        pooled = windows(x, 3, 2).max((3, 4))
    else:
        pooled = np.sqrt((windows(x, 3, 3) ** 2).sum((3, 4)))
    if module.pooled:
        pooled = unit(files, pooled, f"{start}_pool_conv", f"{start}_pool_bn")
    # Torch's DepthConcat centres the smaller map among zeros, the odd one after.
    lacking = branches[0].shape[1] - pooled.shape[1]
    around = (lacking // 2, lacking - lacking // 2)
    branches.append(np.pad(pooled, ((0, 0), around, around)))
    if module.one:
        branches.append(unit(files, x, f"{start}_1x1_conv", f"{start}_1x1_bn"))
    return np.concatenate(branches)


def unit(files: Files, x: Array, convolution: str, norm: str, stride: int = 1) -> Array:
    """Convolution that keeps the size but for its stride, batch norm, ReLU."""
    kernel = files[f"{convolution}_w"]
    seen = windows(padded(x, kernel.shape[2] // 2, 0), kernel.shape[2], stride)
    x = np.tensordot(kernel, seen, ((1, 2, 3), (0, 3, 4))) + column(files[f"{convolution}_b"])
    x = (x - column(files[f"{norm}_m"])) / np.sqrt(column(files[f"{norm}_v"]) + 1e-5)
    return np.maximum(x * column(files[f"{norm}_w"]) + column(files[f"{norm}_b"]), 0)


def column(values: Array) -> Array:
    return values[:, None, None]


def padded(x: Array, edge: int, value: float) -> Array:
    return np.pad(x, ((0, 0), (edge, edge), (edge, edge)), constant_values=value)


def windows(x: Array, size: int, stride: int) -> Array:
    """(channels, rows, columns, size, size)"""
    return sliding_window_view(x, (size, size), (1, 2))[:, ::stride, ::stride]


def across_channels(x: Array) -> Array:
    """Krizhevsky's normalisation over five channels."""
    squares = np.pad(x**2, ((2, 2), (0, 0), (0, 0)))
    total = sum(squares[start : start + len(x)] for start in range(5))
    return np.asarray(x / (1 + 1e-4 / 5 * total) ** 0.75)


@pytest.fixture(scope="module")
def files() -> Files:
    return draw_files()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, files: Files) -> Path:
    folder = tmp_path_factory.mktemp("openface") / "weights"
    write_files(folder, files)
    return folder


@pytest.fixture(scope="module")
def imported(whole: Path) -> Imported:
    return import_weights(whole, "openface")


@pytest.fixture(scope="module")
def backbone(imported: Imported) -> Backbone:
    assert isinstance(imported.network, Backbone)
    return imported.network


@pytest.fixture
def folder(tmp_path: Path, whole: Path) -> Path:
    """A copy to spoil, of links as the files are large."""
    return shutil.copytree(
        whole, tmp_path / "weights", copy_function=lambda a, b: Path(b).symlink_to(a)
    )


def spoil(path: Path, content: str) -> None:
    path.unlink()
    path.write_text(content)


def test_there_are_as_many_files_as_were_published(files: Files) -> None:
    assert len(files) == 37 * 6 + 2


def test_the_embedding_is_that_of_numpy(files: Files, backbone: Backbone) -> None:
    face = np.random.Generator(np.random.PCG64(1)).random((3, 96, 96)).astype(np.float32)
    own = torch.from_numpy(2 * face[None] - 1)
    assert backbone.average is not None
    with torch.no_grad():
        embedding = backbone.backbone(own - backbone.average)[0].numpy()
    np.testing.assert_allclose(embedding, embed(files, face.astype(np.float64)), atol=1e-4)


def test_a_recogniser_started_from_it_embeds_black_borders_alike(
    files: Files, backbone: Backbone
) -> None:
    recognizer = build_recognizer("of10", tuple("abcdefghij"), rng=torch.Generator())
    Start(network=backbone, path=Path("file")).give(recognizer)
    seen: list[torch.Tensor] = []
    recognizer.backbone.register_forward_hook(lambda _, __, out: seen.append(out))
    face = np.zeros((3, 96, 96), np.float32)
    face[:, 20:70, 30:60] = 0.75
    with torch.no_grad():
        recognizer.eval()(torch.from_numpy(face[None]))
    np.testing.assert_allclose(seen[0][0], embed(files, face.astype(np.float64)), atol=1e-4)


def test_the_form_is_the_original_also_once_saved(
    imported: Imported, backbone: Backbone, tmp_path: Path
) -> None:
    imported.save(tmp_path / "backbone.safetensors", "weights")
    loaded = Backbone.read(tmp_path / "backbone.safetensors")
    about = loaded.record
    assert (loaded.pooling, loaded.convention) == ("strided", "torch")
    assert about["imported"] == {"source": "weights", "kind": "OpenFace nn4.small2 as CSV files"}
    for name, tensor in backbone.backbone.state_dict().items():
        assert torch.equal(loaded.backbone.state_dict()[name], tensor), name
    assert loaded.average is not None
    assert torch.equal(loaded.average, torch.full((3, 1, 1), -1.0))


def test_numbers_may_stand_in_lines(backbone: Backbone, files: Files) -> None:
    bias = backbone.backbone.get_parameter("embed.bias")
    np.testing.assert_allclose(bias.detach(), files["dense_b"], rtol=1e-6)


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "inception_4a_pool_bn_v.csv").unlink()
    with pytest.raises(WeightsError, match=r"lacks inception_4a_pool_bn_v\.csv, of 224 files"):
        import_weights(folder, "openface")


def test_a_folder_of_one_file_is_told_apart_from_a_folder_of_none(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="none of the kinds that can be imported"):
        import_weights(tmp_path, "openface")
    (tmp_path / "bn2_m.csv").write_text("0")
    with pytest.raises(WeightsError, match=r"lacks conv1_w\.csv and 222 more, of 224 files"):
        import_weights(tmp_path, "openface")


BIASES = ["0"] * 64


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (",".join(BIASES[1:]), r"conv1_b\.csv holds 63 numbers, expected 64 for \(64,\)"),
        ("", r"conv1_b\.csv is an empty file, not a file of numbers"),
        ("0," * 10**6, r"conv1_b\.csv has more than 2048 bytes of numbers, expected 64"),
        (",".join([*BIASES[1:], "nan"]), r"conv1_b\.csv holds a number that is not finite"),
        (",".join([*BIASES[1:], "1e39"]), r"conv1_b\.csv holds a number that is not finite"),
        (",".join([*BIASES[1:], "one"]), r"conv1_b\.csv does not hold numbers separated by commas"),
        (",".join([*BIASES[1:], ""]), r"conv1_b\.csv does not hold numbers separated by commas"),
        (",".join([*BIASES[1:], "ü"]), r"conv1_b\.csv does not hold numbers separated by commas"),
        ("<!DOCTYPE HTML>\n<html></html>", r"conv1_b\.csv is a web page, not a file of numbers"),
    ],
)  # fmt: skip
def test_a_damaged_file_is_named_and_described(folder: Path, content: str, sentence: str) -> None:
    spoil(folder / "conv1_b.csv", content)
    with pytest.raises(WeightsError, match=sentence) as caught:
        import_weights(folder, "openface")
    assert "\n" not in str(caught.value)


def test_a_variance_below_0_is_refused(folder: Path) -> None:
    spoil(folder / "bn1_v.csv", ",".join([*BIASES[1:], "-0.1"]))
    with pytest.raises(WeightsError, match=r"bn1_v\.csv holds a variance below 0"):
        import_weights(folder, "openface")


@pytest.mark.parametrize(("arch", "names"), [("of10", None), ("vgg16", None), ("openface", ["a"])])
def test_what_a_backbone_cannot_be_is_refused(
    whole: Path, arch: str, names: list[str] | None
) -> None:
    with pytest.raises(AgnsError) as caught:
        import_weights(whole, arch, names)
    assert isinstance(caught.value, ConfigError)
