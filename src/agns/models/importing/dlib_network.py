"""dlib's face embedding, the network behind `face_recognition`, read from its own file.

The file is what dlib serialises: layers
from the input to the output, each with its name, a tensor, and settings. An integer is a byte that
says how many bytes follow (bit 7: negative), and then these, least first.
"""

import hashlib
from pathlib import Path

import numpy as np
import torch

from agns.data.assets import packaged_model
from agns.errors import ConfigError, WeightsError
from agns.models.dlib_resnet import DlibResNet

FILE = "dlib_face_recognition_resnet_model_v1.dat"
"""Among the models of the package face-recognition-models."""

SHA256 = "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30"
"""The file's, which is the only one that is read."""


def dlib_file() -> Path:
    """Where the package face-recognition-models keeps the network.

    Raises:
        ConfigError: It is not installed.
    """
    return packaged_model(FILE)


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
