"""Operations of foreign files as steps, whatever system they come from, and what bounds them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from torch import Tensor

from agns.errors import WeightsError

MOST_STEPS = 20_000
MOST_NUMBERS = 1 << 27
"""In one value, for the batch that a file is made for."""

Value: TypeAlias = Tensor | None
"""None where an operation is not given one of its inputs."""

Run: TypeAlias = Callable[..., Tensor | Sequence[Tensor]]


class Refused(Exception):
    """Why an operation cannot be run; where it stands is added by who reads the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One operation of a file."""

    what: str
    """Its kind and name, for messages."""

    run: Run
    inputs: tuple[str, ...]
    """Names of values; empty for one that is left out."""

    outputs: tuple[str, ...]
    reshapes: bool = False
    """Whether the second input holds the sizes that the first is given."""

    reads: bool = False
    """Whether inputs after the first are read as figures, and not computed with."""

    work: Callable[..., int] = lambda *_: 1
    """From the inputs: multiplications for each number that comes out."""


def within(sizes: Iterable[int]) -> tuple[int, ...]:
    """Sizes of a value that is about to be made.

    Raises:
        Refused: One is negative, or they are too large together.
    """
    found = tuple(int(size) for size in sizes)
    count = 1
    for size in found:
        if size < 0:
            raise Refused(f"a size is {size}")
        count *= size
    if count > MOST_NUMBERS:
        raise Refused(f"a value of {found} is larger than anything that a face network needs")
    return found


def integers(value: Tensor) -> list[int]:
    """Sizes, axes or places in a value of integers.

    Raises:
        Refused: They come of photos, or are too many.
    """
    if value.is_meta or value.is_floating_point():
        raise Refused("sizes, axes and places should be integers that no photo changes")
    return [int(number) for number in value.flatten().tolist()]


def leading_to(
    answer: str, wiring: Sequence[tuple[Sequence[str], Sequence[str]]], path: Path
) -> list[int]:
    """Which of a file's operations, (inputs, outputs) each, an answer needs.

    Raises:
        WeightsError: Two write the same value, or there are too many.
    """
    if len(wiring) > MOST_STEPS:
        raise WeightsError(f"{path} has {len(wiring)} operations, more than {MOST_STEPS}")
    made = [name for _, outputs in wiring for name in outputs if name]
    if len(set(made)) < len(made):
        raise WeightsError(f"{path} is damaged: two of its operations make the same value")
    needed, kept = {answer}, []
    for number in reversed(range(len(wiring))):
        inputs, outputs = wiring[number]
        if needed & set(outputs):
            needed.update(inputs)
            kept.append(number)
    return kept[::-1]
