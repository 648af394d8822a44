"""What an attacker wants, and when it is reached. All signs live here."""

import operator
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from agns.data.faces import composed
from agns.errors import ConfigError
from agns.models.victim import (
    Task,
    Victim,
    check_identities,
    class_of,
    people_known,
    refuses,
    task_of,
)
from agns.types import Labels, Logits

Objective: TypeAlias = Literal["logits", "probabilities", "margin"]
"""What is lowered or raised for a class.

`logits`: the class's logit minus the sum of the others (the Keras port). `probabilities`: the
same over softmax probabilities (Sharif et al. 2019, section 4.2). `margin`: the class's logit
minus the best other logit (Carlini & Wagner 2017).
"""


Compared: TypeAlias = Float[Tensor, "batch compared"]
"""The logits that decide a goal."""


def class_objective(
    logits: Logits, classes: int | Labels, objective: Objective
) -> Float[Tensor, " batch"]:
    """How strongly each face is taken for a class: one for all faces, or one each."""
    columns = _columns(classes, logits)
    if objective == "margin":
        others = logits.scatter(1, columns, -torch.inf)
        return logits.gather(1, columns)[:, 0] - others.amax(1)
    values = logits.softmax(1) if objective == "probabilities" else logits
    return 2 * values.gather(1, columns)[:, 0] - values.sum(1)


def taken_for(
    logits: Logits, classes: int | Labels, task: Task = "closed-set"
) -> Bool[Tensor, " batch"]:
    """Whether each face is taken for a class: one for all faces, or one each."""
    # A threshold must be passed: whoever is just on it is refused.
    passed = True if task == "closed-set" else logits.gather(1, _columns(classes, logits))[:, 0] > 0
    logits, classes = _compared(logits, classes, task)
    return (logits.argmax(1) == _columns(classes, logits)[:, 0]) & passed


def with_nobody(logits: Logits) -> Compared:
    """Logits and one more, of being nobody who is known: 0, where a threshold lies."""
    return torch.cat([logits, logits.new_zeros(len(logits), 1)], 1)


def _compared(logits: Logits, classes: int | Labels, task: Task) -> tuple[Compared, int | Labels]:
    """The logits that decide whether faces are taken for a class, and its place among them."""
    if task == "closed-set":
        return logits, classes
    if task == "open-set":
        return with_nobody(logits), classes
    return with_nobody(logits.gather(1, _columns(classes, logits))), 0


def _columns(classes: int | Labels, logits: Logits) -> Tensor:
    indices = torch.as_tensor(classes, device=logits.device)
    return indices.expand(len(logits))[:, None]


def _check_stop(stop: float) -> None:
    if isinstance(stop, bool) or not isinstance(stop, int | float) or not 0 < stop < 1:
        raise ConfigError(f"a stop value must lie in (0, 1), got {stop!r}")


@dataclass(frozen=True, slots=True)
class Dodge:
    """Be taken for anybody else."""

    subject: int | str | tuple[int, ...]
    """The attacker's own class, or its name; see `resolve_goal`. Or each photo's own class."""

    stop: float = field(default=0.01, kw_only=True)
    """Mean probability of the subject at or below which the attack is done."""

    task: Task = field(default="closed-set", kw_only=True)
    """The victim's; set by `resolve_goal`."""

    refuses: bool = field(default=False, kw_only=True)
    """Whether the victim's last class is of faces that it refuses, which counts as being caught."""

    def __post_init__(self) -> None:
        _check_stop(self.stop)

    @property
    def name(self) -> Literal["dodge"]:
        """The goal in a word."""
        return "dodge"

    @property
    def index(self) -> int:
        """The subject's class, where all photos have one."""
        return _resolved(self.subject)

    @property
    def max_failure(self) -> float:
        """The mean failure probability at which the attack is done: the stop value itself."""
        return self.stop

    def on(self, photos: Labels) -> "Dodge":
        """The goal for these photos, by their places among all: one row of logits each."""
        if not isinstance(self.subject, tuple):
            return self
        return replace(self, subject=tuple(self.subject[photo] for photo in photos.tolist()))

    def loss(self, logits: Logits, objective: Objective) -> Float[Tensor, " batch"]:
        """What the attacker lowers, for each face: the subject's objective."""
        return class_objective(*self.compared(logits), objective)

    def class_probability(self, logits: Logits) -> Float[Tensor, " batch"]:
        """Each face's probability of the subject, or of being refused."""
        logits, classes = self.compared(logits)
        probabilities = logits.softmax(1)
        if isinstance(classes, int):
            return probabilities[:, classes]
        return probabilities.gather(1, _columns(classes, logits))[:, 0]

    def failure_probability(self, logits: Logits) -> Float[Tensor, " batch"]:
        """How probable it is, to the recogniser, that the goal is missed: the same."""
        return self.class_probability(logits)

    def probability(self, failure: float) -> float:
        """The subject's probability that a failure probability stands for: the same."""
        return failure

    def succeeded(self, logits: Logits) -> Bool[Tensor, " batch"]:
        """Whether somebody else comes first; in verification, whether the claim is rejected."""
        caught = taken_for(logits, self._classes(), self.task)
        if self.refuses:
            caught = caught | taken_for(logits, logits.shape[1] - 1, self.task)
        return ~caught

    def compared(self, logits: Logits) -> tuple[Compared, int | Labels]:
        """The logits that decide, of being caught among them, and the place of that."""
        if self.refuses:
            columns = _columns(self._classes(), logits)
            either = torch.logaddexp(logits.gather(1, columns), logits[:, -1:])
            logits = logits[:, :-1].scatter(1, columns, either)
        return _compared(logits, self._classes(), self.task)

    def _classes(self) -> int | Labels:
        return torch.tensor(self.subject) if isinstance(self.subject, tuple) else self.index


@dataclass(frozen=True, slots=True)
class Impersonate:
    """Be taken for one other identity."""

    target: int | str
    """The class to be taken for, or its name; see `resolve_goal`."""

    subject: int | str | None = field(default=None, kw_only=True)
    """The attacker's own class or name; None for somebody whom the recogniser does not know."""

    stop: float = field(default=0.924, kw_only=True)
    """Mean probability of the target at or above which the attack is done."""

    task: Task = field(default="closed-set", kw_only=True)
    """The victim's; set by `resolve_goal`."""

    def __post_init__(self) -> None:
        _check_stop(self.stop)
        if self.subject == self.target:
            raise ConfigError("the target is the subject: impersonation needs somebody else")

    @property
    def name(self) -> Literal["impersonate"]:
        """The goal in a word."""
        return "impersonate"

    @property
    def index(self) -> int:
        """The target's class."""
        return _resolved(self.target)

    @property
    def max_failure(self) -> float:
        """The mean failure probability at which the attack is done."""
        return 1 - self.stop

    def on(self, photos: Labels) -> "Impersonate":
        """Itself, whatever the photos."""
        return self

    def loss(self, logits: Logits, objective: Objective) -> Float[Tensor, " batch"]:
        """What the attacker lowers, for each face: the target's objective, negated."""
        return -class_objective(*self.compared(logits), objective)

    def class_probability(self, logits: Logits) -> Float[Tensor, " batch"]:
        """Each face's probability of the target."""
        logits, target = self.compared(logits)
        return logits.softmax(1)[:, target]

    def failure_probability(self, logits: Logits) -> Float[Tensor, " batch"]:
        """How probable it is, to the recogniser, that the goal is missed: the rest to 1."""
        return 1 - self.class_probability(logits)

    def probability(self, failure: float) -> float:
        """The target's probability that a failure probability stands for."""
        return 1 - failure

    def succeeded(self, logits: Logits) -> Bool[Tensor, " batch"]:
        """Whether the target comes first; in verification, whether the claim is accepted."""
        return taken_for(logits, self.index, self.task)

    def compared(self, logits: Logits) -> tuple[Compared, int | Labels]:
        """The logits that decide, and the target's place among them."""
        return _compared(logits, self.index, self.task)


Goal: TypeAlias = Dodge | Impersonate


def _resolved(identity: int | str | Sequence[int]) -> int:
    if not isinstance(identity, int):
        raise ConfigError(f"the goal names {identity}, and no victim has said which class that is")
    return identity


def resolve_goal(goal: Goal, victim: Victim) -> Goal:
    """A goal in a victim's classes, whether it was given names or classes.

    An attacker whom the victim does not know may impersonate, and not dodge.

    Raises:
        ConfigError: It is no goal, or the victim does not know somebody, or has no such class.
    """
    if not isinstance(goal, Dodge | Impersonate):
        raise ConfigError(
            f"a goal is agns.Dodge(subject) or agns.Impersonate(target), got {goal!r:.80}"
        )
    check_identities(victim)
    goal = replace(goal, task=task_of(victim))
    if isinstance(goal, Dodge):
        goal = replace(goal, refuses=refuses(victim))
        if isinstance(goal.subject, tuple):
            return replace(goal, subject=tuple(_class(own, victim) for own in goal.subject))
        return replace(goal, subject=_class(goal.subject, victim))
    subject = goal.subject
    if isinstance(subject, str):
        subject = class_of(victim, subject) if composed(subject) in victim.identities else None
    elif subject is not None:
        subject = _class(subject, victim)
    return replace(goal, target=_class(goal.target, victim), subject=subject)


def name_goal(goal: Goal, victim: Victim) -> Goal:
    """A goal in a victim's classes by names, which another victim may have as other classes."""
    if isinstance(goal, Dodge):
        if isinstance(goal.subject, tuple):
            return goal
        return replace(goal, subject=_name(goal.subject, victim))
    subject = None if goal.subject is None else _name(goal.subject, victim)
    return replace(goal, target=_name(goal.target, victim), subject=subject)


def _name(identity: int | str, victim: Victim) -> str:
    return identity if isinstance(identity, str) else victim.identities[identity]


def _class(identity: int | str, victim: Victim) -> int:
    if isinstance(identity, str):
        return class_of(victim, identity)
    people = people_known(victim)
    try:
        if isinstance(identity, bool):
            raise TypeError
        identity = operator.index(identity)
    except TypeError:
        raise ConfigError(f"a goal names somebody by name or class, got {identity!r}") from None
    if not 0 <= identity < len(people):
        raise ConfigError(f"the recogniser has classes from 0 to {len(people) - 1}, got {identity}")
    return identity


def log_odds(logits: Logits, goal: Goal) -> Float[Tensor, " batch"]:
    """Logarithm of the odds that the goal is reached: its sigmoid is 1 - failure probability."""
    logits, own = goal.compared(logits)
    assert isinstance(own, int)
    others = torch.cat([logits[:, :own], logits[:, own + 1 :]], 1).logsumexp(1)
    odds = logits[:, own] - others
    return -odds if goal.name == "dodge" else odds
