"""Networks of TensorFlow Lite (.tflite): their operations in 32-bit numbers, with gradients.

The package `tflite` reads the file's tables (a flatbuffer), and trusts what they say: their lengths
are compared with the file's before they are gone through, and what a damaged file makes of them
ends in a sentence. Channels come last in such files; convolutions take them through a view, which
PyTorch computes on as it is.
"""

import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from agns.errors import WeightsError
from agns.models.importing.foreign_network import ForeignNetwork
from agns.models.importing.foreign_step import MOST_STEPS, Step, leading_to
from agns.models.importing.tflite_operations import OPERATIONS

if TYPE_CHECKING:
    from types import ModuleType

_LARGEST = 1 << 31
"""Bytes that a flatbuffer can address."""

_TYPES = {0: "<f4", 1: "<f2", 2: "<i4", 4: "<i8", 6: "?", 10: "<f8"}
"""Numbers that are read, by TensorFlow Lite's codes of their types."""

_DAMAGE = (struct.error, IndexError, ValueError, TypeError, OverflowError, AttributeError)
"""What reading a damaged file's tables raises."""


def read_tflite(path: Path) -> ForeignNetwork:
    """Read a network.

    Its batch may have any size, whatever the file was made for.

    Raises:
        WeightsError: The package is not installed, the file is damaged, or has an operation or
            numbers of a kind that are not read: quantised ones have no useful gradients.
    """
    try:
        import tflite
    except ImportError as error:
        raise WeightsError(
            f"{path} is a TensorFlow Lite model, which needs tflite: pip install 'agns[tflite]'"
        ) from error
    try:
        if path.stat().st_size > _LARGEST:
            raise WeightsError(f"{path} is larger than a TensorFlow Lite model can be")
        content = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror or error}") from error
    if content[4:8] != b"TFL3":
        raise WeightsError(f"{path} is not a TensorFlow Lite model")
    try:
        return _Reader(path, content, tflite).network()
    except _DAMAGE as error:
        raise WeightsError(f"{path} is damaged: {error}") from error


class _Reader:
    """Reads one file; `tflite` gives its tables."""

    def __init__(self, path: Path, content: bytes, tflite: "ModuleType") -> None:
        self.path, self.tflite = path, tflite
        self.length = self.room = len(content)
        self.model = tflite.Model.GetRootAsModel(content, 0)
        if self.model.SubgraphsLength() < 1:
            raise WeightsError(f"{path} holds no network")
        self.graph = self.model.Subgraphs(0)
        self.tensors: list[Any] = list(self.several(self.graph, "Tensors"))

    def several(self, table: Any, name: str) -> Iterator[Any]:
        """The entries of a table's list, at most as many as the file has room for."""
        count = getattr(table, f"{name}Length")()
        if not 0 <= count <= min(self.length // 4, 4 * MOST_STEPS):
            raise ValueError(f"{count} {name} do not fit into it")
        get = getattr(table, name)
        return (get(number) for number in range(count))

    def network(self) -> ForeignNetwork:
        codes = [
            max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
            for code in self.several(self.model, "OperatorCodes")
        ]
        given, answer = self.only("Inputs", "takes"), self.only("Outputs", "gives")
        operators = list(self.several(self.graph, "Operators"))
        wiring = [(self.names(one, "Inputs"), self.names(one, "Outputs")) for one in operators]
        steps: dict[str, Step] = {}
        constants: dict[str, Tensor] = {}
        for number in leading_to(str(answer), wiring, self.path):
            operator, (inputs, outputs) = operators[number], wiring[number]
            kind = self.tflite.opcode2name(codes[operator.OpcodeIndex()])
            what = f"{kind} {self.title(int(outputs[0]))}"
            if kind not in OPERATIONS:
                known = ", ".join(OPERATIONS)
                raise WeightsError(
                    f"{self.path}: {what} is not read; of operations, agns reads {known}"
                )
            for name in inputs:
                value = self.constant(int(name)) if name and name not in constants else None
                if value is not None:
                    constants[name] = value
            operation = OPERATIONS[kind]
            if kind == "RESHAPE" and len(inputs) < 2:
                inputs = (*inputs, f"sizes of {outputs[0]}")
                sizes = self.options(operator, "ReshapeOptions").NewShapeAsNumpy()
                constants[inputs[1]] = torch.tensor(np.asarray(sizes).tolist())
            options = self.options(operator, operation.options) if operation.options else None
            try:
                run = operation.build(options)
            except ValueError as error:
                raise WeightsError(f"{self.path}: {what}: {error}") from error
            steps[outputs[0]] = Step(
                what=what, run=run, inputs=inputs, outputs=outputs,
                reshapes=kind == "RESHAPE", reads=kind == "PADV2", work=operation.work,
            )  # fmt: skip
            _join_slope(steps, outputs[0], constants)
        shape = self.shape(given)
        return ForeignNetwork(
            self.path, list(steps.values()), constants, given=str(given), shape=shape,
            answer=str(answer), channels_last=shape[3] == 3,
        )  # fmt: skip

    def options(self, operator: Any, kind: str) -> Any:
        """An operator's settings."""
        table, options = operator.BuiltinOptions(), getattr(self.tflite, kind)()
        expected = getattr(self.tflite.BuiltinOptions, kind)
        if table is None or operator.BuiltinOptionsType() != expected:
            raise ValueError(f"an operation lacks its {kind}")
        options.Init(table.Bytes, table.Pos)
        return options

    def names(self, operator: Any, which: str) -> tuple[str, ...]:
        """The tensors that an operator reads or writes, by number; empty for one left out."""
        numbers = list(self.several(operator, which))
        if any(not -1 <= number < len(self.tensors) for number in numbers):
            raise ValueError("an operation names a tensor that is not there")
        return tuple("" if number == -1 else str(number) for number in numbers)

    def only(self, which: str, does: str) -> int:
        """The number of the network's input or output."""
        numbers: list[int] = list(self.several(self.graph, which))
        if len(numbers) != 1:
            raise WeightsError(f"{self.path} {does} {len(numbers)} tensors, expected one")
        tensor = self.tensors[numbers[0]] if 0 <= numbers[0] < len(self.tensors) else None
        if tensor is None or tensor.Type() != 0:
            raise WeightsError(
                f"{self.path} {does} no 32-bit floating numbers: take the network from before it "
                "was quantised"
            )
        if which == "Inputs" and (
            len(shape := self.shape(numbers[0])) != 4 or 3 not in shape[1::2]
        ):
            raise WeightsError(
                f"{self.path} takes {shape}, expected (batch, height, width, 3) or "
                "(batch, 3, height, width)"
            )
        return numbers[0]

    def shape(self, number: int) -> tuple[int, ...]:
        sizes = tuple(int(size) for size in self.several(self.tensors[number], "Shape"))
        if len(sizes) > 8 or any(size < 0 for size in sizes):
            raise ValueError(f"a tensor is of size {sizes[:9]}")
        return sizes

    def title(self, number: int) -> str:
        name = self.tensors[number].Name() or b""
        return repr(name[:80].decode("utf-8", "replace"))

    def constant(self, number: int) -> Tensor | None:
        """A tensor's numbers, where the file has them: a copy no larger than they are there."""
        tensor = self.tensors[number]
        at = tensor.Buffer()
        if not 0 <= at < self.model.BuffersLength():
            raise ValueError("a tensor's numbers are not there")
        buffer = self.model.Buffers(at)
        if buffer.Offset() > 1:
            raise WeightsError(f"{self.path} has weights behind its tables, which is not read")
        length = buffer.DataLength()
        if not length:
            return None
        what, shape = self.title(number), self.shape(number)
        if tensor.Type() not in _TYPES or tensor.Sparsity() is not None:
            raise WeightsError(
                f"{self.path}: {what} is quantised or sparse, and has no gradients that follow the "
                "network: take the network from before that"
            )
        kind = np.dtype(_TYPES[tensor.Type()])
        if length != kind.itemsize * int(np.prod(shape, dtype=object)):
            raise ValueError(f"{what} should have {shape} numbers, and has {length} bytes")
        # Several may share their bytes; together they may not outgrow the file.
        self.room -= length
        if self.room < 0:
            raise ValueError("its tensors have more numbers than it has bytes")
        numbers = np.frombuffer(buffer.DataAsNumpy().tobytes(), kind).reshape(shape)
        return torch.from_numpy(
            numbers.astype(np.float32 if kind.kind == "f" else numbers.dtype, copy=True)
        )


def _join_slope(steps: dict[str, Step], last: str, constants: dict[str, Tensor]) -> None:
    """Make ReLU(x) + c (x - |x|), as earlier converters wrote PReLU, one step: a tenth of the time.

    The steps in between stay, for whoever else reads them; nothing else makes them run.
    """

    def found(name: str, run: object) -> tuple[str, ...] | None:
        step = steps.get(name)
        # With a fused activation, another function runs.
        return step.inputs if step is not None and step.run is run else None

    summands = found(last, torch.add)
    rectified, scaled = (summands or ("", ""))[:2]
    rectifier, factors = found(rectified, torch.relu), found(scaled, torch.mul)
    if rectifier is None or factors is None:
        return
    slope, difference = factors if factors[0] in constants else factors[::-1]
    parts = found(difference, torch.sub)
    if slope in constants and parts is not None and parts[0] == rectifier[0]:
        if found(parts[1], torch.abs) == rectifier:
            constants[doubled := f"twice {slope}"] = 2 * constants[slope]
            run = OPERATIONS["PRELU"].build(None)
            steps[last] = replace(steps[last], run=run, inputs=(rectifier[0], doubled))
