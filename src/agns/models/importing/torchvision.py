"""torchvision's VGG-16 as a state dict: zip or legacy `.pth`, or safetensors of the same names.

The layers stand as in our network, under `features.N` and `classifier.0`, `.3` and `.6`; the last
tells ImageNet's 1000 classes apart, or others after fine-tuning.

torchvision's networks take RGB in [0, 1] less ImageNet's mean, over its deviation, per channel. The
deviation goes into the first convolution's weights, which is exact up to rounding. The mean does
not go into its bias: zeros pad the borders after the subtraction, so that it has to stay one.

A `.pth` file is a pickle, which can call any function there is. `torch.load` with `weights_only`
reads it with an unpickler of its own that knows a fixed list: tensors, their storages and kinds,
and plain containers. Whatever else a file names is an error before anything is called, so a file
can only build tensors, of wrong sizes at worst.
"""

import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from agns.errors import ConfigError, WeightsError
from agns.models.backbone import Backbone
from agns.models.importing.imported import MOST_CLASSES, Imported, name_classes, place
from agns.models.recognizer import RECOGNIZERS, Recognizer
from agns.models.vgg import Vgg16
from agns.storage import load_tensors

KIND = "torchvision's VGG-16 as a state dict"

MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)
"""Of ImageNet's photos, RGB in [0, 1]."""

LAYERS = {"classifier.0": "descriptor.0", "classifier.3": "descriptor.3"}
"""Our names for torchvision's layers, where they differ."""

HEAD = "classifier.6"
MARKS = (b"features.0.weight", b"classifier.6.weight")
ZIP, LEGACY = b"PK\x03\x04", b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
"""How files of `torch.save` begin: an archive, or a pickle of the number 0x1950A86A20F9469CFC6C."""

GLIMPSE = 1 << 20
"""Bytes at a file's beginning in which all kinds keep the names of their tensors."""

LIMIT = 1 << 32
"""Bytes of the largest file that is opened: the network in float64, with an optimiser's state."""


def recognises(path: Path) -> bool:
    """Whether it is a file of tensors with VGG-16's names, by its beginning alone."""
    if not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            beginning = file.read(GLIMPSE)
    except OSError:
        return False
    laid_out = beginning.startswith((ZIP, LEGACY)) or _is_safetensors(beginning)
    return laid_out and any(mark in beginning for mark in MARKS)


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
    check_arch(arch, str(path))
    if arch == "vgg16" and identities is not None:
        raise ConfigError("a backbone has no classes to be named")
    tensors = _floats(path, _state(path, _open(path)))
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


def _is_safetensors(beginning: bytes) -> bool:
    # The header's length in eight bytes, then the header, a JSON object.
    return beginning[8:9] == b"{" and int.from_bytes(beginning[:8], "little") <= 100_000_000


def _open(path: Path) -> Mapping[str, object]:
    """What a file holds, with no more code run than builds tensors."""
    with path.open("rb") as file:
        beginning = file.read(9)
    if _is_safetensors(beginning):
        return load_tensors(path)[0]
    size = path.stat().st_size
    if size > LIMIT:
        raise WeightsError(f"{path} has {size} bytes, more than the {LIMIT} that VGG-16 could need")
    archive = beginning.startswith(ZIP)
    if archive:
        _check_archive(path, size)
    try:
        # An archive is mapped, not read; the legacy format cannot be.
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=archive)
    # A damaged pickle breaks off anywhere, with any of Python's exceptions.
    except Exception as error:
        asked = re.search(r"GLOBAL ([\w.]+)", str(error))
        reason = (
            f"it asks for {asked[1]}, and only tensors are read"
            if asked
            else f"it is damaged or cut short ({type(error).__name__})"
        )
        raise WeightsError(f"{path} cannot be read as a state dict: {reason}") from error
    if not isinstance(content, Mapping):
        raise WeightsError(f"{path} holds a {type(content).__name__}, not a state dict")
    return content


def _check_archive(path: Path, size: int) -> None:
    """Refuse an archive that would unfold to more than it is."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
        raise WeightsError(f"{path} is an archive that is damaged or cut short: {error}") from error
    stored = all(entry.compress_type == zipfile.ZIP_STORED for entry in entries)
    if not stored or sum(entry.file_size for entry in entries) > size:
        raise WeightsError(f"{path} is a compressed archive, which torch.save does not write")


def _state(path: Path, content: Mapping[str, object]) -> dict[str, Tensor]:
    """The tensors themselves, without what training scripts wrap around them."""
    inner = content.get("state_dict", content)
    if not isinstance(inner, Mapping):
        raise WeightsError(f"{path}: state_dict is a {type(inner).__name__}, not a state dict")
    state: dict[str, Tensor] = {}
    for name, tensor in inner.items():
        if not isinstance(name, str):
            raise WeightsError(f"{path}: a tensor's name is a {type(name).__name__}, not a text")
        if not isinstance(tensor, Tensor):
            raise WeightsError(f"{path}: {name!r} is a {type(tensor).__name__}, not a tensor")
        # DataParallel puts its own name before every other.
        state[name.removeprefix("module.")] = tensor
    return state


def _floats(path: Path, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors, all of them plain, of floats, and finite."""
    for name, tensor in state.items():
        plain = tensor.layout == torch.strided and tensor.device.type == "cpu"
        if not plain or not tensor.is_floating_point():
            raise WeightsError(f"{path}: {name} is {tensor.dtype}, {tensor.layout}, not floats")
        # A tensor may repeat its storage, and so be larger than the file.
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise WeightsError(f"{path}: {name} is {tuple(tensor.shape)}, larger than its storage")
        if not tensor.isfinite().all():
            raise WeightsError(f"{path}: {name} holds a number that is not finite")
    return dict(state)


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
