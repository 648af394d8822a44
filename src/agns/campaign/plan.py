"""What a campaign is to run."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

from pydantic import AfterValidator, Field

from agns.attack.attack import Attack
from agns.attack.universal import Universal
from agns.data.faces import composed
from agns.errors import ConfigError
from agns.evaluation.universal import UniversalSpec
from agns.writing import is_text

_Value = TypeVar("_Value")

GoalName = Literal["dodge", "impersonate"]
TargetRule = Literal["next", "random"]


def _not_empty(word: str) -> str:
    if not word:
        raise ValueError("should not be empty")
    return word


Word: TypeAlias = Annotated[str, AfterValidator(_not_empty)]
Some: TypeAlias = Annotated[tuple[_Value, ...], Field(min_length=1)]
"""At least one, where a file names any."""
Count: TypeAlias = Annotated[int, Field(ge=1, lt=2**63)]
Seed: TypeAlias = Annotated[int, Field(ge=0, lt=2**63)]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanVictim:
    """A recogniser to attack, and the faces to attack it with."""

    name: Word
    """What tables call it."""

    file: Word | None = None
    """Its weights; None for the recogniser that comes with agns."""

    faces: Path | None = None
    """A face folder; None for drawn faces."""

    defence: Word | None = None
    """A defence around it: by name, a file, or `package.module:Name`."""

    def __post_init__(self) -> None:
        check_name("a recogniser", self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedAttack:
    """One attack of a plan."""

    name: Word
    """What tables call it."""

    method: Attack
    """The attack's settings, without a seed of their own."""

    def __post_init__(self) -> None:
        check_name("an attack", self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedUniversal:
    """A universal attack of a plan: a few frames for many subjects."""

    name: Word
    """What tables call it."""

    experiment: UniversalSpec
    """Who takes part, by each of the plan's seeds."""

    method: Universal
    """The attack's settings, without a seed of their own."""

    def __post_init__(self) -> None:
        check_name("a universal attack", self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What somebody else reported of one recogniser, goal and attack."""

    recognizer: Word
    goal: GoalName
    attack: Word
    percent: Annotated[float, Field(ge=0, le=100)]
    """Of attacks that succeeded on their own photos, in [0, 100]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Recognisers x goals x subjects x attacks x seeds, and recognisers x universal x seeds."""

    recognizers: Some[PlanVictim]
    goals: Some[GoalName] = ()
    attacks: Some[PlannedAttack] = ()
    universal: Some[PlannedUniversal] = ()
    """Attacks that make a few frames for many subjects, drawn by each seed."""
    subjects: Some[Word] | Count | None = None
    """Names, or so many chosen by `chosen_by`, or None for all that a recogniser knows."""
    targets: TargetRule | Some[Word] = "next"
    """Whom subjects impersonate: the next identity in order, or one drawn by the seed; or the names
    of one for all others, or of one for each of the subjects named."""
    chosen_by: Seed = 0
    """Seed of the choice of subjects and targets, the same for all attacks."""
    seeds: Some[Seed] = (0,)
    """Each attack runs once with each."""
    craft: Count = 16
    """Craft photos of a subject, at most."""
    control_frames: Count = 32
    """Frames of each control."""
    frames: Count | None = None
    """Drawn eyeglasses that attacks see, None for the whole set."""
    transfer: bool = False
    """Whether each frame is scored on the other recognisers too, where they know its people."""
    published: Some[Published] = ()
    """Numbers to stand beside those measured."""

    def __post_init__(self) -> None:
        for name in ("subjects", "targets"):
            people = getattr(self, name)
            if isinstance(people, tuple):
                for person in people:
                    check_name(f"one of the {name}", person)
                object.__setattr__(self, name, tuple(map(composed, people)))


def check_name(whose: str, name: str) -> None:
    """Refuse a name that neither a ledger nor a report could hold.

    Raises:
        ConfigError: It is not UTF-8 text.
    """
    if not is_text(name):
        raise ConfigError(
            f"{whose} is called {name!r}, which is not UTF-8 text: give it another name"
        )


def plan_as_json(plan: Plan) -> dict[str, object]:
    """A plan with every default written out, as JSON values."""
    written = dataclasses.asdict(plan)
    for victim in written["recognizers"]:
        victim["faces"] = None if victim["faces"] is None else str(victim["faces"])
    return written


def same_plan(known: Mapping[str, object], plan: Mapping[str, object]) -> bool:
    """Whether a plan is the one that a ledger was begun with.

    Weights and photos are known by content, wherever they lie. What plans could not say yet when it
    was begun, they leave empty now; how many attacks were made side by side they once said.
    """
    return _by_content(known) == _by_content(plan)


def _by_content(plan: Mapping[str, object]) -> str:
    recognizers = plan.get("recognizers")
    victims = [
        {
            **{name: value for name, value in victim.items() if name != "defence" or value},
            **{name: victim.get(name) is not None for name in ("file", "faces")},
        }
        for victim in (recognizers if isinstance(recognizers, list | tuple) else ())
        if isinstance(victim, dict)
    ]
    told = {name: value for name, value in {**plan, "recognizers": victims}.items() if value}
    told.pop("together", None)
    told = with_present_names(told)
    # Names may have been encoded otherwise on another system.
    return composed(json.dumps(told, sort_keys=True, ensure_ascii=False))


FORMER_NAMES = {
    "smoothness": "tv_weight",
    "printability": "nps_weight",
    "headroom": "saturation_margin",
    "lead": "min_fake_score",
    "passes": "epochs",
}
"""Settings of attacks by the names that ledgers of earlier versions have."""


def with_present_names(value: Any, *, settings: bool = False) -> Any:
    """A recorded plan with today's names of settings; their seed is the plan's now."""
    if isinstance(value, list | tuple):
        return [with_present_names(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        FORMER_NAMES.get(name, name) if settings else name: with_present_names(
            one, settings=name in ("method", "agn")
        )
        for name, one in value.items()
        if not (settings and name == "seed")
    }
