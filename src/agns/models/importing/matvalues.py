"""What MATLAB's .mat files hold, as plain values.

Convention, the same for both formats:
    Numbers are NumPy arrays of MATLAB's shape, rows first; text is a string. Cell arrays are
    lists in MATLAB's order (first index fastest). A 1x1 struct is a dictionary, and any other
    struct array a list of dictionaries, like a cell array of structs. An object is `Opaque`.
    What cannot hold weights (sparse matrices, functions) is None.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from torch import Tensor

from agns.errors import WeightsError
from agns.models.importing.imported import to_tensor

MAX_BYTES = 2**31
"""Most that one file may unpack to: twice VGG-Face in single precision, and then some."""
MAX_ITEMS = 1_000_000
"""Most arrays, cells and fields that one file may hold."""
MAX_DEPTH = 32
"""Most structs and cells within one another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opaque:
    """An object of a MATLAB class; what it holds is kept apart, in `MatFile.objects`."""

    name: str
    """Name of the class."""

    content: object
    """What stands in its place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MatFile:
    """All that a .mat file holds."""

    variables: dict[str, object]
    """By name."""

    objects: list[object] = field(default_factory=list)
    """What the objects among them were saved as: properties, or what their `saveobj` returned."""


@dataclass(slots=True)
class Budget:
    """What is left of the most that one file may unpack to."""

    path: Path
    octets: int = field(default_factory=lambda: MAX_BYTES)
    items: int = field(default_factory=lambda: MAX_ITEMS)

    def take(self, octets: int) -> None:
        """Spend bytes, before they are allocated.

        Raises:
            WeightsError: The file declares more than weights can need.
        """
        self.octets -= octets
        if self.octets < 0:
            raise WeightsError(
                f"{self.path} declares arrays of more than {MAX_BYTES >> 20} MiB together"
            )

    def enter(self, count: int, depth: int) -> None:
        """Spend items, and see that they do not lie too deep.

        Raises:
            WeightsError: They are too many, or too deep.
        """
        self.items -= count
        if self.items < 0:
            raise WeightsError(f"{self.path} declares more than {MAX_ITEMS} arrays")
        if depth > MAX_DEPTH:
            raise WeightsError(f"{self.path} nests structs and cells more than {MAX_DEPTH} deep")


def entries(value: object) -> list[object]:
    """A cell or struct array as a list; what stands alone is a list of one, what is empty none."""
    if isinstance(value, list):
        return value
    if value is None or (isinstance(value, np.ndarray) and value.size == 0):
        return []
    return [value]


def texts(value: object) -> list[str]:
    """The strings in a cell array, or the one string."""
    return [entry for entry in entries(value) if isinstance(entry, str)]


def member(value: object, *names: str) -> object:
    """A field of a field of a struct; None where there is none."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def numbers(value: object, what: str, path: Path) -> np.ndarray:
    """An array of real numbers.

    Args:
        value: What should be one.
        what: Its name in the complaint.
        path: Where it came from.

    Raises:
        WeightsError: It is something else.
    """
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiu":
        raise WeightsError(f"{path}: {what} is not an array of real numbers")
    return value


def weights(value: object, what: str, path: Path) -> np.ndarray:
    """An array of single or double precision.

    Raises:
        WeightsError: It is something else, or holds whole numbers, as quantisation does.
    """
    array = numbers(value, what, path)
    if array.dtype.kind != "f":
        raise WeightsError(f"{path}: {what} is {array.dtype}, and weights are single or double")
    return array


def tensor_of(value: object, what: str, path: Path) -> Tensor:
    """`weights` as float32, rows first; which must be finite."""
    return to_tensor(weights(value, what, path), f"{path}: {what}")
