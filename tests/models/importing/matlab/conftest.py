"""Files in MATLAB's own layouts: 5 by SciPy, 7.3 by h5py, and objects byte by byte."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io

Write = Callable[[Path, dict[str, object]], Path]


@pytest.fixture(scope="session")
def cell() -> Callable[..., np.ndarray]:
    """A cell array of the values given, one row."""

    def made(*values: object) -> np.ndarray:
        array = np.empty((1, len(values)), dtype=object)
        for index, value in enumerate(values):
            array[0, index] = value
        return array

    return made


@pytest.fixture(scope="session")
def structs() -> Callable[[list[dict[str, object]]], np.ndarray]:
    """A struct array of the rows given."""

    def made(rows: list[dict[str, object]]) -> np.ndarray:
        array = np.empty((1, len(rows)), dtype=[(name, object) for name in rows[0]])
        for index, row in enumerate(rows):
            array[0, index] = tuple(row.values())
        return array

    return made


class Writer73:
    """Writes values as MATLAB 7.3 does."""

    def __init__(self, opened: h5py.File) -> None:
        self.refs, self.count = opened.require_group("#refs#"), 0

    def refer(self, value: object) -> h5py.Reference:
        name, self.count = f"r{self.count}", self.count + 1
        self.put(self.refs, name, value)
        return self.refs[name].ref

    def references(self, values: np.ndarray) -> np.ndarray:
        found = np.empty(values.T.shape, dtype=h5py.ref_dtype)
        for at in np.ndindex(values.shape):
            found[at[::-1]] = self.refer(values[at])
        return found

    def put(self, group: h5py.Group, name: str, value: object) -> None:
        if isinstance(value, dict):
            node = group.create_group(name)
            for key, entry in value.items():
                self.put(node, key, entry)
            node.attrs["MATLAB_class"] = np.bytes_("struct")
            return
        if isinstance(value, np.ndarray) and value.dtype.names:
            node = group.create_group(name)
            for key in value.dtype.names:
                node.create_dataset(key, data=self.references(value[key]))
            node.attrs["MATLAB_class"] = np.bytes_("struct")
            return
        if isinstance(value, str):
            kind, array = "char", np.array([[ord(letter) for letter in value]], dtype=np.uint16)
        else:
            array = np.atleast_2d(np.asarray(value))
            kind = {"f4": "single", "f8": "double"}.get(array.dtype.str[1:], array.dtype.name)
        if array.dtype == object:
            kind = "cell"
        if array.size == 0:
            node = group.create_dataset(name, data=np.array(array.shape, dtype=np.uint64))
            node.attrs["MATLAB_empty"] = np.uint8(1)
        elif kind == "cell":
            node = group.create_dataset(name, data=self.references(array))
        else:
            node = group.create_dataset(name, data=np.ascontiguousarray(array.T))
        node.attrs["MATLAB_class"] = np.bytes_(kind)


def write73(path: Path, variables: dict[str, object], *, header: bool = True) -> Path:
    with h5py.File(path, "w", userblock_size=512 if header else 0) as opened:
        writer = Writer73(opened)
        for name, value in variables.items():
            writer.put(opened, name, value)
    if header:
        with path.open("r+b") as opened:
            opened.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")
    return path


@pytest.fixture(scope="session")
def write_mat73() -> Callable[..., Path]:
    return write73


def write5(path: Path, variables: dict[str, object], *, compressed: bool = False) -> Path:
    scipy.io.savemat(path, variables, do_compression=compressed)
    return path


@pytest.fixture(params=["5", "7", "7.3"])
def write_mat(request: pytest.FixtureRequest) -> Write:
    """Writes a file of one of MATLAB's formats; 7 is 5 with compression."""
    if request.param == "7.3":
        return write73
    return lambda path, variables: write5(path, variables, compressed=request.param == "7")


@pytest.fixture(scope="session")
def write_mat5() -> Callable[..., Path]:
    return write5


def element(kind: int, data: bytes) -> bytes:
    return struct.pack("<II", kind, len(data)) + data + b"\0" * (-len(data) % 8)


def array(value: object, name: str = "") -> bytes:
    """One array of the format 5, as an element."""

    def headed(kind: int, shape: tuple[int, ...], body: bytes) -> bytes:
        flags = element(6, struct.pack("<II", kind, 0))
        sizes = element(5, struct.pack(f"<{len(shape)}i", *shape))
        return element(14, flags + sizes + element(1, name.encode()) + body)

    if isinstance(value, tuple):  # an object: its class, and what stands in its place
        words = b"".join(element(1, word.encode()) for word in (name, "MCOS", value[0]))
        return element(14, element(6, struct.pack("<II", 17, 0)) + words + array(value[1]))
    if isinstance(value, str):
        return headed(4, (1, len(value)), element(17, value.encode("utf-16-le")))
    rows = value if isinstance(value, np.ndarray) and value.dtype.names else None
    if isinstance(value, dict) or rows is not None:
        keys = list(value) if rows is None else list(rows.dtype.names)
        titles = b"".join(key.encode().ljust(32, b"\0") for key in keys)
        body = element(5, struct.pack("<i", 32)) + element(1, titles)
        entries = [value] if rows is None else [{k: row[k] for k in keys} for row in rows.ravel()]
        body += b"".join(array(entry[key]) for entry in entries for key in keys)
        return headed(2, (1, 1) if rows is None else rows.shape, body)
    plain = np.atleast_2d(np.asarray(value))
    if plain.dtype == object:
        body = b"".join(array(entry) for entry in plain.ravel(order="F"))
        return headed(1, plain.shape, body)
    stored, kind = {"f4": (7, 7), "f8": (9, 6), "u1": (2, 9), "u4": (6, 13)}[plain.dtype.str[1:]]
    return headed(kind, plain.shape, element(stored, plain.tobytes(order="F")))


@pytest.fixture(scope="session")
def write_object(cell: Callable[..., np.ndarray]) -> Callable[..., Path]:
    """A file whose variable is an object that its class saved as a structure."""

    def write(path: Path, name: str, kind: str, saved: dict[str, object]) -> Path:
        cells = cell(np.zeros((1, 40), np.uint8), np.zeros((0, 0)), saved, cell(), cell())
        inner = b"\x00\x01IM\0\0\0\0" + array({"MCOS": ("FileWrapper__", cells.T)})
        place = np.array([0xDD000000, 2, 1, 1, 1, 1], np.uint32).reshape(6, 1)
        content = b""
        for part in (array((kind, place), name), array(np.frombuffer(inner, np.uint8)[None])):
            packed = zlib.compress(part)
            content += struct.pack("<II", 15, len(packed)) + packed
        header = b"MATLAB 5.0 MAT-file".ljust(116) + struct.pack("<Q", 128) + b"\x00\x01IM"
        path.write_bytes(header + content)
        return path

    return write
