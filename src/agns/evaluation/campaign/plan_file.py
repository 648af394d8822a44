"""Plans as YAML files: read, checked, with defaults where a file says nothing.

Convention:
    A mistake is told with the line it stands in and the key it belongs to. Files and folders are
    taken from where the command runs, as they are on the command line.
"""

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

from agns.attack.methods import METHODS, Method
from agns.attack.universal import UNIVERSAL_AGN, UniversalConfig
from agns.errors import ConfigError
from agns.evaluation.campaign.plan import (
    Crowd,
    Entry,
    GoalName,
    Plan,
    Published,
    TargetRule,
    Victim,
)
from agns.evaluation.universal import UniversalExperiment

_Value = TypeVar("_Value")
_Word = TypeVar("_Word", bound=str)
_Method = TypeVar("_Method", bound=Method)
_EXPONENT = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+")


def read_plan(path: Path) -> Plan:
    """Read a plan.

    Raises:
        ConfigError: There is no such file, or something in it cannot be used: the sentence names
            the line and the key.
    """
    if not path.is_file():
        raise ConfigError(f"there is no plan {path}")
    try:
        text = path.read_text(encoding="utf-8")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not text") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{path}, line {line}: {error.problem}") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"{path} is no YAML: {error}") from error
    return _Reader(path).plan(node)


@dataclass(frozen=True, slots=True)
class _Reader:
    """Turns YAML's nodes, which know their lines, into settings."""

    path: Path

    def plan(self, node: yaml.Node | None) -> Plan:
        if node is None:
            raise ConfigError(f"{self.path} is empty")
        fields = self.fields(node, "a plan", Plan)
        alone = "universal" in fields and not {"goals", "attacks"} & set(fields)
        for name in ("recognizers",) if alone else ("recognizers", "goals", "attacks"):
            if name not in fields:
                raise self.wrong(node, f"a plan needs {name}")

        def count(name: str, usual: _Value, *, least: int = 1) -> int | _Value:
            return self.count(fields[name], name, least=least) if name in fields else usual

        def listed(name: str, read: Callable[[yaml.Node, str], _Value]) -> tuple[_Value, ...]:
            return self.each(fields[name], name, read) if name in fields else ()

        plan = Plan(
            recognizers=listed("recognizers", self.victim),
            goals=listed("goals", self.goal),
            attacks=listed("attacks", self.entry),
            universal=listed("universal", self.crowd),
            subjects=self.subjects(fields["subjects"]) if "subjects" in fields else None,
            targets=self.targets(fields["targets"]) if "targets" in fields else "next",
            chosen_by=count("chosen_by", 0, least=0),
            seeds=listed("seeds", self.count) or (0,),
            craft=count("craft", 16),
            control_frames=count("control_frames", 32),
            frames=count("frames", None),
            together=count("together", 1),
            published=listed("published", self.published),
            transfer="transfer" in fields and self.flag(fields["transfer"], "transfer"),
        )
        for name in ("recognizers", "attacks", "universal"):
            names = [one.name for one in getattr(plan, name)]
            if double := next((one for one in names if names.count(one) > 1), None):
                raise self.wrong(fields[name], f"{name}: two are called {double!r}: name them")
        for figure in plan.published:
            if figure.recognizer not in {one.name for one in plan.recognizers} or (
                figure.attack not in {one.name for one in plan.attacks}
            ):
                raise self.wrong(
                    fields["published"],
                    f"published: the plan has no {figure.attack} against {figure.recognizer}",
                )
        for name in ("goals", "seeds", "subjects"):
            listed = getattr(plan, name)
            if isinstance(listed, tuple) and len(set(listed)) < len(listed):
                raise self.wrong(fields[name], f"{name}: the same comes twice")
        if isinstance(plan.targets, tuple) and len(plan.targets) > 1:
            named = plan.subjects if isinstance(plan.subjects, tuple) else ()
            if len(named) != len(plan.targets):
                raise self.wrong(
                    fields["targets"],
                    f"targets: {len(plan.targets)} need as many subjects by name, in their order, "
                    f"got {len(named)}",
                )
        return plan

    def wrong(self, node: yaml.Node, sentence: str) -> ConfigError:
        return ConfigError(f"{self.path}, line {node.start_mark.line + 1}: {sentence}")

    def fields(self, node: yaml.Node, what: str, kind: type) -> dict[str, yaml.Node]:
        """A mapping's values by their keys, all of which the kind must have."""
        known = [field.name for field in dataclasses.fields(kind)]
        return self.keys(node, what, known)

    def keys(self, node: yaml.Node, what: str, known: Sequence[str]) -> dict[str, yaml.Node]:
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
        if not isinstance(node, yaml.SequenceNode) or not node.value:
            raise self.wrong(node, f"{key} should be a list of at least one")
        return tuple(read(one, key) for one in node.value)

    def victim(self, node: yaml.Node, key: str) -> Victim:
        fields = self.fields(node, "a recogniser", Victim)
        file, faces = (
            Path(self.path_of(fields[name], name)) if name in fields else None
            for name in ("file", "faces")
        )
        usual = "shipped" if file is None else file.parent.name or file.stem
        name = self.text(fields["name"], "name") if "name" in fields else usual
        return Victim(name=name, file=file, faces=faces)

    def entry(self, node: yaml.Node, key: str) -> Entry:
        if isinstance(node, yaml.ScalarNode):
            name = self.one_of(node, key, list(METHODS))
            return Entry(name=name, method=METHODS[name])
        fields = self.keys(node, "an attack", ("name", "method", "settings"))
        if "method" not in fields:
            raise self.wrong(node, "an attack needs a method")
        name = self.one_of(fields["method"], "method", list(METHODS))
        method = METHODS[name]
        if "settings" in fields:
            method = self.settings(fields["settings"], method)
        called = self.text(fields["name"], "name") if "name" in fields else name
        return Entry(name=called, method=method)

    def goal(self, node: yaml.Node, key: str) -> GoalName:
        return self.one_of(node, key, get_args(GoalName))

    def crowd(self, node: yaml.Node, key: str) -> Crowd:
        who, how = ("subjects", "unseen", "craft"), ("clusters", "candidates", "frames", "steps")
        known = ("name", *who, "counts", *how, "stop", "settings")
        fields = self.keys(node, "a universal attack", known)
        people = self.valued(fields, UniversalExperiment, who)
        if "counts" in fields:
            people["counts"] = self.each(fields["counts"], "counts", self.count)
        method = self.valued(fields, UniversalConfig, (*how, "stop"))
        if "settings" in fields:
            method["agn"] = self.settings(fields["settings"], UNIVERSAL_AGN)
            if method["agn"].passes != UNIVERSAL_AGN.passes:
                raise self.wrong(fields["settings"], "passes: of a universal attack, steps says it")
        name = self.text(fields["name"], "name") if "name" in fields else "universal"
        try:
            return Crowd(
                name=name,
                experiment=UniversalExperiment(**people),
                method=UniversalConfig(**method),
            )
        except ConfigError as error:
            raise self.wrong(node, str(error)) from error

    def published(self, node: yaml.Node, key: str) -> Published:
        fields = self.fields(node, "a published figure", Published)
        if len(fields) < len(dataclasses.fields(Published)):
            raise self.wrong(node, "a published figure needs recognizer, goal, attack and percent")
        percent = self.typed(fields["percent"], "percent", float)
        assert isinstance(percent, float)
        if not 0 <= percent <= 100:
            raise self.wrong(node, f"percent must lie in [0, 100], got {percent}")
        return Published(
            recognizer=self.text(fields["recognizer"], "recognizer"),
            goal=self.one_of(fields["goal"], "goal", get_args(GoalName)),
            attack=self.text(fields["attack"], "attack"),
            percent=percent,
        )

    def settings(self, node: yaml.Node, usual: _Method) -> _Method:
        fields = self.fields(node, "this attack", type(usual))
        if "seed" in fields:
            raise self.wrong(fields["seed"], "seed: the plan's seeds are for all attacks")
        if "kind" in fields:
            raise self.wrong(fields["kind"], "kind: the method says it")
        unchanged = {one.name: getattr(usual, one.name) for one in dataclasses.fields(usual)}
        given = self.valued(fields, type(usual), list(fields))
        if given.get("palette") is not None:
            given["palette"] = self.path_of(fields["palette"], "palette")
        try:
            return type(usual)(**{**unchanged, **given})
        except ConfigError as error:
            raise self.wrong(node, str(error)) from error

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
        kinds = get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
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

    def subjects(self, node: yaml.Node) -> tuple[str, ...] | int | None:
        if isinstance(node, yaml.SequenceNode):
            return self.each(node, "subjects", self.text)
        if node.value == "all":
            return None
        return self.count(node, "subjects", least=1)

    def targets(self, node: yaml.Node) -> TargetRule | tuple[str, ...]:
        if isinstance(node, yaml.SequenceNode):
            return self.each(node, "targets", self.text)
        if isinstance(node, yaml.MappingNode):
            raise self.wrong(node, "targets should be next, random, or a list of names")
        rule: TargetRule = self.one_of(node, "targets", get_args(TargetRule))
        return rule

    def count(self, node: yaml.Node, key: str, *, least: int = 0) -> int:
        value = self.typed(node, key, int)
        assert isinstance(value, int)
        if not least <= value < 2**63:
            raise self.wrong(node, f"{key} must be at least {least} and below 2**63, got {value}")
        return value

    def flag(self, node: yaml.Node, key: str) -> bool:
        return self.typed(node, key, bool) is True

    def text(self, node: yaml.Node, key: str) -> str:
        if not _is_scalar(node) or not node.value or node.tag == "tag:yaml.org,2002:null":
            raise self.wrong(node, f"{key} should be a word or a path")
        return str(node.value)

    def path_of(self, node: yaml.Node, key: str) -> str:
        """A path, in which ~ is the home folder."""
        path = self.text(node, key)
        try:
            return str(Path(path).expanduser())
        except RuntimeError as error:
            raise self.wrong(node, f"{key}: nobody knows the home folder in {path}") from error

    def one_of(self, node: yaml.Node, key: str, known: Sequence[_Word]) -> _Word:
        if not _is_scalar(node) or node.value not in known:
            raise self.wrong(node, f"{key} should be one of {', '.join(known)}")
        return known[known.index(node.value)]


def _is_scalar(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode)
