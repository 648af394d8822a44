"""The .mat format of MATLAB 5 to 7 ("MAT-File Format", MathWorks).

A file is a header of 128 bytes and then elements: a tag (type, bytes) and data, padded to eight
bytes. An array is an element of elements: flags, shape, name, numbers or further arrays; each may
be compressed as a whole. Objects of classes hold only a number; what they were saved as lies in an
unnamed array of bytes that is a small .mat file itself, in the cells of a `FileWrapper__`.

Read here rather than through SciPy, which does not follow objects and allocates what a compressed
array unpacks to without a limit.
"""

import math
import mmap
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from agns.errors import WeightsError
from agns.models.importing.matfile import MAX_ITEMS, Budget, MatFile, Opaque, entries, member

_NUMBERS = {
    1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8",
}  # fmt: skip
_TEXTS = {1: "latin-1", 2: "utf-8", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
_NARROW = (1, 2, 16)
_ARRAY, _COMPRESSED = 14, 15
_CELL, _STRUCT, _OBJECT, _CHAR, _SPARSE, _FUNCTION, _OPAQUE = 1, 2, 3, 4, 5, 16, 17
_DOUBLE, _SINGLE = 6, 7
_COMPLEX = 0x800
_MOST_AXES = 32
_HEADER = 128
_SUBHEADER = 8


def read_mat5(path: Path) -> MatFile:
    """Read a file of MATLAB 5 to 7.

    Raises:
        WeightsError: It is damaged, or declares absurd sizes.
    """
    with path.open("rb") as opened:
        # Arrays that are not compressed are views of the file.
        view = memoryview(mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ))
    budget = Budget(path)
    reader = _Reader(path, budget, "<" if bytes(view[126:128]) == b"IM" else ">")
    variables = dict(reader.variables(view[_HEADER:]))
    hidden = variables.pop("", None)
    if not isinstance(hidden, np.ndarray) or hidden.dtype != np.uint8:
        return MatFile(variables=variables)
    inner = hidden.ravel(order="F").data
    reader = _Reader(path, budget, "<" if bytes(inner[2:4]) == b"IM" else ">")
    wrapper = next((value for name, value in reader.variables(inner[_SUBHEADER:])), None)
    holder = member(wrapper, "MCOS")
    return MatFile(
        variables=variables,
        objects=entries(holder.content) if isinstance(holder, Opaque) else [],
    )


class _Reader:
    """Reads elements in one byte order, "<" or ">"."""

    def __init__(self, path: Path, budget: Budget, order: str) -> None:
        self.path, self.budget, self.order = path, budget, order

    def variables(self, view: memoryview) -> Iterator[tuple[str, object]]:
        """The arrays side by side in a view, with their names."""
        at = 0
        while at + 8 <= len(view):
            kind, octets = struct.unpack_from(self.order + "II", view, at)
            data = view[at + 8 : at + 8 + octets]
            if len(data) < octets:
                raise self._damaged(f"an array of {octets} bytes runs past its end")
            at += 8 + octets
            if kind == _COMPRESSED:
                kind, data = self._unpacked(data)
            if kind == _ARRAY:
                yield self._array(data, 0)

    def _damaged(self, why: str) -> WeightsError:
        return WeightsError(f"{self.path} is cut short or damaged: {why}")

    def _unpacked(self, data: memoryview) -> tuple[int, memoryview]:
        try:
            tag = zlib.decompressobj().decompress(data[:4096], 8)
            if len(tag) < 8:
                raise self._damaged("a compressed array is empty")
            kind, octets = struct.unpack(self.order + "II", tag)
            self.budget.take(octets)
            unpacked = zlib.decompressobj().decompress(data, 8 + octets)
        except zlib.error as error:
            raise self._damaged(f"a compressed array does not unpack ({error})") from error
        if len(unpacked) < 8 + octets:
            raise self._damaged(f"a compressed array has {len(unpacked)} bytes, not {8 + octets}")
        return kind, memoryview(unpacked)[8:]

    def _element(self, view: memoryview, at: int) -> tuple[int, memoryview, int]:
        """The type and data of the element at a place, and where the next one begins."""
        if at + 8 > len(view):
            raise self._damaged("an array ends within an element")
        kind, octets = struct.unpack_from(self.order + "II", view, at)
        if kind >> 16:  # four bytes or fewer, packed into the tag
            kind, octets, start, after = kind & 0xFFFF, kind >> 16, at + 4, at + 8
        else:
            start, after = at + 8, at + 8 + -(-octets // 8) * 8
        if octets > (4 if after == at + 8 and start == at + 4 else len(view) - start):
            raise self._damaged(f"an element of {octets} bytes runs past its array's end")
        return kind, view[start : start + octets], after

    def _array(self, view: memoryview, depth: int) -> tuple[str, object]:
        """Name and value of an array."""
        self.budget.enter(1, depth)
        if len(view) == 0:
            return "", np.empty((0, 0))
        _, flags, at = self._element(view, 0)
        if len(flags) < 4:
            raise self._damaged("an array has no flags")
        (word,) = struct.unpack_from(self.order + "I", flags)
        kind = word & 0xFF
        if kind == _OPAQUE:
            return self._opaque(view, at, depth)
        stored, data, at = self._element(view, at)
        shape = self._shape(self._plain(stored, data))
        _, title, at = self._element(view, at)
        name = bytes(title).decode("latin-1")
        if kind == _CELL:
            return name, self._cells(view, at, math.prod(shape), depth)
        if kind in (_STRUCT, _OBJECT):
            if kind == _OBJECT:
                _, _, at = self._element(view, at)
            return name, self._structs(view, at, math.prod(shape), depth)
        if kind in (_SPARSE, _FUNCTION) or word & _COMPLEX:
            return name, None
        stored, data, _ = self._element(view, at)
        if kind == _CHAR:
            return name, self._text(stored, data, shape)
        values = self._plain(stored, data)
        if kind in (_DOUBLE, _SINGLE) and values.dtype.kind != "f":
            # Whole numbers of these classes are kept in as few bytes as hold them.
            self.budget.take(8 * values.size)
            values = values.astype(np.float64)
        if values.size != math.prod(shape):
            raise self._damaged(f"{name or 'an array'} is {shape} and holds {values.size} numbers")
        if not values.size:
            # Beside a side of 0, others may be larger than those of any array.
            shape = tuple(min(size, 1) for size in shape)
        return name, values.reshape(shape, order="F")

    def _shape(self, sizes: np.ndarray) -> tuple[int, ...]:
        """An array's shape, which the format gives as whole numbers of 32 bits."""
        if not 1 <= sizes.size <= _MOST_AXES or not ((sizes >= 0) & (sizes < 1 << 31)).all():
            raise self._damaged(f"an array has the shape {sizes[:_MOST_AXES].tolist()}")
        return tuple(int(size) for size in sizes)

    def _plain(self, stored: int, data: memoryview) -> np.ndarray:
        if stored not in _NUMBERS:
            raise self._damaged(f"numbers are of the unknown type {stored}")
        dtype = np.dtype(self.order + _NUMBERS[stored])
        if len(data) % dtype.itemsize:
            raise self._damaged(f"{len(data)} bytes hold numbers of {dtype.itemsize} bytes")
        return np.frombuffer(data, dtype)

    def _text(self, stored: int, data: memoryview, shape: tuple[int, ...]) -> object:
        """A string, or a list of the rows of several."""
        if stored not in _TEXTS:
            raise self._damaged(f"text is of the unknown type {stored}")
        code = _TEXTS[stored] + ("" if stored in _NARROW else "-le" if self.order == "<" else "-be")
        text = bytes(data).decode(code, "replace")
        if shape[0] < 2 or len(text) != math.prod(shape):
            return text
        return [text[row :: shape[0]].rstrip() for row in range(shape[0])]

    def _nested(self, view: memoryview, at: int, depth: int) -> tuple[object, int]:
        kind, data, after = self._element(view, at)
        if kind != _ARRAY:
            raise self._damaged(f"a cell or field holds an element of type {kind}")
        return self._array(data, depth + 1)[1], after

    def _cells(self, view: memoryview, at: int, count: int, depth: int) -> list[object]:
        if count * 8 > len(view) - at:
            raise self._damaged(f"a cell array of {count} entries runs past its end")
        cells = []
        for _ in range(count):
            value, at = self._nested(view, at, depth)
            cells.append(value)
        return cells

    def _structs(self, view: memoryview, at: int, count: int, depth: int) -> object:
        stored, data, at = self._element(view, at)
        width = self._plain(stored, data)
        _, titles, at = self._element(view, at)
        if width.size != 1 or not 1 <= width[0] <= MAX_ITEMS or len(titles) % width[0]:
            raise self._damaged("a struct's fields have no names")
        step = int(width[0])
        names = [
            bytes(titles[start : start + step]).split(b"\0")[0].decode("latin-1")
            for start in range(0, len(titles), step)
        ]
        if count * max(1, len(names)) * 8 > len(view) - at and not (count == 1 and not names):
            raise self._damaged(f"a struct array of {count} entries runs past its end")
        found = []
        for _ in range(count):
            fields = {}
            for name in names:
                fields[name], at = self._nested(view, at, depth)
            found.append(fields)
        return found[0] if count == 1 else found

    def _opaque(self, view: memoryview, at: int, depth: int) -> tuple[str, Opaque]:
        """An object: its variable's name, "MCOS", its class, and an array in its place."""
        words = []
        while True:
            kind, data, after = self._element(view, at)
            if kind == _ARRAY:
                break
            words.append(bytes(data).decode("latin-1"))
            at = after
        _, content = self._array(data, depth + 1)
        return words[0] if words else "", Opaque(name=words[-1] if words else "", content=content)
