"""The fields of settings: names, types, defaults and the docstrings below them.

Of a module that is not imported yet, they are read from its source: nobody waits for PyTorch.
"""

import ast
import builtins
import dataclasses
import functools
import importlib.util
import inspect
import itertools
import sys
from pathlib import Path
from typing import NamedTuple, get_type_hints

from agns.errors import ConfigError


class Field(NamedTuple):
    """A field of a dataclass, as its source has it."""

    name: str
    type: object

    default: object
    """`dataclasses.MISSING` where there is none."""

    text: str
    """The docstring below it."""


def read_fields(module: str, name: str) -> list[Field]:
    """The fields of a dataclass; those that it inherits only if its module is imported already."""
    kind: type | None = getattr(sys.modules.get(module), name, None)
    if kind is None:
        return fields_in_source(module, name)
    texts = {
        own: text
        for one in reversed(kind.__mro__)
        if dataclasses.is_dataclass(one)
        for own, (_, text) in _source(one.__module__).body_of(one.__name__).items()
        # A field that is named again for another default alone is explained where it began.
        if text
    }
    hints = hints_of(kind)
    return [
        Field(
            field.name,
            hints[field.name],
            field.default
            if field.default_factory is dataclasses.MISSING
            else field.default_factory(),
            texts.get(field.name, ""),
        )
        for field in dataclasses.fields(kind)
    ]


def hints_of(kind: type) -> dict[str, object]:
    """The types of a class's fields, be they written as text or not.

    Raises:
        ConfigError: One cannot be told when the class runs.
    """
    try:
        return get_type_hints(kind, include_extras=True)
    except NameError as error:
        raise ConfigError(
            f"the types of the settings of {kind.__module__}:{kind.__qualname__} need imports that "
            f"are made for type checkers alone: {error}"
        ) from error


def fields_in_source(module: str, name: str) -> list[Field]:
    """The fields in the body of a dataclass, whose module is not imported."""
    source = _source(module)
    return [
        Field(field, source.evaluate(node.annotation), source.evaluate(node.value), text)
        for field, (node, text) in source.body_of(name).items()
    ]


class _Source(dict[str, object]):
    """The names of a module's source, evaluated without importing it when they are asked for.

    Only what calls for a class or a function is imported.
    """

    def __init__(self, module: str) -> None:
        self.module = module
        spec = importlib.util.find_spec(module)
        assert spec is not None
        assert spec.origin is not None
        self.body = ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body

    def body_of(self, name: str) -> dict[str, tuple[ast.AnnAssign, str]]:
        """The fields in the body of a class, each with the docstring below it."""
        classes = (one for one in self.body if isinstance(one, ast.ClassDef) and one.name == name)
        own = next(classes, None)
        found: dict[str, tuple[ast.AnnAssign, str]] = {}
        for node, below in itertools.pairwise([*(own.body if own else ()), ast.Pass()]):
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                match below:
                    case ast.Expr(value=ast.Constant(value=str(text))):
                        found[node.target.id] = (node, inspect.cleandoc(text))
                    case _:
                        found[node.target.id] = (node, "")
        return found

    def evaluate(self, expression: ast.expr | None) -> object:
        if expression is None:
            return dataclasses.MISSING
        return eval(compile(ast.Expression(expression), self.module, "eval"), {}, self)

    def __missing__(self, name: str) -> object:
        for node in self.body:
            match node:
                case (
                    ast.AnnAssign(target=ast.Name(id=own)) | ast.Assign(targets=[ast.Name(id=own)])
                ) if own == name:
                    return self.evaluate(node.value)
                case ast.ImportFrom(module=str(module), names=names):
                    for alias in names:
                        if (alias.asname or alias.name) == name:
                            if module.startswith("agns."):
                                return _source(module)[alias.name]
                            return getattr(importlib.import_module(module), alias.name)
                case ast.Import(names=names) if any(alias.name == name for alias in names):
                    return importlib.import_module(name)
                case ast.ClassDef(name=own) | ast.FunctionDef(name=own) if own == name:
                    return getattr(importlib.import_module(self.module), name)
        return getattr(builtins, name)


_source = functools.cache(_Source)
