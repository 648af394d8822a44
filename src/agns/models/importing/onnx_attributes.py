"""Settings of ONNX's operations, of which none that stands in a file is passed over."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

from torch import Tensor

from agns.models.importing.foreign_step import Refused, Run, Value, integers

Attribute: TypeAlias = int | float | str | Tensor | list[int] | list[float]
_Plain = TypeVar("_Plain", int, float, str)


@dataclass(frozen=True, slots=True)
class Attributes:
    """Settings of one operation; who builds it asks for each that it has."""

    given: Mapping[str, Attribute]
    opset: int
    """The version of ONNX's operators."""

    asked: set[str] = field(default_factory=set)

    def get(self, name: str, usual: _Plain) -> _Plain:
        """A number or text, or what is usual where it is left out."""
        self.asked.add(name)
        value = self.given.get(name, usual)
        if isinstance(usual, float) and isinstance(value, int):
            value = float(value)
        if not isinstance(value, type(usual)):
            raise Refused(f"{name} should be of type {type(usual).__name__}")
        return value

    def integers(self, name: str) -> list[int] | None:
        """A list; None where it is left out."""
        self.asked.add(name)
        value = self.given.get(name)
        if value is None:
            return None
        if not isinstance(value, list) or not all(isinstance(one, int) for one in value):
            raise Refused(f"{name} should be a list of integers")
        return [int(one) for one in value]

    def tensor(self, name: str) -> Tensor | None:
        """Numbers; None where they are left out."""
        self.asked.add(name)
        value = self.given.get(name)
        return value if isinstance(value, Tensor) else None

    def expect(self, **usual: Attribute) -> None:
        """Refuse attributes that have another value than the one that is read."""
        self.asked.update(usual)
        for name, value in usual.items():
            if self.given.get(name, value) != value:
                raise Refused(f"{name} = {self.given[name]} is not read, only {value}")

    def ignore(self, *names: str) -> None:
        """Leave out what changes nothing here."""
        self.asked.update(names)


def along_axes(a: Attributes, function: Callable[[Tensor, list[int]], Tensor]) -> Run:
    """A function of axes, which are an attribute or the second input."""
    own = a.integers("axes")

    def run(x: Tensor, axes: Value = None) -> Tensor:
        return function(x, own or [] if axes is None else integers(axes))

    return run


def axes_of(axes: Sequence[int], value: Tensor) -> list[int]:
    """Axes of a value, counted from the first."""
    if any(not -value.ndim <= axis < value.ndim for axis in axes):
        raise Refused(f"there are no axes {list(axes)} of {value.ndim}")
    return [axis % value.ndim for axis in axes]
