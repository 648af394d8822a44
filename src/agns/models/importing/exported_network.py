"""Networks of `torch.export.save` (.pt2): their operations, with gradients.

`torch.export.load` unpickles: weights that are marked so, objects, and the example of an input,
whatever lies there; and SymPy evaluates the texts of its sizes. Here, none of it runs. The archive
holds the graph as JSON and the weights as bytes; these are read, and of PyTorch's operations those
that compute with tensors are called.
"""

import json
import math
import zipfile
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from agns.errors import ConfigError, WeightsError, why
from agns.models.importing.exported_calls import TYPES, Call, current
from agns.models.importing.exported_graphs import flattened
from agns.models.importing.exported_memory import check_overwriting
from agns.models.importing.foreign_network import ForeignNetwork
from agns.models.importing.foreign_step import MOST_STEPS, Refused, Step, leading_to

_MOST_TEXT = 1 << 24
"""Bytes of JSON."""


def read_exported(path: Path, size: int | None = None) -> ForeignNetwork:
    """Read a network.

    Args:
        path: The file.
        size: Height and width in pixels of pictures, where the file leaves them open.

    Raises:
        ConfigError: The file leaves the pictures' size open, and there is no `size`.
        WeightsError: The file is damaged, keeps something as a pickle, or has an operation that is
            not read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _Reader(path, archive).network(size)
    except Refused as error:
        raise WeightsError(f"{path}: {error}") from error
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror or error}") from error
    except (
        zipfile.BadZipFile, ArithmeticError, AttributeError, LookupError, NotImplementedError,
        MemoryError, RecursionError, RuntimeError, StopIteration, TypeError, ValueError,
    ) as error:  # fmt: skip
        # PyTorch's errors may go on with where they were raised.
        lacks = "it lacks " if isinstance(error, KeyError) else ""
        raise WeightsError(f"{path} is damaged: {lacks}{why(error)}") from error


class _Reader:
    """Reads one archive."""

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self.path, self.archive = path, archive
        names = archive.namelist()
        models = [name for name in names if "/models/" in name and name.endswith(".json")]
        if len(models) != 1:
            raise WeightsError(f"{path} holds {len(models)} networks of torch.export, expected one")
        self.root, _, self.name = models[0].removesuffix(".json").rpartition("/models/")
        # Tied weights stand for one record.
        self.room = 4 * path.stat().st_size
        self.constants: dict[str, Tensor] = {}

    def network(self, size: int | None) -> ForeignNetwork:
        graph_module = self.text(f"models/{self.name}.json")["graph_module"]
        graph = graph_module["graph"]
        records = {
            **self.config(f"data/weights/{self.name}_weights_config.json", "data/weights"),
            **self.config(f"data/constants/{self.name}_constants_config.json", "data/constants"),
        }
        # Networks name their numbers as they like; the graph has names of its own.
        stored: dict[str, tuple[str, str, dict[str, Any]]] = {}
        given: list[str] = []
        for spec in graph_module["signature"]["input_specs"]:
            ((kind, about),) = spec.items()
            argument = about["arg"]
            if kind == "user_input":
                given.append(argument["as_tensor"]["name"])
                continue
            key = {
                "parameter": "parameter_name",
                "buffer": "buffer_name",
                "tensor_constant": "tensor_constant_name",
            }.get(kind)
            if key is None:
                raise WeightsError(f"{self.path} takes a {kind[:40]}, which is not read")
            stored[argument["name"]] = records[about[key]]
        answers = [one["as_tensor"]["name"] for one in graph["outputs"]]
        for does, some in (("takes", given), ("gives", answers)):
            if len(some) != 1:
                raise WeightsError(f"{self.path} {does} {len(some)} tensors, expected one")
        shape = self.shape(graph["tensor_values"][given[0]], size)
        steps, answer = self.steps(graph["nodes"], answers[0], stored)
        for name in {name for step in steps for name in step.inputs} & stored.keys():
            self.constants[name] = self.tensor(*stored[name])
        return ForeignNetwork(
            self.path, steps, self.constants, given=given[0], shape=shape, answer=answer,
            channels_last=shape[1] != 3,
        )  # fmt: skip

    def shape(self, value: dict[str, Any], size: int | None) -> tuple[int, ...]:
        sizes = [one.get("as_int", 0) for one in value["sizes"]]
        if len(sizes) != 4 or 3 not in sizes[1::2] or value["dtype"] != 7:
            raise WeightsError(
                f"{self.path} takes {tuple(sizes)}, expected (batch, 3, height, width) or "
                "(batch, height, width, 3) of 32-bit numbers with fractions"
            )
        sizes[0] = sizes[0] or 1
        if 0 in sizes and size is None:
            raise ConfigError(f"{self.path} leaves the size of its pictures open: give it as size")
        return tuple(one or size or 0 for one in sizes)

    def record(self, name: str, most: int) -> bytes:
        about = self.archive.getinfo(f"{self.root}/{name}")
        if about.compress_type != zipfile.ZIP_STORED or about.file_size > most:
            raise ValueError(f"{name[:80]} is packed, or too long")
        return self.archive.read(about)

    def text(self, name: str) -> Any:
        return json.loads(self.record(name, _MOST_TEXT))

    def config(self, name: str, folder: str) -> dict[str, tuple[str, str, dict[str, Any]]]:
        """Where each tensor lies: its name, its record, and its sizes."""
        found = {}
        for own, about in self.text(name)["config"].items():
            if about["use_pickle"]:
                raise WeightsError(
                    f"{self.path} keeps {own[:80]!r} as a pickle, and agns unpickles nothing, as "
                    "that can run code: export it from plain tensors"
                )
            found[own] = own, f"{folder}/{about['path_name']}", about["tensor_meta"]
        return found

    def tensor(self, name: str, record: str, about: dict[str, Any]) -> Tensor:
        sizes, strides = ([one["as_int"] for one in about[key]] for key in ("sizes", "strides"))
        if about["dtype"] not in TYPES:
            raise WeightsError(f"{self.path}: {name[:80]!r} has numbers of a kind that is not read")
        kind = TYPES[about["dtype"]]
        content = self.record(record, self.room)
        self.room -= max(math.prod(sizes) * kind.itemsize, len(content))
        if self.room < 0 or min(sizes, default=0) < 0:
            raise ValueError(f"{name[:80]!r} has more numbers than it has bytes")
        flat = torch.frombuffer(bytearray(content), dtype=kind) if content else torch.empty(0)
        made = flat.as_strided(sizes, strides, about["storage_offset"]["as_int"])
        wide = torch.float32 if kind.is_floating_point else torch.int64
        return made.to(kind if kind == torch.bool else wide).clone(
            memory_format=torch.contiguous_format
        )

    def steps(
        self, nodes: Sequence[dict[str, Any]], answer: str, stored: Collection[str]
    ) -> tuple[list[Step], str]:
        """Those that the answer needs, and its name in the end."""
        nodes = flattened(nodes)
        if len(nodes) > MOST_STEPS:
            raise WeightsError(f"{self.path} has {len(nodes)} operations, more than {MOST_STEPS}")
        renamed: dict[str, str] = {}
        parsed = []
        for node in nodes:
            try:
                call = Call(node, renamed)
            except Refused as error:
                raise WeightsError(f"{self.path}: {str(node['target'])[:80]}: {error}") from error
            parsed.append((node, call))
            if call.overwritten and call.outputs:
                # What reads the value afterwards means the new one.
                renamed[call.overwritten] = call.outputs[0]
        answer = current(answer, renamed)
        check_overwriting([call for _, call in parsed], answer, stored)
        wiring = [(call.inputs, call.outputs) for _, call in parsed]
        steps = []
        for number in leading_to(answer, wiring, self.path):
            node, call = parsed[number]
            what = f"{str(node['target'])[:80]} {call.outputs[0][:80]!r}"
            try:
                steps.append(call.step(what, self.constants))
            except Refused as error:
                raise WeightsError(f"{self.path}: {what}: {error}") from error
        return steps, answer
