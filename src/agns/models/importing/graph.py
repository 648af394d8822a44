"""The layers of a DagNN in the order in which a face passes through them."""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agns.errors import WeightsError
from agns.models.importing.matvalues import entries, member, texts

_JOINS = ("Concat", "DepthConcat")
_ENDS = ("SoftMax", "Softmax", "Loss", "Our_Objective", "CW_Objective")
_PASSED = (
    "Conv", "Linear", "BatchNorm", "LRN", "Pooling", "ReLU", "Tanh", "Square", "Sqrt",
    "MulConstant", "Reshape", "DropOut", "NormalizeEuclidean", "NormalizeLp",
)  # fmt: skip
_WINDOW = 9
"""What the mean squares of a 3x3 window are multiplied with, for their sum."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One layer of a graph."""

    name: str
    kind: str
    """Name of its class, less the package's."""

    inputs: list[str]
    """Variables it reads."""

    output: str
    """The variable it writes."""

    params: list[str]
    """Parameters it uses, in its own order."""

    block: dict[str, object]
    """Its settings."""

    def parameter(self, index: int) -> str:
        """Name of a parameter; empty where it has fewer."""
        return self.params[index] if index < len(self.params) else ""


def parameters(net: dict[str, object]) -> dict[str, object]:
    """Values of a network's parameters, by name."""
    return {
        name: member(entry, "value")
        for entry in entries(net.get("params"))
        if isinstance(name := member(entry, "name"), str)
    }


def walk(net: dict[str, object], path: Path) -> list[Layer]:
    """The layers on the way from the first one's input to the end, joins left out.

    Where the way forks, the branches follow one another in the order in which they are joined.

    Raises:
        WeightsError: The graph is no chain of layers and of modules with branches side by side,
            or holds a layer that OpenFace does not have.
    """
    layers = _layers(net, path)
    if not layers or not layers[0].inputs:
        raise WeightsError(f"{path} holds a network without layers")
    readers: dict[str, list[Layer]] = defaultdict(list)
    for layer in layers:
        for name in layer.inputs:
            readers[name].append(layer)
    way: list[Layer] = []
    at = layers[0].inputs[0]
    for _ in range(len(layers) + 1):
        following = [layer for layer in readers[at] if layer.kind not in _ENDS]
        if not following:
            return way
        if len(following) == 1 and following[0].kind not in _JOINS:
            way.append(following[0])
            at = following[0].output
            continue
        branches, join = {}, None
        for layer in following:
            branch, joined = _branch(layer, readers, len(layers), path)
            if join not in (None, joined):
                raise WeightsError(f"{path}: branches from {at} are joined in different places")
            join = joined
            branches[branch[-1].output if branch else at] = branch
        assert join is not None
        if set(join.inputs) != set(branches) or len(join.inputs) != len(branches):
            raise WeightsError(f"{path}: {join.name} joins {join.inputs}, not what leaves {at}")
        for name in join.inputs:
            way += branches[name]
        at = join.output
    raise WeightsError(f"{path} holds a network that runs in a circle")


def _branch(
    layer: Layer, readers: dict[str, list[Layer]], most: int, path: Path
) -> tuple[list[Layer], Layer]:
    """The layers from one on to where its branch is joined, and the join."""
    branch: list[Layer] = []
    while layer.kind not in _JOINS:
        branch.append(layer)
        following = readers.get(layer.output, [])
        if len(following) != 1 or len(branch) > most:
            raise WeightsError(f"{path}: the branch at {layer.name} is not joined again")
        layer = following[0]
    return branch, layer


def _layers(net: dict[str, object], path: Path) -> list[Layer]:
    found = []
    for index, entry in enumerate(entries(net["layers"]), 1):
        name, kind, block = (member(entry, key) for key in ("name", "type", "block"))
        title = name if isinstance(name, str) and name else f"layers({index})"
        kind = kind.rpartition(".")[2] if isinstance(kind, str) else "?"
        inputs, outputs = texts(member(entry, "inputs")), texts(member(entry, "outputs"))
        settings = block if isinstance(block, dict) else {}
        if kind not in (*_PASSED, *_JOINS, *_ENDS):
            raise WeightsError(f"{path}: {title} is a {kind}, which OpenFace does not have")
        constant = settings.get("constant")
        if kind == "MulConstant" and isinstance(constant, np.ndarray) and constant.size:
            if constant.ravel()[0] != _WINDOW:
                raise WeightsError(
                    f"{path}: {title} multiplies with {constant.ravel()[0]:g}, expected {_WINDOW}"
                )
        if not inputs or not outputs:
            raise WeightsError(f"{path}: {title} reads or writes nothing")
        found.append(
            Layer(
                name=title,
                kind=kind,
                inputs=inputs,
                output=outputs[0],
                params=texts(member(entry, "params")),
                block=settings,
            )
        )
    return found
