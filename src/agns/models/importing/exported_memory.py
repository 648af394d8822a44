"""Values of a file of `torch.export.save` that lie in the same memory, and what overwrites them.

Networks are run here as if each operation made values of its own. Where one overwrites memory that
another value shares, and that other is read afterwards, this would give other numbers.
"""

from collections.abc import Collection, Sequence
from typing import Any

import torch

from agns.models.importing.exported_calls import Call
from agns.models.importing.foreign_step import Refused

_AS_GIVEN = {"dropout", "type_as", "unsafe_split", "unsafe_split_with_sizes"}
"""Operations that may give what they are given, though their schema does not say so."""


def check_overwriting(calls: Sequence[Call], answer: str, stored: Collection[str]) -> None:
    """See that what an operation overwrites is read under the new value's name alone.

    Args:
        calls: All of a file's, in their order; their inputs are named as they are by then.
        answer: What comes out.
        stored: Names of the file's own numbers.

    Raises:
        Refused: It is not so.
    """
    sharing: dict[str, set[str]] = {}
    """By value, all in the same memory."""
    overwritten: dict[str, str] = {}
    """By value, the operation after which it is another."""
    for call in calls:
        _check_read(call.inputs, overwritten)
        schema = _schema(call)
        for name in _written(call, schema):
            together = sharing.setdefault(name, {name})
            if any(other in stored for other in together):
                raise Refused(f"{call.target[:80]} overwrites the network's own numbers")
            overwritten |= dict.fromkeys(together, call.target[:80])
            # Their new value has a name of its own, and nobody reads these any more.
            together.clear()
        if _shares(call, schema):
            together = sharing.setdefault(call.inputs[0], {call.inputs[0]})
            for name in call.outputs:
                together.add(name)
                sharing[name] = together
    _check_read([answer], overwritten)


def _check_read(names: Sequence[str], overwritten: dict[str, str]) -> None:
    for name in names:
        if name in overwritten:
            raise Refused(
                f"{overwritten[name]} overwrites memory in which {name[:80]!r} lies, too, which is "
                "read afterwards: save what `run_decompositions()` makes of the exported network"
            )


def _schema(call: Call) -> Any:
    """What PyTorch says of an operation; None of one that it does not have."""
    overload = call.overload.removesuffix("default")
    for schema in torch._C._jit_get_schemas_for_operator(f"aten::{call.name}"):
        if schema.overload_name == overload:
            return schema
    return None


def _written(call: Call, schema: Any) -> list[str]:
    if schema is None:
        return call.inputs[:1] if call.overwrites else []
    return [
        name
        for argument in schema.arguments
        if argument.alias_info is not None and argument.alias_info.is_write
        for name in call.values.get(argument.name, [])
    ]


def _shares(call: Call, schema: Any) -> bool:
    """Whether what comes out may lie where the first input does."""
    told = schema is not None and any(one.alias_info is not None for one in schema.returns)
    return bool(call.inputs) and (told or call.name in _AS_GIVEN)
