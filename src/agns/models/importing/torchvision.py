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

from agns.errors import ConfigError, WeightsError
from agns.file_kinds import SAFETENSORS, TORCH, file_kind
from agns.models.backbone import Backbone
from agns.models.importing.imported import MOST_CLASSES, Imported, name_classes, place
from agns.models.importing.state_dicts import read_state
from agns.models.recognizer import RECOGNIZERS, Recognizer
from agns.models.vgg import Vgg16
from agns.models.weights import as_type

KIND = "torchvision's VGG-16 as a state dict"

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
    """Build a network from a state dict.

    Args:
        path: The file.
        arch: `vgg16` for the backbone; `vgg`, `vgg10` or `vgg143` for the recogniser.
        identities: Names of the recogniser's classes, or None for numbers.

    Raises:
        ConfigError: Another architecture, or names that do not fit.
        WeightsError: The file is damaged, holds more than tensors, or they do not fit.
    """
    state = read_state(path, "features.", OWN)
    check_arch(arch, str(path))
    if arch == "vgg16" and identities is not None:
        raise ConfigError("a backbone has no classes to be named")
    tensors = _floats(path, state)
    average = torch.tensor(MEAN)[:, None, None]
    # Without storage, until all is seen to fit.
    if arch == "vgg16":
        tensors = {name: tensors[name] for name in tensors if not name.startswith(f"{HEAD}.")}
        with torch.device("meta"):
            network = Vgg16()
        _fill(network, tensors, "", path)
        backbone = Backbone(network=network.eval(), average=average)
        return Imported(network=backbone, kind=KIND)
    names = name_classes(arch, _count(path, tensors), identities)
    with torch.device("meta"):
        recognizer = Recognizer(arch, names)
    _fill(recognizer, tensors, "backbone.", path)
    recognizer.subtract(average)
    return Imported(network=recognizer.eval(), kind=KIND)


def check_arch(arch: str, source: str) -> None:
    """Refuse what VGG-16's weights cannot become.

    Raises:
        ConfigError: It is neither the backbone nor a recogniser on it.
    """
    recognizers = ("vgg", *(name for name, (family, _) in RECOGNIZERS.items() if family == "vgg"))
    if arch not in ("vgg16", *recognizers):
        raise ConfigError(
            f"{source} holds VGG-16: take --arch vgg16 for the backbone, or {recognizers[0]} for a "
            f"recogniser, not {arch}"
        )


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


def _fill(
    network: Vgg16 | Recognizer, tensors: Mapping[str, Tensor], prefix: str, path: Path
) -> None:
    """Place the tensors, the backbone's under `prefix`, and fold ImageNet's deviation in."""
    own, names = {}, {}
    for name, tensor in tensors.items():
        layer, _, kind = name.rpartition(".")
        ours = "head" if layer == HEAD else prefix + LAYERS.get(layer, layer)
        own[f"{ours}.{kind}"], names[f"{ours}.{kind}"] = tensor, name
    place(network, own, names, path)
    with torch.no_grad():
        first = network.get_parameter(f"{prefix}features.0.weight")
        first.div_(torch.tensor(DEVIATION)[:, None, None])
