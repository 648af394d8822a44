"""What is attacked, for whom, and when it is enough."""

from dataclasses import dataclass, replace
from typing import Literal

from agns.attack.goals import Dodge, Goal, Impersonate, resolve_goal
from agns.data.faces import composed
from agns.errors import ConfigError
from agns.models.victim import Victim

PHYSICAL_STOPS = {"dodge": 0.005, "impersonate": 0.990}
"""Stop values of physical attacks: photos differ more than the craft photos show."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttackSpec:
    """What is attacked, for whom, and on how many photos."""

    goal: Literal["dodge", "impersonate"]
    """The goal."""

    subject: str
    """The identity that wears the glasses; a class of the recogniser's unless impersonating."""

    target: str | None = None
    """The identity to be taken for; only when impersonating."""

    stop: float | None = None
    """Stop value; when not given, the goal's own: 0.01 or 0.924, physically 0.005 or 0.990 (Sharif
    et al. 2019, section 5.2)."""

    craft: int = 16
    """Most photos to craft on; at most half of the subject's where none was trained on."""

    control_frames: int = 32
    """Frames of each control."""

    seed: int = 0
    """Seed of the split and of every draw."""

    physical: bool = False
    """Whether the photos show a worn frame that the generated one is warped onto."""

    center_crop: int | None = None
    """The central square that the photos were cut to; None where it is the recogniser's own."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "subject", composed(self.subject))
        if self.target is not None:
            object.__setattr__(self, "target", composed(self.target))
        if self.goal == "dodge" and self.target is not None:
            raise ConfigError("dodging has no target")
        if self.goal == "impersonate" and self.target is None:
            raise ConfigError("impersonation needs a target: name one with --target")
        if self.control_frames < 1:
            raise ConfigError(f"control_frames must be at least 1, got {self.control_frames}")


def build_goal(spec: AttackSpec, recognizer: Victim) -> Goal:
    """The goal in the recogniser's classes.

    Raises:
        ConfigError: The recogniser does not know the target, or the subject who is to dodge it,
            or they are one.
    """
    stop = spec.stop
    if stop is None and spec.physical:
        stop = PHYSICAL_STOPS[spec.goal]
    goal: Goal = Dodge(spec.subject)
    if spec.target is not None:
        if spec.target == spec.subject:
            raise ConfigError(
                f"the target {spec.target} is the subject: impersonation needs somebody else"
            )
        goal = Impersonate(spec.target, subject=spec.subject)
    return resolve_goal(goal if stop is None else replace(goal, stop=stop), recognizer)
