"""YAML's nodes, which know their lines, as values; a mistake is told with its line and its key."""

import contextlib
import dataclasses
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml

from agns.errors import ConfigError
from agns.writing import is_text

_Value = TypeVar("_Value")
_Word = TypeVar("_Word", bound=str)
_EXPONENT = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+")


@dataclass(frozen=True, slots=True)
class NodeReader:
    """Reads the nodes of one file.

    Each method raises `ConfigError` where a node is not what it should be.
    """

    path: Path
    """Of the file, for what is told."""

    def wrong(self, node: yaml.Node, sentence: str) -> ConfigError:
        """What to raise: the sentence, with the file and the line that the node stands in."""
        return ConfigError(f"{self.path}, line {node.start_mark.line + 1}: {sentence}")

    def fields(self, node: yaml.Node, what: str, kind: type) -> dict[str, yaml.Node]:
        """A mapping's values by their keys, all of which the kind must have."""
        known = [field.name for field in dataclasses.fields(kind)]
        return self.keys(node, what, known)

    def keys(self, node: yaml.Node, what: str, known: Sequence[str]) -> dict[str, yaml.Node]:
        """A mapping's values by their keys, all of which must be known ones; none comes twice."""
        if not isinstance(node, yaml.MappingNode):
            raise self.wrong(node, f"{what} should be keys with values")
        found: dict[str, yaml.Node] = {}
        for key, value in node.value:
            name = str(key.value)
            if name not in known:
                raise self.wrong(key, f"{what} has no {name!r}: it takes {', '.join(known)}")
            if name in found:
                raise self.wrong(key, f"{name} comes twice")
            found[name] = value
        return found

    def each(
        self, node: yaml.Node, key: str, read: Callable[[yaml.Node, str], _Value]
    ) -> tuple[_Value, ...]:
        """What a list's nodes are read as; at least one."""
        if not isinstance(node, yaml.SequenceNode) or not node.value:
            raise self.wrong(node, f"{key} should be a list of at least one")
        return tuple(read(one, key) for one in node.value)

    def valued(
        self, fields: Mapping[str, yaml.Node], kind: type, names: Sequence[str]
    ) -> dict[str, Any]:
        """The values given of a kind's fields, each of the type that the field has."""
        hints = typing.get_type_hints(kind)
        return {
            name: self.typed(fields[name], name, hints[name]) for name in names if name in fields
        }

    def typed(self, node: yaml.Node, key: str, hint: object) -> object:
        """A value of the type that a setting has."""
        united = typing.get_origin(hint) in (typing.Union, types.UnionType)
        kinds = get_args(hint) if united else (hint,)
        allowed = [kind for kind in kinds if isinstance(kind, type)]
        choices = [one for kind in kinds for one in get_args(kind) if isinstance(one, str)]
        # What is no value at all is of no kind.
        value: object = ...
        if _is_scalar(node):
            with contextlib.suppress(yaml.YAMLError, ValueError):
                value = yaml.SafeLoader("").construct_object(node)
            # YAML takes 1e-3 for text.
            if float in kinds and (type(value) is int or _EXPONENT.fullmatch(str(value))):
                value = float(str(value))
        if value in choices or type(value) in allowed:
            return value
        wanted = choices or [kind.__name__ for kind in allowed]
        raise self.wrong(node, f"{key} should be {' or '.join(map(str, wanted))}")

    def count(self, node: yaml.Node, key: str, *, least: int = 0) -> int:
        """A whole number, at least `least` and below 2**63."""
        value = self.typed(node, key, int)
        assert isinstance(value, int)
        if not least <= value < 2**63:
            raise self.wrong(node, f"{key} must be at least {least} and below 2**63, got {value}")
        return value

    def flag(self, node: yaml.Node, key: str) -> bool:
        """True or false."""
        return self.typed(node, key, bool) is True

    def text(self, node: yaml.Node, key: str) -> str:
        """A word or a name; not empty, and of letters alone that a ledger can hold."""
        word = self._word(node, key)
        if not is_text(word):
            raise self.wrong(node, f"{key} should be UTF-8 text, got {word!r}")
        return word

    def _word(self, node: yaml.Node, key: str) -> str:
        if not _is_scalar(node) or not node.value or node.tag == "tag:yaml.org,2002:null":
            raise self.wrong(node, f"{key} should be a word or a path")
        return str(node.value)

    def path_of(self, node: yaml.Node, key: str) -> str:
        """A path, in which ~ is the home folder."""
        path = self._word(node, key)
        try:
            return str(Path(path).expanduser())
        except RuntimeError as error:
            raise self.wrong(node, f"{key}: nobody knows the home folder in {path}") from error

    def one_of(self, node: yaml.Node, key: str, known: Sequence[_Word]) -> _Word:
        """One of the known words."""
        if not _is_scalar(node) or node.value not in known:
            raise self.wrong(node, f"{key} should be one of {', '.join(known)}")
        return known[known.index(node.value)]


def _is_scalar(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode)
