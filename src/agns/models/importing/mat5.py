"""The .mat format of MATLAB 5 to 7 ("MAT-File Format", MathWorks).

A file is a header of 128 bytes and then elements: a tag (type, bytes) and data, padded to eight
bytes. An array is an element of elements: flags, shape, name, numbers or further arrays; each may
be compressed as a whole. Objects of classes hold only a number; what they were saved as lies in an
unnamed array of bytes that is a small .mat file itself, in the cells of a `FileWrapper__`.

Read here rather than through SciPy: of 3,000 files with one to four bytes changed, its reader (of
1.17) ended the process on 68 and ran out of memory or time on 29, so that all that it is given
would have to be walked through first.
"""

import math
import mmap
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from agns.errors import WeightsError
from agns.models.importing.matvalues import MAX_ITEMS, Budget, MatFile, Opaque, entries, member

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

Elements = Iterator[tuple[int, memoryview]]
"""Types and data of the elements of an array; it complains where the next one is missing."""


def read_mat5(path: Path) -> MatFile:
    """Read a file of MATLAB 5 to 7.

    Raises:
        WeightsError: It is damaged, or declares absurd sizes.
    """
    with path.open("rb") as opened:
        # Arrays that are not compressed are views of the file.
        view = memoryview(mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ))
    budget = Budget(path)
    variables = dict(_Reader(budget, view[126:128]).variables(view[128:]))
    hidden = variables.pop("", None)
    if not isinstance(hidden, np.ndarray) or hidden.dtype != np.uint8:
        return MatFile(variables=variables)
    inner = hidden.ravel(order="F").data
    wrapper = next((value for _, value in _Reader(budget, inner[2:4]).variables(inner[8:])), None)
    holder = member(wrapper, "MCOS")
    objects = entries(holder.content) if isinstance(holder, Opaque) else []
    return MatFile(variables=variables, objects=objects)


class _Reader:
    """Reads elements in one byte order, which a mark tells: "IM" or "MI"."""

    def __init__(self, budget: Budget, mark: memoryview) -> None:
        self.budget, self.order = budget, "<" if bytes(mark) == b"IM" else ">"

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
        return WeightsError(f"{self.budget.path} is cut short or damaged: {why}")

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

    def _elements(self, view: memoryview) -> Elements:
        at = 0
        while at + 8 <= len(view):
            kind, octets = struct.unpack_from(self.order + "II", view, at)
            small = kind >> 16  # four bytes or fewer, packed into the tag
            if small:
                kind, octets = kind & 0xFFFF, small
            start = at + (4 if small else 8)
            if octets > (4 if small else len(view) - start):
                raise self._damaged(f"an element of {octets} bytes runs past its array's end")
            yield kind, view[start : start + octets]
            at += 8 if small else 8 + -(-octets // 8) * 8
        raise self._damaged("an array ends within an element")

    def _array(self, view: memoryview, depth: int) -> tuple[str, object]:
        """Name and value of an array."""
        self.budget.enter(1, depth)
        if len(view) == 0:
            return "", np.empty((0, 0))
        parts = self._elements(view)
        _, flags = next(parts)
        if len(flags) < 4:
            raise self._damaged("an array has no flags")
        (word,) = struct.unpack_from(self.order + "I", flags)
        kind = word & 0xFF
        if kind == _OPAQUE:
            return self._opaque(parts, depth)
        sizes = self._plain(*next(parts))
        if not 1 <= sizes.size <= _MOST_AXES or not ((sizes >= 0) & (sizes < 1 << 31)).all():
            raise self._damaged(f"an array has the shape {sizes[:_MOST_AXES].tolist()}")
        shape = tuple(int(size) for size in sizes)
        name = bytes(next(parts)[1]).decode("latin-1")
        if kind == _CELL:
            return name, [self._nested(parts, depth) for _ in range(math.prod(shape))]
        if kind in (_STRUCT, _OBJECT):
            if kind == _OBJECT:
                next(parts)
            return name, self._structs(parts, math.prod(shape), depth)
        if kind in (_SPARSE, _FUNCTION) or word & _COMPLEX:
            return name, None
        stored, data = next(parts)
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

    def _nested(self, parts: Elements, depth: int) -> object:
        kind, data = next(parts)
        if kind != _ARRAY:
            raise self._damaged(f"a cell or field holds an element of type {kind}")
        return self._array(data, depth + 1)[1]

    def _structs(self, parts: Elements, count: int, depth: int) -> object:
        width, titles = self._plain(*next(parts)), next(parts)[1]
        if width.size != 1 or not 1 <= width[0] <= MAX_ITEMS or len(titles) % width[0]:
            raise self._damaged("a struct's fields have no names")
        step = int(width[0])
        names = [
            bytes(titles[start : start + step]).split(b"\0")[0].decode("latin-1")
            for start in range(0, len(titles), step)
        ]
        if not names and count > 1:
            raise self._damaged(f"a struct array of {count} entries has no fields")
        found = [{name: self._nested(parts, depth) for name in names} for _ in range(count)]
        return found[0] if count == 1 else found

    def _opaque(self, parts: Elements, depth: int) -> tuple[str, Opaque]:
        """An object: its variable's name, "MCOS", its class, and an array in its place."""
        words = []
        while (part := next(parts))[0] != _ARRAY:
            words.append(bytes(part[1]).decode("latin-1"))
        content = self._array(part[1], depth + 1)[1]
        return words[0] if words else "", Opaque(name=words[-1] if words else "", content=content)
