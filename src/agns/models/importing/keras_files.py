"""Layers of Keras 2 files: whole models, or weights alone, in HDF5.

A whole model has its weights in the group `model_weights` and its architecture as JSON in the
attribute `model_config`; a file of weights alone has them at its root. A group's attribute
`layer_names` lists its layers in order, and a layer's attribute `weight_names` its tensors: those
of a model within the model as well, first all that are trained, then the moving statistics.
"""

import contextlib
import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from agns.errors import WeightsError
from agns.file_kinds import HDF5
from agns.models.importing.keras_layers import PARTS, Layer, Weight

if TYPE_CHECKING:
    import h5py

Settings: TypeAlias = dict[str, dict[str, object]]
"""The settings of layers, by name."""


def recognises(path: Path) -> bool:
    """Whether it is an HDF5 file without a header of another program."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(HDF5)) == HDF5


@contextlib.contextmanager
def opening(path: Path) -> "Iterator[h5py.File]":
    """Open an HDF5 file; what its library complains of becomes a sentence.

    Raises:
        WeightsError: h5py is not installed, or the file is damaged.
    """
    try:
        import h5py
    except ImportError as error:
        raise WeightsError(f"{path} is an HDF5 file, which needs h5py: pip install h5py") from error
    with _complaining(path):
        file = h5py.File(path, "r")
    with file:
        yield file


@contextlib.contextmanager
def _complaining(path: Path) -> Iterator[None]:
    """Turn what h5py raises at damaged files into a sentence."""
    try:
        yield
    except (OSError, KeyError, RuntimeError, ValueError, TypeError) as error:
        reason = str(error).strip("'\"")
        raise WeightsError(f"{path} is not a readable HDF5 file: {reason}") from error


def list_layers(file: "h5py.File", path: Path) -> list[Layer]:
    """Layers with weights, in the order that the file gives them.

    Raises:
        WeightsError: The file is not laid out as Keras does it.
    """
    with _complaining(path):
        return _list_layers(file, path)


def _list_layers(file: "h5py.File", path: Path) -> list[Layer]:
    root = _inside(file, "model_weights", path) if "model_weights" in file else file
    layers: list[Layer] = []
    for group_name in _names(root, "layer_names", path):
        group = _inside(root, group_name, path)
        found: dict[str, dict[str, Weight]] = {}
        for name in _names(group, "weight_names", path):
            layer, _, part = name.rpartition("/")
            part = part.split(":")[0]
            if part not in PARTS:
                raise WeightsError(f"{path}: {name} is no part of a layer that can be imported")
            own = found.setdefault(layer or group_name, {})
            if part in own:
                raise WeightsError(f"{path} holds {name} twice")
            own[part] = _weight(group, name, path)
        # Older files number a layer's tensors once more; the group has its name.
        names = [group_name] if len(found) == 1 else list(found)
        layers += [
            Layer(name=name, weights=weights)
            for name, weights in zip(names, found.values(), strict=True)
        ]
    return layers


def list_settings(file: "h5py.File", path: Path) -> Settings:
    """The settings of each layer by its name; none in files of weights alone.

    Layers of a model within the model are among them.

    Raises:
        WeightsError: The architecture is not JSON.
    """
    with _complaining(path):
        text = file.attrs.get("model_config")
    if text is None:
        return {}
    try:
        content = json.loads(text)
    except (TypeError, ValueError, RecursionError) as error:
        raise WeightsError(f"{path} has an unusable model_config: {error}") from error
    settings: Settings = {}
    waiting = [content]
    while waiting:
        entry = waiting.pop()
        config = entry.get("config") if isinstance(entry, dict) else None
        if isinstance(config, list):  # a Sequential of the first Keras 2
            waiting += config
        elif isinstance(config, dict):
            if isinstance(config.get("name"), str):
                settings[config["name"]] = {**config, "class_name": entry.get("class_name")}
            inner = config.get("layers")
            waiting += inner if isinstance(inner, list) else []
    return settings


def _inside(group: "h5py.Group", name: str, path: Path) -> "h5py.Group":
    """A group within a group of the same file."""
    import h5py

    inner = _follow(group, name, path)
    if not isinstance(inner, h5py.Group):
        raise WeightsError(f"{path}: {name} is no group of weights")
    return inner


def _follow(group: "h5py.Group", name: str, path: Path) -> object:
    """What lies at a name; links could lead out of the file."""
    import h5py

    at: object = group
    for step in name.split("/"):
        if not isinstance(at, h5py.Group) or step not in at or step in ("", ".", ".."):
            raise WeightsError(f"{path} lacks {name}, which it lists")
        if not isinstance(at.get(step, getlink=True), h5py.HardLink):
            raise WeightsError(f"{path}: {name} is a link, not weights")
        at = at[step]
    return at


def _names(group: "h5py.Group", attribute: str, path: Path) -> list[str]:
    """A list of names; long ones are spread over `layer_names0`, `layer_names1`, and so on."""
    if attribute in group.attrs:
        values = list(group.attrs[attribute])
    elif f"{attribute}0" in group.attrs:
        values, index = [], 0
        while f"{attribute}{index}" in group.attrs:
            values += list(group.attrs[f"{attribute}{index}"])
            index += 1
    else:
        where = group.name if group.name != "/" else "its root"
        raise WeightsError(f"{path} is HDF5, but no Keras file: {where} lacks {attribute}")
    return [value.decode() if isinstance(value, bytes) else str(value) for value in values]


def _weight(group: "h5py.Group", name: str, path: Path) -> Weight:
    import h5py

    data = _follow(group, name, path)
    if not isinstance(data, h5py.Dataset) or data.dtype.kind != "f" or data.shape is None:
        kind = data.dtype if isinstance(data, h5py.Dataset) else "a group"
        raise WeightsError(f"{path}: {name} is {kind}, no tensor of floating-point numbers")
    if data.external is not None or data.is_virtual:
        raise WeightsError(f"{path}: {name} lies in another file")
    # Keras does not compress; a shape without its numbers would be filled from nothing.
    stored = min(data.id.get_storage_size(), path.stat().st_size)
    if stored < data.nbytes:
        raise WeightsError(
            f"{path}: {name} is {data.shape}, {data.nbytes} bytes, but holds only {stored}"
        )

    read = functools.partial(_read, data, path)
    return Weight(name=name, shape=tuple(data.shape), read=read)


def _read(data: "h5py.Dataset", path: Path) -> np.ndarray:
    with _complaining(path):
        return np.asarray(data[()])
