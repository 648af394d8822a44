"""Graphs within the graph of a file of `torch.export.save`, as one list of operations."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from agns.models.importing.foreign_step import MOST_STEPS, Refused

_DEEPEST = 8
"""Graphs within graphs."""

_WRAPPERS = {
    f"torch.ops.higher_order.wrap_with_{what}" for what in ("autocast", "set_grad_enabled")
}
"""Operations around other ones, which all run in 32 bits here, and have gradients."""


def flattened(nodes: Sequence[dict[str, Any]], depth: int = 0) -> list[dict[str, Any]]:
    """Operations in their order, with those that stand within `_WRAPPERS` in place of these.

    Raises:
        Refused: There are too many, or graphs lie too deep within one another.
    """
    if depth > _DEEPEST:
        raise Refused(f"its graphs lie more than {_DEEPEST} deep within one another")
    flat: list[dict[str, Any]] = []
    for number, node in enumerate(nodes):
        if len(flat) > MOST_STEPS:
            raise Refused(f"it has more than {MOST_STEPS} operations")
        if node["target"] not in _WRAPPERS:
            flat.append(node)
            continue
        arguments = [one["arg"] for one in node["inputs"]]
        at = next(at for at, one in enumerate(arguments) if "as_graph" in one)
        graph = arguments[at]["as_graph"]["graph"]
        names = {
            _name(inner): _name(outer)
            for inner, outer in zip(graph["inputs"], arguments[at + 1 :], strict=True)
        }
        renamed = partial(_renamed, names, f"{number}.")
        for one in flattened(graph["nodes"], depth + 1):
            inputs = [{**own, "arg": renamed(own["arg"])} for own in one["inputs"]]
            flat.append({**one, "inputs": inputs, "outputs": [*map(renamed, one["outputs"])]})
        for made, outer in zip(graph["outputs"], _outputs(node), strict=True):
            argument = {"name": "self", "arg": renamed(made), "kind": 1}
            flat.append(
                {"target": "torch.ops.aten.alias.default", "inputs": [argument], "outputs": [outer]}
            )
    return flat


def _outputs(node: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What an operation gives, one by one."""
    found = []
    for output in node["outputs"]:
        several = output.get("as_tensors")
        found += [output] if several is None else [{"as_tensor": one} for one in several]
    return found


def _name(argument: Mapping[str, Any]) -> str:
    ((kind, about),) = argument.items()
    name = about.get("name") or about.get("as_name") if isinstance(about, dict) else None
    if name is None:
        raise Refused(f"a graph within it that takes an argument of kind {kind[:40]} is not read")
    return str(name)


def _renamed(names: Mapping[str, str], prefix: str, argument: Mapping[str, Any]) -> dict[str, Any]:
    """An argument of an inner graph, whose values get names of their own."""

    def anew(about: Any) -> Any:
        if isinstance(about, list):
            return [anew(one) for one in about]
        if not isinstance(about, dict):
            return about
        told = {key: about[key] for key in ("name", "as_name") if key in about}
        return {**about, **{key: names.get(own, prefix + own) for key, own in told.items()}}

    return {kind: anew(about) for kind, about in argument.items()}
