"""Handwritten digits: MNIST from its four original files, or the small set of scikit-learn."""

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import TypeAlias

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from agns.errors import ConfigError, DataError
from agns.geometry import resize

Digits: TypeAlias = tuple[Float[Tensor, "_ 1 side side"], Int64[Tensor, " _"]]
"""Grey pictures in [0, 1], white on black, and the digit that each shows, as many."""

SIDE = 28
"""Height and width in pixels of MNIST's pictures."""

LARGEST = 100_000
"""Pictures or labels in one file at most; MNIST has 60,000 for training and 10,000 for testing."""


SMALL_TEST = 360
"""Pictures of the small set's 1,797 that are kept for testing."""


def read_mnist(folder: Path) -> tuple[Digits, Digits]:
    """Read MNIST, 28x28 pixels.

    Args:
        folder: Holds `train-images-idx3-ubyte`, `train-labels-idx1-ubyte` and the same of `t10k`,
            or these with `.gz`.

    Returns:
        For training, and for testing.

    Raises:
        ConfigError: A file is missing.
        DataError: A file is damaged or is no such file, or labels and pictures do not match.
    """
    return _read_part(folder, "train"), _read_part(folder, "t10k")


def read_small_digits(*, rng: torch.Generator) -> tuple[Digits, Digits]:
    """Scikit-learn's 8x8 digits (UCI, Alpaydin & Kaynak 1998), drawn as 16x16 pixels.

    Args:
        rng: Source of the split.

    Returns:
        For training, and for testing.

    Raises:
        ConfigError: Scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ConfigError(
            "the small digits come with scikit-learn, which is not installed: "
            "pip install scikit-learn"
        ) from error
    small = load_digits()
    pictures = resize(torch.from_numpy(small.images).float()[:, None] / 16, (16, 16))
    labels = torch.from_numpy(small.target).long()
    order = torch.randperm(len(pictures), generator=rng)
    training, testing = order[SMALL_TEST:], order[:SMALL_TEST]
    return (pictures[training], labels[training]), (pictures[testing], labels[testing])


def _read_part(folder: Path, part: str) -> Digits:
    pictures = _read_idx(_find(folder, f"{part}-images-idx3-ubyte"), (SIDE, SIDE))
    labels = _read_idx(_find(folder, f"{part}-labels-idx1-ubyte"), ())
    if len(labels) != len(pictures):
        raise DataError(
            f"the {part} files in {folder} hold {len(pictures)} pictures but {len(labels)} labels"
        )
    if int(labels.max()) > 9:
        raise DataError(f"the {part} labels in {folder} should be 0 to 9, got {int(labels.max())}")
    return pictures[:, None].float() / 255, labels.long()


def _find(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise ConfigError(f"there is no {name} in {folder}, nor {name}.gz")


def _read_idx(path: Path, size: tuple[int, ...]) -> UInt8[Tensor, "count *size"]:
    """Bytes of an IDX file, whose sizes are held against what is expected before it is read."""
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
            head = file.read(8 + 4 * len(size))
            if len(head) < 8 + 4 * len(size):
                raise DataError(f"{path} is too short for an IDX file")
            magic, count, *sides = struct.unpack(f">{2 + len(size)}I", head)
            # 8 for unsigned bytes, then the number of dimensions.
            if magic != 0x0801 + len(size) or tuple(sides) != size:
                kind = f"{SIDE}x{SIDE} pictures" if size else "labels"
                raise DataError(f"{path} is no IDX file of {kind} as bytes")
            if not 1 <= count <= LARGEST:
                raise DataError(f"{path} should hold 1 to {LARGEST:,} items, announces {count:,}")
            length = count * math.prod(size)
            body = file.read(length + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    if len(body) != length:
        state = "cut short" if len(body) < length else "longer"
        raise DataError(f"{path} announces {count:,} items and is {state}")
    return torch.frombuffer(bytearray(body), dtype=torch.uint8).reshape(count, *size)
