"""The .mat format of MATLAB 7.3: HDF5 with MATLAB's attributes.

Axes are reversed, for MATLAB is column-major. `MATLAB_class` tells what a dataset is: numbers;
text as codes of 16 bits; a cell array as references into `#refs#`. A struct is a group; of a
struct array, each field is a dataset of references without a class. An empty array keeps its
shape in place of its numbers. What objects were saved as lies in `#subsystem#/MCOS`.
"""

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from agns.errors import WeightsError
from agns.models.importing.matvalues import Budget, MatFile, Opaque

if TYPE_CHECKING:
    import h5py


def read_mat73(path: Path) -> MatFile:
    """Read a file of MATLAB 7.3.

    Raises:
        WeightsError: It is damaged, declares absurd sizes, or h5py is missing.
    """
    try:
        import h5py
    except ImportError as error:
        raise WeightsError(
            f"{path} is a MATLAB 7.3 file, which needs h5py: pip install h5py"
        ) from error
    try:
        with h5py.File(path, "r") as opened:
            reader = _Reader(path, opened)
            names = [name for name in _names(opened) if not name.startswith("#")]
            variables = {name: reader.member(opened, name, 0) for name in names}
            return MatFile(variables=variables, objects=reader.objects())
    # What h5py raises on damaged files.
    except (OSError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise WeightsError(f"{path} is cut short or damaged: {error}") from error


class _Reader:
    """Reads values out of an opened file."""

    def __init__(self, path: Path, opened: "h5py.File") -> None:
        self.path, self.opened, self.budget = path, opened, Budget(path)

    def member(self, group: "h5py.Group", name: str, depth: int) -> object:
        """The value under a name; links out of the file are not followed."""
        import h5py

        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise WeightsError(f"{self.path}: {group.name}/{name} is a link")
        return self.value(group[name], depth)

    def objects(self) -> list[object]:
        """What the file's objects were saved as."""
        if "#subsystem#" not in self.opened:
            return []
        found = self.member(self.opened, "#subsystem#", 0)
        wrapped = found.get("MCOS") if isinstance(found, dict) else None
        content = wrapped.content if isinstance(wrapped, Opaque) else wrapped
        return content if isinstance(content, list) else []

    def value(self, node: object, depth: int) -> object:
        """A dataset or group as a plain value."""
        import h5py

        self.budget.enter(1, depth)
        if isinstance(node, h5py.Group):
            return self._struct(node, depth)
        if not isinstance(node, h5py.Dataset) or node.shape is None:
            return None
        kind = _class_of(node)
        octets = math.prod(node.shape) * node.dtype.itemsize
        if node.external or node.is_virtual:
            raise WeightsError(f"{self.path}: {node.name} keeps its numbers in another file")
        self.budget.take(octets)
        if node.attrs.get("MATLAB_empty"):
            return {"char": "", "cell": [], "struct": []}.get(kind, np.empty((0, 0)))
        if h5py.check_ref_dtype(node.dtype) is h5py.Reference:
            cells = self._referred(node, depth)
            return Opaque(name=kind, content=cells) if kind == "FileWrapper__" else cells
        if node.dtype.kind not in "fiu":
            return None
        values: np.ndarray = np.asarray(node[()]).T
        if kind == "char":
            return _text(values)
        if "MATLAB_object_decode" in node.attrs:
            return Opaque(name=kind, content=values)
        return values

    def _referred(self, node: "h5py.Dataset", depth: int) -> list[object]:
        # Reversed axes, last index fastest, are MATLAB's axes, first index fastest.
        self.budget.enter(math.prod(node.shape), depth)
        return [
            self.value(self.opened[reference], depth + 1) if reference else None
            for reference in np.asarray(node[()]).ravel()
        ]

    def _struct(self, group: "h5py.Group", depth: int) -> object:
        import h5py

        fields = {name: self.member(group, name, depth + 1) for name in _names(group)}
        spread = [
            name
            for name in fields
            if isinstance(group[name], h5py.Dataset)
            and h5py.check_ref_dtype(group[name].dtype) is h5py.Reference
            and not _class_of(group[name])
        ]
        if not spread or len(spread) < len(fields):
            return fields
        columns = [value for value in fields.values() if isinstance(value, list)]
        if len({len(column) for column in columns}) != 1:
            raise WeightsError(f"{self.path}: the fields of {group.name} differ in length")
        return [dict(zip(fields, row, strict=True)) for row in zip(*columns, strict=True)]


def _names(group: "h5py.Group") -> list[str]:
    """Names of a group's members; h5py gives those that are no text as bytes."""
    return [name if isinstance(name, str) else name.decode("latin-1") for name in group]


def _class_of(node: "h5py.Dataset") -> str:
    name = node.attrs.get("MATLAB_class", b"")
    return name.decode("latin-1") if isinstance(name, bytes) else str(name)


def _text(codes: np.ndarray) -> object:
    """A string, or a list of the rows of several."""
    rows = [
        row.astype("<u2").tobytes().decode("utf-16-le", "replace")
        for row in codes.reshape(codes.shape[0] if codes.ndim else 1, -1)
    ]
    return rows[0] if len(rows) == 1 else [row.rstrip() for row in rows]
