"""torchvision's VGG-16 as a state dict: zip or legacy `.pth`, or safetensors of the same names.

The layers stand as in our network, under `features.N` and `classifier.0`, `.3` and `.6`; the last
tells ImageNet's 1000 classes apart, or others after fine-tuning.

torchvision's networks take RGB in [0, 1] less ImageNet's mean, over its deviation, per channel. The
deviation goes into the first convolution's weights, which is exact up to rounding. The mean does
not go into its bias: zeros pad the borders after the subtraction, so that it has to stay one.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from agns.errors import WeightsError
from agns.file_kinds import SAFETENSORS, TORCH, file_kind
from agns.models.checkpoint import as_type
from agns.models.importing.imported import MOST_CLASSES, VGG, Found, Imported, empty, finished
from agns.models.importing.state_dicts import read_state
from agns.models.recognizer import Recognizer

KIND = "torchvision's VGG-16 as a state dict"
ARCHS = VGG

MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)
"""Of ImageNet's photos, RGB in [0, 1]."""

LAYERS = {"classifier.0": "descriptor.0", "classifier.3": "descriptor.3"}
"""Our names for torchvision's layers, where they differ."""

HEAD = "classifier.6"
OWN = re.compile(r"(?:^|\.)((?:features|classifier)\.\d+\.\w+)$")
"""What its tensors are called."""


def recognises(path: Path) -> bool:
    """Whether it is a file of torch.save or safetensors, of which no other networks are read."""
    return path.is_file() and file_kind(path) in (TORCH, SAFETENSORS)


def read(path: Path, arch: str, identities: Sequence[str] | None) -> Imported:
    """Build the backbone or a recogniser from a state dict.

    Raises:
        ConfigError: The names do not fit.
        WeightsError: The file is damaged, holds more than tensors, or they do not fit.
    """
    tensors = _floats(path, read_state(path, "features.", OWN))
    network = empty(arch, lambda: _count(path, tensors), lambda: identities)
    found: Found = {}
    for name, tensor in tensors.items():
        layer, _, part = name.rpartition(".")
        if layer != HEAD:
            found[f"backbone.{LAYERS.get(layer, layer)}.{part}"] = tensor, name
        elif isinstance(network, Recognizer):
            found[f"head.{part}"] = tensor, name
    deviation = torch.tensor(DEVIATION)[:, None, None]
    return finished(
        network, found, path, KIND,
        average=torch.tensor(MEAN)[:, None, None], first=lambda weight: weight / deviation,
    )  # fmt: skip


def _floats(path: Path, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors, all of them plain, in float32, and finite."""
    floats = {}
    for name, tensor in state.items():
        plain = tensor.layout == torch.strided and tensor.device.type == "cpu"
        # A tensor may repeat its storage, and so be larger than the file.
        if plain and tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise WeightsError(f"{path}: {name} is {tuple(tensor.shape)}, larger than its storage")
        if tensor.device.type != "cpu":
            raise WeightsError(f"{path}: {name} lies on {tensor.device}, and has no numbers")
        floats[name] = as_type(tensor.detach(), torch.float32, f"{path}: {name}")
    return floats


def _count(path: Path, tensors: Mapping[str, Tensor]) -> int:
    """Classes that the last layer tells apart."""
    bias = tensors.get(f"{HEAD}.bias")
    if bias is None:
        raise WeightsError(f"{path} lacks {HEAD}.bias, and with it the classes: take --arch vgg16")
    if bias.ndim != 1 or not 2 <= len(bias) <= MOST_CLASSES:
        raise WeightsError(
            f"{path}: {HEAD}.bias is {tuple(bias.shape)}, expected (classes,), 2 to {MOST_CLASSES}"
        )
    return len(bias)
