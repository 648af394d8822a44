"""What a setting may be, said once, in its type: a `Range` of numbers, or a `Literal`'s words.

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Net:
        kappa: Share = 0.25

        def __post_init__(self) -> None:
            check_settings(self)

The command line makes options of the same fields (`agns.cli.settings_options`).
"""

import dataclasses
import functools
import math
import numbers
import operator
import types
from typing import (
    TYPE_CHECKING,
    Annotated,
    Literal,
    TypeAlias,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from agns.errors import ConfigError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


@dataclasses.dataclass(frozen=True)
class Range:
    """The numbers from one to another, as in `Range("[0, 1)")` or `Range("(0, inf)")`.

    A square bracket takes the end in, a round one leaves it out.
    """

    text: str

    @functools.cached_property
    def low(self) -> float:
        """The lower end."""
        return _number(self.text[1:-1].split(", ")[0])

    @functools.cached_property
    def high(self) -> float:
        """The upper end."""
        return _number(self.text[1:-1].split(", ")[1])

    def __contains__(self, value: float) -> bool:
        above = value >= self.low if self.text[0] == "[" else value > self.low
        return above and (value <= self.high if self.text[-1] == "]" else value < self.high)

    def __str__(self) -> str:
        """As it stands after "must"."""
        if self.high < math.inf:
            return f"lie in {self.text}"
        if self.text[0] == "[":
            return f"be at least {self.low}"
        return f"be above {self.low}" if self.low else "be positive"


def _number(text: str) -> float:
    return float(text) if text in ("inf", "-inf") or "." in text else int(text)


Share: TypeAlias = Annotated[float, Range("[0, 1]")]
Part: TypeAlias = Annotated[float, Range("(0, 1)")]
"""A share that is neither nothing nor all."""
Weight: TypeAlias = Annotated[float, Range("[0, inf)")]
Rate: TypeAlias = Annotated[float, Range("(0, inf)")]
Count: TypeAlias = Annotated[int, Range("[1, inf)")]
Batch: TypeAlias = Annotated[int, Range("[2, inf)")]
Seed: TypeAlias = Annotated[int, Range(f"[0, {2**63 - 1}]")]


@dataclasses.dataclass(frozen=True, slots=True)
class Kind:
    """A field's type, taken apart."""

    plain: object
    """Without `Annotated` and without `None`: `int`, or a `Literal`."""

    range: Range | None
    """The numbers that it may be, or that each may be of which it has many."""

    optional: bool
    """Whether it may be None."""

    many: bool
    """Whether it is a tuple of any length."""


def kind_of(annotation: object) -> Kind:
    """Take a field's type apart.

    Args:
        annotation: `T`, `T | None`, `tuple[T, ...]` or an alias of one, where `T` may be annotated
            with a `Range`.
    """
    if get_origin(annotation) is Annotated:
        inner, *notes = get_args(annotation)
        kind = kind_of(inner)
        own = next((note for note in notes if isinstance(note, Range)), kind.range)
        return dataclasses.replace(kind, range=own)
    if get_origin(annotation) in (Union, types.UnionType):
        others = [one for one in get_args(annotation) if one is not type(None)]
        if len(others) == 1:
            return dataclasses.replace(kind_of(others[0]), optional=True)
    if get_origin(annotation) is tuple and get_args(annotation)[1:] == (...,):
        return dataclasses.replace(kind_of(get_args(annotation)[0]), many=True)
    return Kind(plain=annotation, range=None, optional=False, many=False)


_TYPES: dict[object, tuple[str, type]] = {
    int: ("a whole number", numbers.Integral),
    float: ("a number", numbers.Real),
    bool: ("true or false", bool),
    str: ("text", str),
}


@functools.cache
def _kinds(settings: type) -> dict[str, Kind]:
    """The fields' types, which are text where a module postpones annotations."""
    hints = get_type_hints(settings, include_extras=True)
    return {field.name: kind_of(hints[field.name]) for field in dataclasses.fields(settings)}


def check_settings(settings: "DataclassInstance") -> None:
    """Refuse settings that their types do not allow.

    Raises:
        ConfigError: A value is of another type, a number out of its range, or a word is none of
            those there are.
    """
    kinds = _kinds(type(settings))
    for field in dataclasses.fields(settings):
        kind, value = kinds[field.name], getattr(settings, field.name)
        if value is None and kind.optional:
            continue
        if kind.many and not isinstance(value, tuple):
            raise ConfigError(f"{field.name} must be a tuple, got {value!r}")
        for one in value if kind.many else (value,):
            words, allowed = _TYPES.get(kind.plain, ("", object))
            if not isinstance(one, allowed) or (isinstance(one, bool) and kind.plain is not bool):
                if words:
                    raise ConfigError(f"{field.name} must be {words}, got {one!r}")
            if kind.range is not None and one not in kind.range:
                finite = " and finite" if one == math.inf else ""
                raise ConfigError(f"{field.name} must {kind.range}{finite}, got {one}")
            if get_origin(kind.plain) is Literal and one not in get_args(kind.plain):
                *first, last = map(str, get_args(kind.plain))
                words = f"{', '.join(first)} or {last}" if first else last
                raise ConfigError(f"{field.name} must be {words}, got {one!r}")


def whole(value: object, what: str, least: int = 0, most: int = 2**64 - 1) -> int:
    """A whole number that somebody gave, be it NumPy's.

    Raises:
        ConfigError: It is none, or out of its range.
    """
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise ConfigError(f"{what} must be a whole number, got {value!r:.80}")
    number = operator.index(value)
    if not least <= number <= most:
        bound = f"at least {least}" if number < least else f"at most {most}"
        raise ConfigError(f"{what} must be {bound}, got {number}")
    return number
