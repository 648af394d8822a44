"""A network out of a foreign file as a PyTorch module: its operations in order, with gradients.

The file is not trusted. Its operations first run without memory (on PyTorch's device `meta`), which
tells each value's size and each operation's work before anything is reserved; what is too large, or
does not fit together, is refused with the operation at which it shows.

A file may be made for batches of one size. Where it sets sizes, its batch is replaced by ours; then
photos together are compared with the same one by one.
"""

import contextlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from agns.errors import ImageContractError, WeightsError, why
from agns.models.importing.foreign_step import Refused, Step, Value, leading_to, within

_MOST_WORK = 1 << 40
"""Multiplications for the batch that a file is made for."""

_MOST_HELD = 1 << 29
"""Numbers in all values that are needed at once, for the same batch, beside the file's own."""

_KNOWN_INTEGERS, _KNOWN_FLOATS = 4096, 64
"""Values of so many numbers are computed while a file is read, as sizes may depend on them."""

_TRIED = 3
"""Photos with which a batch is tried."""

_ROUNDING = 1e-4
"""How far photos together may differ from the same one by one, of the largest number."""

_MISFITS = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""What operations raise on values that do not fit them."""


class ForeignNetwork(nn.Module):
    """What a foreign file computes: (batch, 3, height, width) in its own range to (batch, numbers).

    Args:
        path: The file, for messages.
        steps: Its operations, each after those whose values it needs.
        constants: Its numbers by name; those with fractions become parameters that do not train.
        given: Name of the value that pictures become.
        shape: Its sizes in the file: the batch that the file is made for, and the picture's.
        answer: Name of the value that comes out.
        channels_last: Whether the file takes pictures so; the module takes channels first.

    Raises:
        WeightsError: The operations do not fit together, or are too many or too large.
    """

    def __init__(
        self,
        path: Path,
        steps: Sequence[Step],
        constants: Mapping[str, Tensor],
        *,
        given: str,
        shape: Sequence[int],
        answer: str,
        channels_last: bool = False,
    ) -> None:
        super().__init__()
        self._path, self._given, self._answer = path, given, answer
        self._channels_last, self._singly = channels_last, False
        self._batch = shape[0]
        self.checked = ""
        """How its answers compare with those of the file's own runtime, where that was tried."""
        self.size: tuple[int, int] = (shape[1], shape[2]) if channels_last else (shape[2], shape[3])
        """Height and width in pixels of the pictures that it takes."""
        self._steps, constants = _arranged(path, steps, constants, given, shape, answer)
        used = {name for step in self._steps for name in step.inputs}
        self._weights: dict[str, str] = {}
        self._integers: dict[str, Tensor] = {}
        for name, value in constants.items():
            if name not in used:
                continue
            if value.is_floating_point():
                self._weights[name] = f"value_{len(self._weights)}"
                parameter = nn.Parameter(value, requires_grad=False)
                self.register_parameter(self._weights[name], parameter)
            else:
                self._integers[name] = value
        self._ends = _ends(self._steps, answer)
        self._try_batch()

    def forward(self, pictures: Tensor) -> Tensor:
        """Compute.

        Raises:
            ImageContractError: The pictures have another size.
        """
        if pictures.ndim != 4 or tuple(pictures.shape[1:]) != (3, *self.size):
            wanted = f"(batch, 3, {self.size[0]}, {self.size[1]})"
            raise ImageContractError(f"expected pictures {wanted}, got {tuple(pictures.shape)}")
        count = len(pictures)
        if self._singly and count > 1:
            return torch.cat([self._run(picture) for picture in pictures.split(1)])
        try:
            return self._run(pictures)
        except Refused as error:
            if count == 1:
                raise WeightsError(f"{self._path}: {error}") from error
        # Values of so many photos are larger than any may be.
        return torch.cat([self(half) for half in pictures.split(-(-count // 2))])

    def _run(self, pictures: Tensor) -> Tensor:
        values: dict[str, Value] = {"": None, **self._integers}
        values |= {name: self.get_parameter(own) for name, own in self._weights.items()}
        values[self._given] = pictures.permute(0, 2, 3, 1) if self._channels_last else pictures
        for step, ended in zip(self._steps, self._ends, strict=True):
            values |= zip(step.outputs, _applied(step, values), strict=False)
            for name in ended:
                # An output that nothing reads may not have been made.
                values.pop(name, None)
        answer = values[self._answer]
        assert answer is not None
        return answer.flatten(1)

    def _try_batch(self) -> None:
        """Let other batches than the file's through, or photos one by one where they must be.

        Raises:
            WeightsError: The file is for batches of several photos, and for no others.
        """
        count = max(self._batch + 1, _TRIED)
        rng = torch.Generator().manual_seed(0)
        pictures = 2 * torch.rand(count, 3, *self.size, generator=rng) - 1
        with torch.no_grad():
            try:
                answers = self._run(pictures[: self._batch])
            except (Refused, *_MISFITS) as error:
                told = f"{self._path} does not compute: {why(error, most=300)}"
                raise WeightsError(told) from error
            if not bool(answers.isfinite().all()):
                raise WeightsError(f"{self._path} answers with numbers that are not finite")
            try:
                together = self._run(pictures)
                singly = torch.cat([self._run(picture) for picture in pictures.split(1)])
                same = together.shape == singly.shape and all(
                    float((other - mine).abs().max()) <= _ROUNDING * float(mine.abs().max())
                    for other, mine in ((together, singly), (singly[: self._batch], answers))
                )
            except (Refused, *_MISFITS):
                same = False
        self._singly = not same
        if self._singly and self._batch > 1:
            raise WeightsError(
                f"{self._path} is made for {self._batch} photos at once, and gives no answer for "
                "one alone: export it for a batch of one"
            )


def _arranged(
    path: Path,
    steps: Sequence[Step],
    constants: Mapping[str, Tensor],
    given: str,
    shape: Sequence[int],
    answer: str,
) -> tuple[list[Step], dict[str, Tensor]]:
    """The steps that pictures go through, and all values that need none, once all is checked."""

    def refuse(step: Step, error: Exception) -> WeightsError:
        told = why(error, most=300)
        if isinstance(error, TypeError):
            told = f"it does not take {len(step.inputs)} inputs of such kinds"
        return WeightsError(f"{path}: {step.what}: {told}")

    needed = leading_to(answer, [(step.inputs, step.outputs) for step in steps], path)
    fixed: dict[str, Value] = {"": None, **constants}
    traced: dict[str, Value] = {name: _traced(value) for name, value in fixed.items()}
    try:
        traced[given] = torch.empty(within(shape), device="meta")
    except Refused as error:
        raise WeightsError(f"{path}: {error}") from error
    kept, work, held = [], 0, math.prod(shape)
    chosen = [steps[number] for number in needed]
    for step, ended in zip(chosen, _ends(chosen, answer), strict=True):
        if unmade := [name for name in step.inputs if name not in traced]:
            raise refuse(step, Refused(f"it needs {unmade[0]!r}, which nothing made before"))
        try:
            with torch.no_grad():
                _bound(step, traced)
                made = _applied(step, traced)
                for value in made:
                    within(value.shape)
                    work += value.numel() * step.work(*(traced[name] for name in step.inputs))
            if work > _MOST_WORK:
                raise Refused(f"up to here a photo costs {work:,} multiplications")
            held += sum(value.numel() for value in made)
            if held > _MOST_HELD:
                raise Refused(f"up to here {held:,} numbers have to be kept at once")
            if all(name in fixed for name in step.inputs):
                with torch.no_grad():
                    made = _applied(step, fixed)
                fixed |= zip(step.outputs, made, strict=False)
            else:
                kept.append(_with_batch(step, traced, shape[0]))
        except (Refused, *_MISFITS) as error:
            # Also what PyTorch has no sizes for, and sizes that depend on a photo's content.
            raise refuse(step, error) from error
        traced |= zip(step.outputs, map(_traced, made), strict=False)
        # Those that need no picture stay while the file is read.
        gone = (traced.get(name) for name in ended if name not in fixed)
        held -= sum(value.numel() for value in gone if value is not None)
    found = traced.get(answer)
    if found is None or answer in fixed:
        raise WeightsError(f"{path}: the answer {answer!r} does not come from the pictures")
    if found.ndim < 2 or len(found) != shape[0]:
        got = tuple(found.shape)
        raise WeightsError(f"{path}: {answer!r} should hold numbers for each photo, and is {got}")
    return kept, {name: value for name, value in fixed.items() if value is not None}


def _bound(step: Step, traced: Mapping[str, Value]) -> None:
    """Refuse a step that makes much of few numbers, before it does."""
    given = {name: traced[name] for name in step.inputs}
    if any(value is not None and value.is_meta for value in given.values()):
        return
    unreal = {
        name: value.to("meta") if value is not None and value.is_floating_point() else value
        for name, value in given.items()
    }
    with contextlib.suppress(*_MISFITS):
        # What needs the numbers themselves makes no more of them.
        for made in _applied(step, unreal):
            within(made.shape)


def _traced(value: Value) -> Value:
    """A value as it is where sizes may depend on it, or else its size alone."""
    if value is None:
        return None
    known = _KNOWN_FLOATS if value.is_floating_point() else _KNOWN_INTEGERS
    return value if value.numel() <= known else value.to("meta")


def _applied(step: Step, values: Mapping[str, Value]) -> Sequence[Tensor]:
    given = [values[name] for name in step.inputs]
    places = {value.device for value in given if value is not None}
    if len(places) > 1 and not step.reads:
        # Numbers that were sizes lie on the processor.
        place = next(one for one in places if one.type != "cpu")
        given = [
            value.to(place)
            if value is not None and (value.is_floating_point() or value.dtype == torch.bool)
            else value
            for value in given
        ]
    made = step.run(*given)
    return (made,) if isinstance(made, Tensor) else made


def _with_batch(step: Step, traced: Mapping[str, Value], batch: int) -> Step:
    """A step that sets sizes, with the batch of its input in place of the file's."""
    if not step.reshapes or len(step.inputs) < 2:
        return step
    value, sizes = traced[step.inputs[0]], traced[step.inputs[1]]
    if value is None or sizes is None or not value.ndim or not sizes.numel():
        return step
    if len(value) != batch or int(sizes[0]) != batch:
        return step

    def run(value: Tensor, sizes: Tensor, *more: Value) -> Tensor | Sequence[Tensor]:
        return step.run(value, torch.cat([sizes.new_tensor([len(value)]), sizes[1:]]), *more)

    return replace(step, run=run)


def _ends(steps: Sequence[Step], answer: str) -> list[list[str]]:
    """Values that nothing needs any more after each step."""
    last = {name: n for n, step in enumerate(steps) for name in (*step.outputs, *step.inputs)}
    ends: list[list[str]] = [[] for _ in steps]
    for name, n in last.items():
        if name and name != answer:
            ends[n].append(name)
    return ends
