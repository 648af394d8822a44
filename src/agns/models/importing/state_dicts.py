"""State dicts out of training scripts: `.pth`, `.pt`, `.ckpt` and safetensors, unwrapped.

Scripts keep a state dict among other things, in dicts within dicts (`model`, `state_dict`, `ema`),
and what wraps a network while it is trained puts a name of its own into the tensors' names, before
them or within. Both are taken off. What remains before a tensor's name is how scripts call their
network (`net.features.0.weight`); tensors that are called otherwise belong to something else, an
optimiser or a loss.

A `.pth` file is a pickle, which can call any function there is. `torch.load` with `weights_only`
reads it with an unpickler of its own that knows a fixed list: tensors, their storages and kinds,
plain containers, and here NumPy's numbers. Whatever else a file names is an error before anything
is called, so a file can only build tensors, of wrong sizes at worst.
"""

import re
import warnings
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from agns.errors import WeightsError
from agns.file_kinds import TORCH_LEGACY, ZIP, is_safetensors
from agns.models.checkpoint import plain_name
from agns.storage import load_tensors

LIMIT = 1 << 32
"""Bytes of the largest file that is opened: the network in float64, with an optimiser's state."""

DEPTH = 8
"""Containers within one another that are looked into."""


def read_state(path: Path, first: str, own: re.Pattern[str]) -> dict[str, Tensor]:
    """The tensors of the one network in a file, by their own names.

    Args:
        path: The file.
        first: A network is known by tensors whose names begin so.
        own: What the network's tensors are called, in group 1, at the end of a longer name.

    Raises:
        WeightsError: The file is damaged, asks for more than tensors, or holds no such network or
            several; or a tensor stands twice, or beside the network's where it has no place.
    """
    entries = [
        _Entry(parts=parts, name=plain_name(".".join(parts)), value=value)
        for parts, value in _walk(open_state(path), (), own, set())
    ]
    networks: dict[str, dict[str, _Entry]] = defaultdict(dict)
    for entry in entries:
        if found := own.search(entry.name):
            network, name = networks[entry.name[: found.start(1)]], found[1]
            if name in network:
                names = f"{network[name].whole} and {entry.whole}"
                raise WeightsError(f"{path} holds {name} twice, as {names}")
            network[name] = entry
    networks = {
        before: network
        for before, network in networks.items()
        if any(name.startswith(first) for name in network)
    }
    if not networks:
        raise WeightsError(
            f"{path} holds no network whose tensors are called {first}0.weight "
            f"and so on: {_held(entries)}"
        )
    if len(networks) > 1:
        names = " and ".join(before.rstrip(".") or "no name" for before in networks)
        raise WeightsError(
            f"{path} holds {len(networks)} networks, under {names}: save a file with one of them"
        )
    ((before, network),) = networks.items()
    taken = {entry.parts for entry in network.values()}
    places = {entry.parts[:-1] for entry in network.values()}
    for entry in entries:
        # Scalars count the steps of an average.
        beside = entry.parts[:-1] in places and entry.name.startswith(before)
        if beside and entry.parts not in taken and isinstance(entry.value, Tensor):
            if entry.value.ndim:
                raise WeightsError(f"{path} holds {entry.whole}, which the network does not have")
    state = {}
    for name, entry in network.items():
        value = entry.value.tensor() if isinstance(entry.value, _Array) else entry.value
        if not isinstance(value, Tensor):
            raise WeightsError(f"{path}: {entry.whole!r} is a {type(value).__name__}, not a tensor")
        state[name] = value
    return state


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """A value in a file that contains no others."""

    parts: tuple[str, ...]
    """Its key, after those of the containers around it."""

    name: str
    """All of these, with dots between them, without what wrappers put in."""

    value: object

    @property
    def whole(self) -> str:
        """The name as the file has it."""
        return ".".join(self.parts)


def _walk(
    value: object, parts: tuple[str, ...], own: re.Pattern[str], seen: set[int]
) -> Iterator[tuple[tuple[str, ...], object]]:
    """All values with their keys, those of containers within one another too."""
    contains = isinstance(value, Mapping | list | tuple)
    if not contains or (len(parts) > 0 and own.search(plain_name(".".join(parts)))):
        yield parts, value
        return
    # A file may hold a container within itself, or many times.
    if id(value) in seen or len(parts) > DEPTH:
        return
    seen.add(id(value))
    assert isinstance(value, Mapping | list | tuple)
    inner = value.items() if isinstance(value, Mapping) else enumerate(value)
    for key, held in inner:
        yield from _walk(held, (*parts, str(key)), own, seen)


def _held(entries: Sequence[_Entry]) -> str:
    names = [entry.whole for entry in entries if isinstance(entry.value, Tensor)]
    if any(name.endswith("flat_param") for name in names):
        return "it holds the flat parts of FSDP, so save the full state dict"
    return f"it holds {', '.join(names[:3])}" if names else "it holds no tensors"


def open_state(path: Path) -> object:
    """What a file holds, with no more code run than builds tensors.

    Raises:
        WeightsError: The file is damaged, too large, or asks for more than tensors.
    """
    with path.open("rb") as file:
        beginning = file.read(len(TORCH_LEGACY))
    if is_safetensors(beginning):
        return load_tensors(path)[0]
    size = path.stat().st_size
    if size > LIMIT:
        raise WeightsError(f"{path} has {size} bytes, more than the {LIMIT} that VGG-16 could need")
    archive = beginning.startswith(ZIP)
    if archive:
        _check_archive(path, size)
    try:
        with (
            torch.serialization.safe_globals(list(_NUMPY)),
            # What PyTorch thinks of kinds of tensors that are refused anyway.
            warnings.catch_warnings(action="ignore"),
        ):
            # An archive is mapped, not read; the legacy format cannot be.
            return torch.load(path, map_location="cpu", weights_only=True, mmap=archive)
    # A damaged pickle breaks off anywhere, with any of Python's exceptions.
    except Exception as error:
        asked = re.search(r"GLOBAL ([\w.]+)", str(error))
        reason = (
            f"it asks for {asked[1]}, and only tensors are read"
            if asked
            else f"it is damaged or cut short ({type(error).__name__})"
        )
        raise WeightsError(f"{path} cannot be read as a state dict: {reason}") from error


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


class _Kind:
    """Stands in for NumPy's dtype, whose own reading of a pickle would trust it."""

    def __init__(self, code: str, *settings: object) -> None:
        # Scalars that are texts, dates and the like stand beside weights; nothing of them is read.
        plain = re.fullmatch("b1|[iu][1248]|f[248]", code)
        self.dtype = np.dtype(code) if plain else None

    def __setstate__(self, state: tuple[object, ...]) -> None:
        if state[1] == ">" and self.dtype is not None:
            self.dtype = self.dtype.newbyteorder(">")


class _Array:
    """Stands in for NumPy's array, for the same reason."""

    def __init__(self, *settings: object) -> None:
        self.array = np.empty(0)

    def __setstate__(self, state: tuple[object, tuple[int, ...], _Kind, bool, bytes]) -> None:
        _, shape, kind, columns, octets = state
        if kind.dtype is None:
            raise ValueError("an array that is not of plain numbers")
        flat = np.frombuffer(octets, kind.dtype)
        self.array = flat.reshape(shape, order="F" if columns else "C")

    def tensor(self) -> Tensor:
        """A copy, in this machine's byte order."""
        return torch.from_numpy(self.array.astype(self.array.dtype.newbyteorder("="), order="C"))


def _scalar(kind: _Kind, octets: bytes) -> object:
    return None if kind.dtype is None else np.frombuffer(octets, kind.dtype)[0].item()


_NUMPY: tuple[tuple[Callable[..., object], str], ...] = (
    (_Kind, "numpy.dtype"),
    (_Array, "numpy.ndarray"),
    *((_Array, f"numpy.{core}.multiarray._reconstruct") for core in ("core", "_core")),
    *((_scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
)
"""What files may ask for of NumPy, and get these in its place."""
