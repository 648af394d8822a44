"""YAML files that users write: values with their lines, checked, and mistakes told in a sentence.

PyYAML knows each value's line, pydantic checks the values.
"""

import contextlib
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import yaml
from pydantic import BaseModel, ValidationError

from agns.errors import ConfigError

Where: TypeAlias = tuple[str | int, ...]
"""Keys and places in lists that lead to a value."""

_MOST = 100_000
"""Values in a file, which aliases may name many times."""


class _Loader(yaml.SafeLoader):
    """YAML 1.1 takes 1e-3 for text; here it is a number."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+$"),
    list("-+.0123456789"),
)


def read_yaml(
    path: Path, what: str, *, words: Collection[str], homes: Collection[str] = ()
) -> "YamlFile":
    """Read a file.

    Args:
        path: The file.
        what: What it is, for messages.
        words: Keys, and with `[]` lists under keys, whose scalars are taken as they are written:
            No is a name.
        homes: Those of them that are paths, in which `~` is the home folder.

    Raises:
        ConfigError: There is no such file, or it is no YAML.
    """
    if not path.is_file():
        raise ConfigError(f"there is no {what} {path}")
    file = YamlFile(path, words, homes)
    try:
        root = yaml.compose(path.read_text(encoding="utf-8"), Loader=_Loader)
        if root is None:
            raise ConfigError(f"{path} is empty")
        file.values = file.read(root, ())
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not text") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{path}, line {line}: {error.problem}") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"{path} is no YAML: {error}") from error
    return file


@dataclass(slots=True)
class YamlFile:
    """One file's values, and where they stand."""

    path: Path
    words: Collection[str]
    homes: Collection[str]
    values: Any = None
    lines: dict[Where, int] = field(default_factory=dict)

    def given(self, model: type[BaseModel], value: object, at: Where) -> dict[str, Any]:
        """The values that a mapping gives, each of the type that its field has."""
        try:
            found = model.model_validate(value)
        except ValidationError as error:
            raise self.explain(error, model, at) from error
        return {name: getattr(found, name) for name in found.model_fields_set}

    def explain(self, error: ValidationError, model: type[BaseModel], at: Where) -> ConfigError:
        """The first of pydantic's errors as one sentence; keys that there are not come first."""
        what = model.model_config["title"]
        found = sorted(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
        first, where = found[0], self.nearest((*at, *found[0]["loc"]))
        name = first["loc"][0] if first["loc"] else ""
        if first["type"] == "model_type":
            return self.wrong(at, f"{what} should be keys with values")
        if first["type"] == "missing":
            return self.wrong(at, f"{what} needs {name}")
        if first["type"] == "extra_forbidden":
            known = ", ".join(model.model_fields)
            return self.wrong(where, f"{what} has no {name!r}: it takes {known}")
        # Where several types are allowed, each says what it takes.
        said = [one["msg"] for one in found if self.nearest((*at, *one["loc"])) == where]
        takes = [re.sub("^(Input|String|Tuple|Value error,) should ", "", one) for one in said]
        words = " or ".join(dict.fromkeys(takes))
        words = words.replace("valid tuple", "list").replace("or be ", "or ")
        value = first["input"]
        got = f", got {value!r:.80}" if isinstance(value, str | int | float) else ""
        return self.wrong(where, f"{name} should {words}{got}")

    @contextlib.contextmanager
    def told(self, at: Where) -> Iterator[None]:
        """Name the file and the line in what is refused."""
        try:
            yield
        except ConfigError as error:
            raise self.wrong(at, str(error)) from error

    def wrong(self, at: Where, sentence: str) -> ConfigError:
        """What to raise: the sentence, with the file and the line."""
        return ConfigError(f"{self.path}, line {self.lines[self.nearest(at)]}: {sentence}")

    def nearest(self, at: Where) -> Where:
        """The way to the value, or as far as it leads."""
        while at not in self.lines:
            at = at[:-1]
        return at

    def read(self, node: yaml.Node, at: Where) -> Any:
        """A node as a plain value, with all that is in it."""
        self.lines.setdefault(at, node.start_mark.line + 1)
        if len(self.lines) > _MOST:
            raise ConfigError(f"{self.path} has more than {_MOST} values")
        if isinstance(node, yaml.SequenceNode):
            return tuple(self.read(one, (*at, n)) for n, one in enumerate(node.value))
        if isinstance(node, yaml.MappingNode):
            found: dict[str, object] = {}
            for key, value in node.value:
                if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                    line = key.start_mark.line + 1
                    raise ConfigError(f"{self.path}, line {line}: a key should be a word")
                name = str(key.value)
                self.lines[*at, name] = key.start_mark.line + 1
                if name in found:
                    raise self.wrong((*at, name), f"{name} comes twice")
                found[name] = self.read(value, (*at, name))
            return found
        key = at[-1] if at and isinstance(at[-1], str) else f"{''.join(map(str, at[-2:-1]))}[]"
        is_word = key in self.words and node.tag != "tag:yaml.org,2002:null"
        if is_word and key in self.homes and node.value:
            try:
                home = Path(node.value).expanduser()
            except RuntimeError as error:
                sentence = f"{key}: nobody knows the home folder in {node.value}"
                raise self.wrong(at, sentence) from error
            return str(home)
        # What is no value of its tag stays text, which is of no other type.
        with contextlib.suppress(yaml.YAMLError, ValueError):
            return node.value if is_word else yaml.SafeLoader("").construct_object(node)
        return node.value
