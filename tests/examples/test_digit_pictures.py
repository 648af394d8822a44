"""Digits from MNIST's files, written here, and from scikit-learn."""

import gzip
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from agns.errors import ConfigError, DataError
from digit_pictures import LARGEST, read_mnist, read_small_digits

PICTURES = np.random.default_rng(0).integers(0, 256, (5, 28, 28), np.uint8)
LABELS = np.array([3, 0, 9, 9, 1], np.uint8)


def packed(items: np.ndarray) -> bytes:
    head = struct.pack(f">BBBB{items.ndim}I", 0, 0, 8, items.ndim, *items.shape)
    return head + items.tobytes()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Training files plain, testing files gzipped and the other way round."""
    for part, pictures, labels in (("train", PICTURES, LABELS), ("t10k", PICTURES[:2], LABELS[:2])):
        (tmp_path / f"{part}-images-idx3-ubyte").write_bytes(packed(pictures))
        with gzip.open(tmp_path / f"{part}-labels-idx1-ubyte.gz", "wb") as file:
            file.write(packed(labels))
    return tmp_path


def test_mnist_is_read_as_it_was_written(folder: Path) -> None:
    (pictures, labels), (shown, true) = read_mnist(folder)
    np.testing.assert_array_equal(pictures[:, 0].numpy(), PICTURES.astype(np.float32) / 255)
    assert (labels.tolist(), true.tolist()) == (LABELS.tolist(), LABELS[:2].tolist())
    assert torch.equal(shown, pictures[:2])


def cut(content: bytes) -> bytes:
    return content[:-1]


def announced(count: int) -> Callable[[bytes], bytes]:
    return lambda content: content[:4] + struct.pack(">I", count) + content[8:]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (cut, "announces 5 items and is cut short"),
        (lambda content: content + b"0", "announces 5 items and is longer"),
        (lambda content: content[:9], "too short for an IDX file"),
        (lambda content: b"", "too short for an IDX file"),
        (lambda content: b"\x00\x00\x0d\x03" + content[4:], "no IDX file of 28x28 pictures"),
        (lambda content: content[:11] + b"\x1b" + content[12:], "no IDX file of 28x28 pictures"),
        (announced(0), "should hold 1 to 100,000 items, announces 0"),
        (announced(LARGEST + 1), "announces 100,001"),
        (announced(2**32 - 1), "announces 4,294,967,295"),
        (lambda content: packed(PICTURES[:4]), "hold 4 pictures but 5 labels"),
    ],
)
def test_a_wrong_file_is_refused_in_a_sentence(
    folder: Path, change: Callable[[bytes], bytes], words: str
) -> None:
    path = folder / "train-images-idx3-ubyte"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(DataError, match=words):
        read_mnist(folder)


@pytest.mark.parametrize("change", [cut, lambda content: b"\x1f\x8b" + bytes(20), lambda _: b"no"])
def test_a_damaged_gzip_file_is_refused(folder: Path, change: Callable[[bytes], bytes]) -> None:
    path = folder / "t10k-labels-idx1-ubyte.gz"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(DataError, match=r"t10k-labels-idx1-ubyte\.gz cannot be read"):
        read_mnist(folder)


def test_labels_beyond_9_are_refused(folder: Path) -> None:
    path = folder / "t10k-labels-idx1-ubyte.gz"
    path.write_bytes(gzip.compress(packed(np.array([1, 10], np.uint8))))
    with pytest.raises(DataError, match="should be 0 to 9, got 10"):
        read_mnist(folder)


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "t10k-images-idx3-ubyte").unlink()
    with pytest.raises(ConfigError, match=r"no t10k-images-idx3-ubyte in .*, nor .*\.gz"):
        read_mnist(folder)


def test_small_digits_are_all_there_once(generator: torch.Generator) -> None:
    parts = read_small_digits(rng=generator)
    assert [len(labels) for _, labels in parts] == [1437, 360]
    labels = torch.cat([labels for _, labels in parts])
    assert torch.equal(labels.bincount(), torch.from_numpy(load_digits().target).bincount())
    means = torch.cat([pictures for pictures, _ in parts]).mean((1, 2, 3)).sort().values
    known = torch.from_numpy(load_digits().images).mean((1, 2)).sort().values / 16
    # Doubling weighs the outermost pixels a little more.
    torch.testing.assert_close(means, known.float(), atol=0.05, rtol=0)


def test_without_scikit_learn_a_sentence_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, generator: torch.Generator
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ConfigError, match="pip install scikit-learn"):
        read_small_digits(rng=generator)
