"""Plans as YAML files: read, checked, with defaults where a file says nothing.

PyYAML knows each value's line, pydantic checks the values, and a sentence tells a mistake by line
and key. Files and folders are taken from where the command runs, as on the command line.
"""

import contextlib
import dataclasses
import re
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from agns.attack.attack import Attack
from agns.attack.methods import find_attack
from agns.attack.universal import UNIVERSAL_AGN, Universal
from agns.campaign.plan import (
    Plan,
    PlannedAttack,
    PlannedUniversal,
    PlanVictim,
    Published,
    Some,
    Word,
)
from agns.errors import ConfigError
from agns.evaluation.universal import UniversalSpec

_Settings = TypeVar("_Settings", bound=Attack)
_Where: TypeAlias = tuple[str | int, ...]
"""Keys and places in lists that lead to a value."""

_MOST = 100_000
"""Values in a file, which aliases may name many times."""

_WORDS = {
    "name", "file", "faces", "defence", "palette", "method", "recognizer", "goal", "attack",
    "targets",
    *(f"{key}[]" for key in ("subjects", "targets", "goals", "attacks", "surrogates")),
}  # fmt: skip
"""Keys, and the lists under keys, whose scalars are taken as they are written: No is a name."""


class _Loader(yaml.SafeLoader):
    """YAML 1.1 takes 1e-3 for text; here it is a number."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+$"),
    list("-+.0123456789"),
)


def read_plan(path: Path) -> Plan:
    """Read a plan.

    Raises:
        ConfigError: There is no such file, or something in it cannot be used: the sentence names
            the line and the key.
    """
    if not path.is_file():
        raise ConfigError(f"there is no plan {path}")
    try:
        return _Reader(path).plan(_root(path))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not text") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{path}, line {line}: {error.problem}") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"{path} is no YAML: {error}") from error


@contextlib.contextmanager
def naming(path: Path, *at: str | int) -> Iterator[None]:
    """Name a plan that was read in what turns out to be wrong, with the line of what `at` leads to.

    Without `at`, it is the line of the key that the sentence begins with, if it does with one.
    """
    try:
        yield
    except ConfigError as error:
        reader, at = _Reader(path), at or (str(error).partition(":")[0],)
        reader.value(_root(path), ())
        if at in reader.lines:
            raise reader.wrong(at, str(error)) from error
        raise ConfigError(f"{path}: {error}") from error


def _root(path: Path) -> yaml.Node:
    root = yaml.compose(path.read_text(encoding="utf-8"), Loader=_Loader)
    if root is None:
        raise ConfigError(f"{path} is empty")
    return root


def _model(title: str, *kinds: type, without: tuple[str, ...] = (), **own: Any) -> type[BaseModel]:
    """What takes the fields of dataclasses, and its own; strictly, and no more."""
    fields: dict[str, Any] = {}
    for kind in kinds:
        hints = typing.get_type_hints(kind, include_extras=True)
        for one in dataclasses.fields(kind):
            usual = ... if one.default is dataclasses.MISSING else one.default
            fields[one.name] = (hints[one.name], usual)
    fields = {name: kind for name, kind in {**fields, **own}.items() if name not in without}
    config = ConfigDict(strict=True, extra="forbid", title=title, arbitrary_types_allowed=True)
    made: type[BaseModel] = create_model("Fields", __config__=config, **fields)
    return made


_LIST = (Some[Any], ())
_OWN: dict[str, Any] = {"name": (Word, ""), "settings": (dict[str, Any], {})}
_PLAN = _model(
    "a plan", Plan, recognizers=(Some[Any], ...), attacks=_LIST, universal=_LIST, published=_LIST
)
_VICTIM = _model(
    "a recogniser", name=(Word, ""), file=(Word, ""), faces=(Word, ""), defence=(Word, "")
)
_ATTACK = _model("an attack", method=(Word, ...), **_OWN)
_UNIVERSAL = _model(
    "a universal attack", UniversalSpec, Universal,
    without=("seed", "center_crop", "agn"), **_OWN,
)  # fmt: skip
_PUBLISHED = _model("a published number", Published)


@dataclass(frozen=True, slots=True)
class _Reader:
    """Turns one file's nodes into a plan."""

    path: Path
    lines: dict[_Where, int] = field(default_factory=dict)
    """Where each value stands."""

    def plan(self, root: yaml.Node) -> Plan:
        values = self.value(root, ())
        if isinstance(values, dict):
            if "together" in values:
                sentence = "attacks run one after another now: leave together out"
                raise self.wrong(("together",), sentence)
            if values.get("subjects") == "all":
                values["subjects"] = None
        given = self.given(_PLAN, values, ())
        if "universal" not in given or {"goals", "attacks"} & set(given):
            for name in ("goals", "attacks"):
                if name not in given:
                    raise self.wrong((), f"a plan needs {name}")
        readers: dict[str, Callable[[Any, _Where], object]] = {
            "recognizers": self.victim, "attacks": self.attack, "universal": self.universal,
            "published": lambda one, at: Published(**self.given(_PUBLISHED, one, at)),
        }  # fmt: skip
        for name, read in readers.items():
            if name in given:
                given[name] = tuple(read(one, (name, n)) for n, one in enumerate(given[name]))
        with self.told(()):
            plan = Plan(**given)
        self.check(plan)
        return plan

    def check(self, plan: Plan) -> None:
        """Refuse what does not fit together."""
        for name in ("recognizers", "attacks", "universal"):
            names = [one.name for one in getattr(plan, name)]
            if double := next((one for one in names if names.count(one) > 1), None):
                raise self.wrong((name,), f"{name}: two are called {double!r}: name them")
        victims, attacks = ({o.name for o in some} for some in (plan.recognizers, plan.attacks))
        for one in plan.published:
            if one.recognizer not in victims or one.attack not in attacks:
                sentence = f"published: the plan has no {one.attack} against {one.recognizer}"
                raise self.wrong(("published",), sentence)
        for name in ("goals", "seeds", "subjects"):
            chosen = getattr(plan, name)
            if isinstance(chosen, tuple) and len(set(chosen)) < len(chosen):
                raise self.wrong((name,), f"{name}: the same comes twice")
        named = len(plan.subjects) if isinstance(plan.subjects, tuple) else 0
        if isinstance(plan.targets, tuple) and len(plan.targets) not in (1, named):
            sentence = f"{len(plan.targets)} need as many subjects by name, in their order"
            raise self.wrong(("targets",), f"targets: {sentence}, got {named}")

    def victim(self, value: object, at: _Where) -> PlanVictim:
        given = self.given(_VICTIM, value, at)
        file = Path(given.get("file", "shipped"))
        # Else of a folder, or on the hub.
        usual = file.name if file.suffix != ".safetensors" else file.parent.name or file.stem
        if "faces" in given:
            given["faces"] = Path(given["faces"])
        with self.told(at):
            return PlanVictim(**{"name": usual, **given})

    def attack(self, value: object, at: _Where) -> PlannedAttack:
        given = self.given(_ATTACK, {"method": value} if isinstance(value, str) else value, at)
        with self.told((*at, "method")):
            usual = find_attack(given["method"])
        method = self.settings(usual, given.get("settings", {}), (*at, "settings"))
        with self.told(at):
            return PlannedAttack(
                name=given.get("name", given["method"].rpartition(":")[2]), method=method
            )

    def universal(self, value: object, at: _Where) -> PlannedUniversal:
        given = self.given(_UNIVERSAL, value, at)
        name, settings = given.pop("name", "universal"), given.pop("settings", {})
        agn = self.settings(UNIVERSAL_AGN, settings, (*at, "settings"))
        if agn.epochs != UNIVERSAL_AGN.epochs:
            raise self.wrong((*at, "settings"), "epochs: of a universal attack, steps says it")
        who = {one.name for one in dataclasses.fields(UniversalSpec)} & set(given)
        people = {one: given.pop(one) for one in who}
        with self.told(at):
            return PlannedUniversal(
                name=name, experiment=UniversalSpec(**people), method=Universal(agn=agn, **given)
            )

    def settings(self, usual: _Settings, value: object, at: _Where) -> _Settings:
        """An attack's usual settings, but for those given."""
        given = self.given(_model("this attack", type(usual)), value, at)
        if "kind" in given:
            raise self.wrong((*at, "kind"), "kind: the method says it")
        assert dataclasses.is_dataclass(usual)
        assert not isinstance(usual, type)
        with self.told(at):
            return replace(usual, **given)

    def given(self, model: type[BaseModel], value: object, at: _Where) -> dict[str, Any]:
        """The values that a mapping gives, each of the type that its field has."""
        try:
            found = model.model_validate(value)
        except ValidationError as error:
            raise self.explain(error, model, at) from error
        return {name: getattr(found, name) for name in found.model_fields_set}

    def explain(self, error: ValidationError, model: type[BaseModel], at: _Where) -> ConfigError:
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
        takes = [re.sub("^(Input|Tuple|Value error,) should ", "", one) for one in said]
        words = " or ".join(dict.fromkeys(takes))
        words = words.replace("valid tuple", "list").replace("or be ", "or ")
        value = first["input"]
        got = f", got {value!r:.80}" if isinstance(value, str | int | float) else ""
        return self.wrong(where, f"{name} should {words}{got}")

    @contextlib.contextmanager
    def told(self, at: _Where) -> Iterator[None]:
        """Name the file and the line in what is refused."""
        try:
            yield
        except ConfigError as error:
            raise self.wrong(at, str(error)) from error

    def wrong(self, at: _Where, sentence: str) -> ConfigError:
        """What to raise: the sentence, with the file and the line."""
        return ConfigError(f"{self.path}, line {self.lines[self.nearest(at)]}: {sentence}")

    def nearest(self, at: _Where) -> _Where:
        """The way to the value, or as far as it leads."""
        while at not in self.lines:
            at = at[:-1]
        return at

    def value(self, node: yaml.Node, at: _Where) -> Any:
        """A node as a plain value, with all that is in it."""
        self.lines.setdefault(at, node.start_mark.line + 1)
        if len(self.lines) > _MOST:
            raise ConfigError(f"{self.path} has more than {_MOST} values")
        if isinstance(node, yaml.SequenceNode):
            return tuple(self.value(one, (*at, n)) for n, one in enumerate(node.value))
        if isinstance(node, yaml.MappingNode):
            found: dict[str, object] = {}
            for key, value in node.value:
                name = str(key.value)
                self.lines[*at, name] = key.start_mark.line + 1
                if name in found:
                    raise self.wrong((*at, name), f"{name} comes twice")
                found[name] = self.value(value, (*at, name))
            return found
        key = at[-1] if at and isinstance(at[-1], str) else f"{''.join(map(str, at[-2:-1]))}[]"
        is_word = key in _WORDS and node.tag != "tag:yaml.org,2002:null"
        if is_word and key in ("file", "faces", "palette", "surrogates[]") and node.value:
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
