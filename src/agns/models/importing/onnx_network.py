"""Networks in ONNX (.onnx): their operations in 32-bit numbers, with gradients.

The package `onnx` reads the file (a protobuf), which runs nothing. Before that, the bytes that are
no weights are counted, as a small message may ask for eighty times its size. Weights in files
beside it are read from its folder alone, and as many as these files hold.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from agns.errors import ConfigError, WeightsError, why
from agns.models.importing.foreign_network import ForeignNetwork
from agns.models.importing.foreign_step import Refused, Step, leading_to
from agns.models.importing.onnx_attributes import Attribute, Attributes
from agns.models.importing.onnx_operations import KNOWN, build_step

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto, TensorProto, ValueInfoProto

_LARGEST = 1 << 31
"""Bytes that protobuf can read."""

_MOST_WORDS, _FIELD = 1 << 23, 16
"""Bytes that may be something else than weights, and how many each field counts as."""

_OPSETS = range(7, 26)

_ENTERED = {(), (7,), (7, 1), (7, 1, 5), (7, 5), (7, 1, 5, 5)}
"""Fields of a model's message that hold messages: graph, nodes, attributes, and their tensors."""

_WEIGHTS = {(7, 5, 4), (7, 5, 9), (7, 1, 5, 5, 4), (7, 1, 5, 5, 9)}
"""Fields of these tensors that hold their numbers."""

_TYPES = (1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 16)
"""Kinds of numbers that are read, by ONNX's codes: floating ones, integers, and whether or not."""

_ROUNDING = 1e-3
"""How far answers may differ from onnxruntime's, of the largest number."""


def read_onnx(path: Path, size: int | None = None) -> ForeignNetwork:
    """Read a network.

    Its batch may have any size, whatever the file was made for. Where onnxruntime is installed,
    its answer to the same pictures must be the same.

    Args:
        path: The file.
        size: Height and width in pixels of pictures, where the file leaves them open.

    Raises:
        ConfigError: The file leaves the pictures' size open, and there is no `size`.
        WeightsError: The package is not installed, the file is damaged, or has an operation or a
            form of one that is not read, or onnxruntime computes something else.
    """
    try:
        import onnx
    except ImportError as error:
        raise WeightsError(
            f"{path} is an ONNX model, which needs onnx: pip install 'agns[onnx]'"
        ) from error
    from google.protobuf.message import DecodeError

    try:
        if path.stat().st_size > _LARGEST:
            raise WeightsError(f"{path} is larger than protobuf reads: keep its weights beside it")
        content = path.read_bytes()
        if _count_words(memoryview(content)) > _MOST_WORDS:
            raise WeightsError(
                f"{path} has {_MOST_WORDS:,} bytes or more beside its weights: too many"
            )
        model = onnx.ModelProto.FromString(content)
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror or error}") from error
    except (DecodeError, IndexError, ValueError) as error:
        raise WeightsError(f"{path} is damaged, or no ONNX model: {error}") from error
    versions = [one.version for one in model.opset_import if one.domain in ("", "ai.onnx")]
    opset = max(versions, default=0)
    if opset not in _OPSETS:
        span = f"{_OPSETS[0]} to {_OPSETS[-1]}"
        raise WeightsError(f"{path} uses version {opset} of ONNX's operators, and {span} are read")
    if model.functions:
        raise WeightsError(
            f"{path} defines functions: write it anew by onnx.inliner.inline_local_functions"
        )
    reader = _Reader(path, model.graph)
    try:
        network = reader.network(opset, size)
    except (Refused, IndexError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise WeightsError(f"{path} is damaged: {error}") from error
    source: Path | bytes = path
    if len(reader.needed) < len(model.graph.node):
        # Nobody has looked at the others, which onnxruntime would do.
        needed = [type(node).FromString(node.SerializeToString()) for node in reader.needed]
        del model.graph.node[:]
        model.graph.node.extend(needed)
        source = model.SerializeToString()
    network.checked = _compare(path, source, network, reader.given, reader.shape)
    return network


def _count_words(content: memoryview, way: tuple[int, ...] = ()) -> int:
    """Bytes of a message that are no weights, and what its fields cost."""
    at = words = 0
    while at < len(content) and words <= _MOST_WORDS:
        key, at = _varint(content, at)
        begin, inner = at, (*way, key >> 3)
        words += _FIELD
        if key & 7 == 2:
            length, at = _varint(content, at)
            if length > len(content) - at:
                raise ValueError("it is cut short")
            if inner in _ENTERED:
                words += _count_words(content[at : at + length], inner)
            elif inner not in _WEIGHTS:
                words += length
            at += length
        else:
            at = _varint(content, at)[1] if key & 7 == 0 else at + (8 if key & 7 == 1 else 4)
            words += at - begin
    return words


def _varint(content: memoryview, at: int) -> tuple[int, int]:
    """A number in groups of seven bits, and where the next one begins."""
    value = 0
    for shift in range(0, 70, 7):
        value |= (content[at] & 127) << shift
        at += 1
        if content[at - 1] < 128:
            return value, at
    raise ValueError("a number has too many bytes")


class _Reader:
    """Reads one file's graph."""

    def __init__(self, path: Path, graph: "GraphProto") -> None:
        self.path, self.graph = path, graph
        self.beside: dict[Path, int] = {}
        """Bytes that files with weights still have to give."""

    def network(self, opset: int, size: int | None) -> ForeignNetwork:
        graph = self.graph
        if graph.sparse_initializer:
            raise WeightsError(f"{self.path} has sparse weights, which are not read")
        stored = {tensor.name: tensor for tensor in graph.initializer}
        inputs = [one for one in graph.input if one.name not in stored]
        for does, some in (("takes", inputs), ("gives", graph.output)):
            if len(some) != 1:
                names = ", ".join(f"{one.name[:40]!r}" for one in some[:8])
                raise WeightsError(f"{self.path} {does} {len(some)} values, expected one: {names}")
        given, answer = inputs[0].name, graph.output[0].name
        self.given, self.shape = given, self._shape(inputs[0], size)
        wiring = [(tuple(node.input), tuple(node.output)) for node in graph.node]
        needed = [graph.node[number] for number in leading_to(answer, wiring, self.path)]
        steps = [self._step(node, opset) for node in needed]
        self.needed = needed
        used = {name for node in needed for name in node.input}
        constants = {name: self._tensor(one) for name, one in stored.items() if name in used}
        return ForeignNetwork(
            self.path, steps, constants, given=given, shape=self.shape, answer=answer,
            channels_last=self.shape[1] != 3,
        )  # fmt: skip

    def _shape(self, given: "ValueInfoProto", size: int | None) -> tuple[int, ...]:
        """The batch and the sizes that the network is made for; an open batch is one photo."""
        kind = given.type.tensor_type
        if kind.elem_type not in (1, 10):
            raise WeightsError(f"{self.path} takes no 16 or 32-bit numbers with fractions")
        sizes = [max(one.dim_value, 0) for one in kind.shape.dim]
        if len(sizes) != 4 or 3 not in sizes[1::2]:
            raise WeightsError(
                f"{self.path} takes {tuple(sizes)}, expected (batch, 3, height, width) or "
                "(batch, height, width, 3)"
            )
        sizes[0] = sizes[0] or 1
        if 0 in sizes and size is None:
            raise ConfigError(f"{self.path} leaves the size of its pictures open: give it as size")
        return tuple(one or size or 0 for one in sizes)

    def _step(self, node: "NodeProto", opset: int) -> Step:
        what = f"{node.op_type[:40]} {(node.name or ''.join(node.output[:1]))[:80]!r}"
        if node.domain not in ("", "ai.onnx") or node.op_type not in KNOWN:
            whose = f" of {node.domain[:40]}" if node.domain else ""
            raise WeightsError(
                f"{self.path}: {what}{whose} is not read; of operations, agns reads "
                f"{', '.join(KNOWN)}"
            )
        try:
            given = {one.name: self._attribute(one) for one in node.attribute}
            if node.op_type == "Split" and opset < 18:
                given["num_outputs"] = len(node.output)
            if node.op_type == "BatchNormalization" and opset < 14 and any(node.output[1:]):
                # By its outputs alone it told, then, that it trains.
                given["training_mode"] = 1
            return build_step(
                node.op_type, what.partition(" ")[2], tuple(node.input), tuple(node.output),
                Attributes(given, opset),
            )  # fmt: skip
        except Refused as error:
            raise WeightsError(f"{self.path}: {what}: {error}") from error

    def _attribute(self, attribute: Any) -> Attribute:
        if attribute.type == 4:
            return self._tensor(attribute.t)
        if attribute.type == 3:
            return str(attribute.s.decode("utf-8", "replace"))
        fields = {1: "f", 2: "i", 6: "floats", 7: "ints"}
        if attribute.type not in fields:
            raise Refused(f"{attribute.name[:40]} is of a kind that is not read")
        value = getattr(attribute, fields[attribute.type])
        return list(value) if attribute.type > 5 else value

    def _tensor(self, tensor: "TensorProto") -> Tensor:
        """A copy of its numbers."""
        from onnx import numpy_helper

        what, shape = repr(tensor.name[:80]), tuple(tensor.dims)
        if tensor.data_type not in _TYPES or len(shape) > 8:
            raise WeightsError(f"{self.path}: {what} has numbers of a kind that is not read")
        if tensor.data_location == 1:
            self._fetch(tensor, what)
        numbers = numpy_helper.to_array(tensor)
        if numbers.shape != shape:
            raise ValueError(f"{what} should be {shape}, and is {numbers.shape}")
        if numbers.dtype != np.bool_:
            whole = np.issubdtype(numbers.dtype, np.integer)
            numbers = numbers.astype(np.int64 if whole else np.float32)
        return torch.from_numpy(np.array(numbers))

    def _fetch(self, tensor: "TensorProto", what: str) -> None:
        """Bring its bytes from a file beside the network's, together no more than that has."""
        from onnx import checker, external_data_helper

        try:
            location = external_data_helper.ExternalDataInfo(tensor).location
            # However it is spelt.
            file = (self.path.parent / location).resolve()
            if file not in self.beside:
                self.beside[file] = min(file.stat().st_size, _LARGEST)
            # Refuses what lies elsewhere, links, and more bytes than there are.
            external_data_helper.load_external_data_for_tensor(tensor, str(self.path.parent))
        except (checker.ValidationError, OSError, RuntimeError, ValueError) as error:
            told = why(error, most=300)
            if isinstance(error, FileNotFoundError):
                told = f"there is no {error.filename}"
            raise WeightsError(f"{self.path}: {what} lies beside it, and {told}") from error
        self.beside[file] -= len(tensor.raw_data)
        if self.beside[file] < 0:
            raise WeightsError(f"{self.path}: {location[:80]!r} holds less than is read from it")


def _compare(
    path: Path, source: Path | bytes, network: ForeignNetwork, given: str, shape: Sequence[int]
) -> str:
    """Compare answers with onnxruntime's, and say how; nothing where that is not installed."""
    try:
        import onnxruntime
    except ImportError:
        return "not compared with onnxruntime, which is not installed"
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4
    rng = torch.Generator().manual_seed(1)
    pictures = 2 * torch.rand(shape[0], 3, *network.size, generator=rng) - 1
    with torch.no_grad():
        mine = network(pictures)
    fed = (pictures if shape[1] == 3 else pictures.permute(0, 2, 3, 1)).numpy()
    try:
        session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        half = session.get_inputs()[0].type == "tensor(float16)"
        (found,) = session.run(None, {given: fed.astype(np.float16) if half else fed})
    except Exception as error:  # Its errors have no common base.
        return f"not compared with onnxruntime, which fails on it: {why(error)}"
    theirs = torch.from_numpy(found.astype(np.float32)).flatten(1)
    if theirs.shape != mine.shape:
        raise WeightsError(f"{path}: agns computes {mine.shape}, and onnxruntime {theirs.shape}")
    share = float((theirs - mine).abs().max() / theirs.abs().max().clamp_min(1e-30))
    # Not a number is no agreement.
    if not share <= (10 if half else 1) * _ROUNDING:
        raise WeightsError(
            f"{path}: agns computes something else than onnxruntime: they differ by {share:.1g} of "
            "the largest number"
        )
    return (
        f"differs from onnxruntime {onnxruntime.__version__} by at most {share:.1g} of the largest "
        "number"
    )
