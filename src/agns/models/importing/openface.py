"""OpenFace's nn4.small2 as a folder of CSV files, exported from the Torch model for Keras-OpenFace.

A file holds one tensor, flattened in Torch's order (out, in, height, width), its numbers separated
by commas: `conv1_w.csv`, `bn1_m.csv`, `inception_3a_3x3_conv1_w.csv`, `dense_b.csv`. The endings
are `w` and `b` for weight and bias, and `m` and `v` for a batch norm's running mean and variance:
the export writes Torch's `running_var`, of which no root is taken.

The numbers are those of Torch's nn4.small2.v1, so the network is the original form, pooling
"strided" and convention "torch". The Keras network that they were exported for follows it: its
pooling branches stride, its epsilon is 1e-5, and its padding is written out.

Torch's `image.load` gives that network RGB in [0, 1], and ours takes [-1, 1]: half the weights of
the first convolution, on a face less an average of -1, come to the same, at the borders as well.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from agns.errors import WeightsError
from agns.file_kinds import TEXT, file_kind
from agns.models.backbone import Backbone
from agns.models.importing.imported import Found, Imported, finished, to_tensor
from agns.models.openface import OpenFace

KIND = "OpenFace nn4.small2 as CSV files"
ARCHS = ("openface",)

MODULES = ("3a", "3b", "3c", "4a", "4e", "5a", "5b")
"""The inception modules, in their order."""

STEM = {"0": "1", "3": "2", "4": "3"}
"""Our stem's layers, and the numbers of their convolutions."""

BRANCHES = {"branch3": "3x3", "branch5": "5x5", "pooled": "pool", "branch1": "1x1"}

ENDINGS = {"weight": "w", "bias": "b", "running_mean": "m", "running_var": "v"}

BYTES_A_NUMBER = 32
"""Torch writes 14 digits, so that a sign, zeros after the point, an exponent and a comma fit."""


def recognises(path: Path) -> bool:
    """Whether it is a folder with at least one of the files."""
    return path.is_dir() and any((path / file).is_file() for file in name_files().values())


def read(path: Path, arch: str, identities: Sequence[str] | None) -> Imported:
    """Build the backbone from a folder.

    Raises:
        WeightsError: A file is missing, or does not hold as many finite numbers as it should.
    """
    with torch.device("meta"):
        network = Backbone("of")
    own, names = network.backbone.state_dict(), name_files()
    lacking = [file for file in names.values() if not (path / file).is_file()]
    if lacking:
        more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
        raise WeightsError(f"{path} lacks {lacking[0]}{more}, of {len(names)} files")
    found: Found = {}
    for name, file in names.items():
        tensor = _numbers(path / file, own[name].shape)
        if name.endswith("running_var") and (tensor < 0).any():
            raise WeightsError(f"{path / file} holds a variance below 0")
        found[f"backbone.{name}"] = tensor, file
    average = torch.full((3, 1, 1), -1.0)
    return finished(network, found, path, KIND, average=average, first=lambda weight: weight / 2)


def name_files() -> dict[str, str]:
    """The file of each of our tensors."""
    with torch.device("meta"):
        own = OpenFace().state_dict()
    return {
        name: f"{_layer(name.split('.')[:-1])}_{ENDINGS[name.rpartition('.')[2]]}.csv"
        for name in own
        if not name.endswith("num_batches_tracked")
    }


def _layer(parts: Sequence[str]) -> str:
    """What the files call a layer, from the parts of our name for it."""
    if parts[0] == "embed":
        return "dense"
    kind = "bn" if parts[-1] == "1" else "conv"
    if parts[0] == "stem":
        return f"{kind}{STEM[parts[1]]}"
    # Two convolutions follow one another in a branch of 3x3 or 5x5, and are numbered.
    number = str(int(parts[3]) + 1) if parts[2] in ("branch3", "branch5") else ""
    return f"inception_{MODULES[int(parts[1])]}_{BRANCHES[parts[2]]}_{kind}{number}"


def _numbers(path: Path, shape: Sequence[int]) -> Tensor:
    """Read a file of that many numbers, in that shape."""
    expected = int(np.prod(shape))
    limit = BYTES_A_NUMBER * expected
    try:
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error}") from error
    kind = file_kind(path)
    if kind not in (TEXT, None):
        advice = f": {kind.advice}" if kind.advice else ""
        raise WeightsError(f"{path} is {kind.words}, not a file of numbers{advice}")
    wanted = f"expected {expected} for {tuple(shape)}"
    if len(content) > limit:
        raise WeightsError(f"{path} has more than {limit} bytes of numbers, {wanted}")
    lines = content.split()
    found = sum(line.count(b",") + 1 for line in lines)
    if found != expected:
        raise WeightsError(f"{path} holds {found} numbers, {wanted}")
    try:
        text = [line.decode("ascii") for line in lines]
        flat = np.loadtxt(text, delimiter=",", comments=None, dtype=np.float64).reshape(-1)
    except ValueError as error:
        raise WeightsError(f"{path} does not hold numbers separated by commas: {error}") from error
    return to_tensor(flat.reshape(tuple(shape)), str(path))
