"""Plans as YAML files: read, checked, with defaults where a file says nothing.

Files and folders are taken from where the command runs, as on the command line.
"""

import contextlib
import dataclasses
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, create_model

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
from agns.yaml_file import Where, YamlFile, read_yaml

_Settings = TypeVar("_Settings", bound=Attack)
_WORDS = {
    "name", "file", "faces", "defence", "palette", "method", "recognizer", "goal", "attack",
    "targets",
    *(f"{key}[]" for key in ("subjects", "targets", "goals", "attacks", "surrogates")),
}  # fmt: skip
"""Keys, and the lists under keys, whose scalars are taken as they are written: No is a name."""


def read_plan(path: Path) -> Plan:
    """Read a plan.

    Raises:
        ConfigError: There is no such file, or something in it cannot be used: the sentence names
            the line and the key.
    """
    return _Reader(_read(path)).plan()


def _read(path: Path) -> YamlFile:
    return read_yaml(path, "plan", words=_WORDS, homes=("file", "faces", "palette", "surrogates[]"))


@contextlib.contextmanager
def naming(path: Path, *at: str | int) -> Iterator[None]:
    """Name a plan that was read in what turns out to be wrong, with the line of what `at` leads to.

    Without `at`, it is the line of the key that the sentence begins with, if it does with one.
    """
    try:
        yield
    except ConfigError as error:
        file, at = _read(path), at or (str(error).partition(":")[0],)
        if at in file.lines:
            raise file.wrong(at, str(error)) from error
        raise ConfigError(f"{path}: {error}") from error


def _model(
    title: str, *kinds: type, without: tuple[str, ...] = (), strict: bool = True, **own: Any
) -> type[BaseModel]:
    """What takes the fields of dataclasses, and its own, and no more.

    Raises:
        ConfigError: The type of a field cannot be told when its class runs.
    """
    fields: dict[str, Any] = {}
    for kind in kinds:
        try:
            hints = typing.get_type_hints(kind, include_extras=True)
        except NameError as error:
            raise ConfigError(
                f"the settings' types of {kind.__name__} are not at hand: {error}"
            ) from error
        for one in dataclasses.fields(kind):
            factory = one.default_factory is not dataclasses.MISSING
            needed = one.default is dataclasses.MISSING and not factory
            # What a factory makes is left to the class itself.
            fields[one.name] = (
                hints[one.name],
                ... if needed else None if factory else one.default,
            )
    fields = {name: kind for name, kind in {**fields, **own}.items() if name not in without}
    config = ConfigDict(strict=strict, extra="forbid", title=title, arbitrary_types_allowed=True)
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

    file: YamlFile

    def plan(self) -> Plan:
        values = self.file.values
        if isinstance(values, dict):
            if "together" in values:
                sentence = "attacks run one after another now: leave together out"
                raise self.file.wrong(("together",), sentence)
            if values.get("subjects") == "all":
                values["subjects"] = None
        given = self.file.given(_PLAN, values, ())
        if "universal" not in given or {"goals", "attacks"} & set(given):
            for name in ("goals", "attacks"):
                if name not in given:
                    raise self.file.wrong((), f"a plan needs {name}")
        readers: dict[str, Callable[[Any, Where], object]] = {
            "recognizers": self.victim, "attacks": self.attack, "universal": self.universal,
            "published": lambda one, at: Published(**self.file.given(_PUBLISHED, one, at)),
        }  # fmt: skip
        for name, read in readers.items():
            if name in given:
                given[name] = tuple(read(one, (name, n)) for n, one in enumerate(given[name]))
        with self.file.told(()):
            plan = Plan(**given)
        self.check(plan)
        return plan

    def check(self, plan: Plan) -> None:
        """Refuse what does not fit together."""
        for name in ("recognizers", "attacks", "universal"):
            names = [one.name for one in getattr(plan, name)]
            if double := next((one for one in names if names.count(one) > 1), None):
                raise self.file.wrong((name,), f"{name}: two are called {double!r}: name them")
        victims, attacks = ({o.name for o in some} for some in (plan.recognizers, plan.attacks))
        for one in plan.published:
            if one.recognizer not in victims or one.attack not in attacks:
                sentence = f"published: the plan has no {one.attack} against {one.recognizer}"
                raise self.file.wrong(("published",), sentence)
        for name in ("goals", "seeds", "subjects"):
            chosen = getattr(plan, name)
            if isinstance(chosen, tuple) and len(set(chosen)) < len(chosen):
                raise self.file.wrong((name,), f"{name}: the same comes twice")
        named = len(plan.subjects) if isinstance(plan.subjects, tuple) else 0
        if isinstance(plan.targets, tuple) and len(plan.targets) not in (1, named):
            sentence = f"{len(plan.targets)} need as many subjects by name, in their order"
            raise self.file.wrong(("targets",), f"targets: {sentence}, got {named}")

    def victim(self, value: object, at: Where) -> PlanVictim:
        given = self.file.given(_VICTIM, value, at)
        file = Path(given.get("file", "shipped"))
        # Else of a folder, or on the hub.
        usual = file.name if file.suffix != ".safetensors" else file.parent.name or file.stem
        if "faces" in given:
            given["faces"] = Path(given["faces"])
        with self.file.told(at):
            return PlanVictim(**{"name": usual, **given})

    def attack(self, value: object, at: Where) -> PlannedAttack:
        given = self.file.given(_ATTACK, {"method": value} if isinstance(value, str) else value, at)
        with self.file.told((*at, "method")):
            usual = find_attack(given["method"])
        method = self.settings(usual, given.get("settings", {}), (*at, "settings"))
        with self.file.told(at):
            return PlannedAttack(
                name=given.get("name", given["method"].rpartition(":")[2]), method=method
            )

    def universal(self, value: object, at: Where) -> PlannedUniversal:
        given = self.file.given(_UNIVERSAL, value, at)
        name, settings = given.pop("name", "universal"), given.pop("settings", {})
        agn = self.settings(UNIVERSAL_AGN, settings, (*at, "settings"))
        if agn.epochs != UNIVERSAL_AGN.epochs:
            raise self.file.wrong((*at, "settings"), "epochs: of a universal attack, steps says it")
        who = {one.name for one in dataclasses.fields(UniversalSpec)} & set(given)
        people = {one: given.pop(one) for one in who}
        with self.file.told(at):
            return PlannedUniversal(
                name=name, experiment=UniversalSpec(**people), method=Universal(agn=agn, **given)
            )

    def settings(self, usual: _Settings, value: object, at: Where) -> _Settings:
        """An attack's usual settings, but for those given."""
        kind = type(usual)
        with self.file.told(at):
            # A YAML file has no tuples, paths or enumerations, which a user's class may ask for.
            model = _model("this attack", kind, strict=kind.__module__.startswith("agns."))
        given = self.file.given(model, value, at)
        if "kind" in given:
            raise self.file.wrong((*at, "kind"), "kind: the method says it")
        assert dataclasses.is_dataclass(usual)
        assert not isinstance(usual, type)
        with self.file.told(at):
            return replace(usual, **given)
