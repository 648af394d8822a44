"""Plans as YAML files: read, checked, with defaults where a file says nothing.

Convention:
    A mistake is told with the line it stands in and the key it belongs to. Files and folders are
    taken from where the command runs, as they are on the command line.
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, get_args

import yaml

from agns.attack.attack import Attack
from agns.attack.methods import METHODS, find_attack
from agns.attack.universal import UNIVERSAL_AGN, Universal
from agns.errors import ConfigError
from agns.evaluation.campaign.nodes import NodeReader
from agns.evaluation.campaign.plan import (
    Crowd,
    Entry,
    GoalName,
    Plan,
    PlanVictim,
    Published,
    TargetRule,
)
from agns.evaluation.universal import UniversalSpec
from agns.object_reference import is_reference

_Value = TypeVar("_Value")
_Method = TypeVar("_Method", bound=Attack)


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
class _Reader(NodeReader):
    """Turns nodes into a plan."""

    def plan(self, node: yaml.Node | None) -> Plan:
        if node is None:
            raise ConfigError(f"{self.path} is empty")
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if key.value == "together":
                raise self.wrong(key, "attacks run one after another now: leave together out")
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
            published=listed("published", self.published),
            transfer="transfer" in fields and self.flag(fields["transfer"], "transfer"),
        )
        self.check(plan, fields)
        return plan

    def check(self, plan: Plan, fields: Mapping[str, yaml.Node]) -> None:
        """Refuse what does not fit together."""
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
            chosen = getattr(plan, name)
            if isinstance(chosen, tuple) and len(set(chosen)) < len(chosen):
                raise self.wrong(fields[name], f"{name}: the same comes twice")
        if isinstance(plan.targets, tuple) and len(plan.targets) > 1:
            named = plan.subjects if isinstance(plan.subjects, tuple) else ()
            if len(named) != len(plan.targets):
                raise self.wrong(
                    fields["targets"],
                    f"targets: {len(plan.targets)} need as many subjects by name, in their order, "
                    f"got {len(named)}",
                )

    def victim(self, node: yaml.Node, key: str) -> PlanVictim:
        fields = self.fields(node, "a recogniser", PlanVictim)
        file, faces = (
            Path(self.path_of(fields[name], name)) if name in fields else None
            for name in ("file", "faces")
        )
        usual = "shipped" if file is None else file.parent.name or file.stem
        if file is not None and file.suffix != ".safetensors":
            usual = file.name  # of a folder, or on the hub
        name = self.text(fields["name"], "name") if "name" in fields else usual
        defence = self.text(fields["defence"], "defence") if "defence" in fields else None
        try:
            return PlanVictim(name=name, file=file, faces=faces, defence=defence)
        except ConfigError as error:
            raise self.wrong(node, str(error)) from error

    def entry(self, node: yaml.Node, key: str) -> Entry:
        if isinstance(node, yaml.ScalarNode):
            name, method = self.method(node, key)
            return Entry(name=name, method=method)
        fields = self.keys(node, "an attack", ("name", "method", "settings"))
        if "method" not in fields:
            raise self.wrong(node, "an attack needs a method")
        name, method = self.method(fields["method"], "method")
        if "settings" in fields:
            method = self.settings(fields["settings"], method)
        called = self.text(fields["name"], "name") if "name" in fields else name
        return Entry(name=called, method=method)

    def method(self, node: yaml.Node, key: str) -> tuple[str, Attack]:
        """An attack by its name, or the user's own as `package.module:Class`."""
        if isinstance(node, yaml.ScalarNode) and is_reference(str(node.value)):
            try:
                return str(node.value).rpartition(":")[2], find_attack(str(node.value))
            except ConfigError as error:
                raise self.wrong(node, str(error)) from error
        name = self.one_of(node, key, list(METHODS))
        return name, METHODS[name]

    def goal(self, node: yaml.Node, key: str) -> GoalName:
        return self.one_of(node, key, get_args(GoalName))

    def crowd(self, node: yaml.Node, key: str) -> Crowd:
        who, how = ("subjects", "unseen", "craft"), ("clusters", "candidates", "frames", "steps")
        known = ("name", *who, "counts", *how, "stop", "settings")
        fields = self.keys(node, "a universal attack", known)
        people = self.valued(fields, UniversalSpec, who)
        if "counts" in fields:
            people["counts"] = self.each(fields["counts"], "counts", self.count)
        method = self.valued(fields, Universal, (*how, "stop"))
        if "settings" in fields:
            method["agn"] = self.settings(fields["settings"], UNIVERSAL_AGN)
            if method["agn"].epochs != UNIVERSAL_AGN.epochs:
                raise self.wrong(fields["settings"], "passes: of a universal attack, steps says it")
        name = self.text(fields["name"], "name") if "name" in fields else "universal"
        try:
            return Crowd(
                name=name,
                experiment=UniversalSpec(**people),
                method=Universal(**method),
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
        if "kind" in fields:
            raise self.wrong(fields["kind"], "kind: the method says it")
        assert dataclasses.is_dataclass(usual)
        assert not isinstance(usual, type)
        unchanged = {one.name: getattr(usual, one.name) for one in dataclasses.fields(usual)}
        given = self.valued(fields, type(usual), list(fields))
        if given.get("palette") is not None:
            given["palette"] = self.path_of(fields["palette"], "palette")
        try:
            return type(usual)(**{**unchanged, **given})
        except ConfigError as error:
            raise self.wrong(node, str(error)) from error

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
