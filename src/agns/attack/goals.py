"""What an attacker wants: objective and success. All signs live here."""

from dataclasses import dataclass, replace
from typing import Literal, Protocol, TypeAlias, get_args, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from agns.data.faces import composed
from agns.errors import ConfigError
from agns.models.victim import Victim, class_of
from agns.types import Labels, Logits

Form: TypeAlias = Literal["logits", "probabilities", "margin"]
"""How the recogniser's error is put in figures.

`logits`: the class's logit minus the sum of the others (the Keras port). `probabilities`: the
same over softmax probabilities (Sharif et al. 2019, section 4.2). `margin`: the class's logit
minus the best other logit (Carlini & Wagner 2017).
"""


def class_objective(logits: Logits, index: int, form: Form) -> Float[Tensor, " batch"]:
    """How strongly each face is taken for one class, in the form asked for."""
    if form == "margin":
        others = torch.cat([logits[:, :index], logits[:, index + 1 :]], 1)
        return logits[:, index] - others.amax(1)
    values = logits.softmax(1) if form == "probabilities" else logits
    return 2 * values[:, index] - values.sum(1)


def class_objectives(logits: Logits, indices: Labels, form: Form) -> Float[Tensor, " batch"]:
    """How strongly each face is taken for a class of its own, in the form asked for."""
    columns = indices[:, None]
    if form == "margin":
        others = logits.scatter(1, columns, -torch.inf)
        return logits.gather(1, columns)[:, 0] - others.amax(1)
    values = logits.softmax(1) if form == "probabilities" else logits
    return 2 * values.gather(1, columns)[:, 0] - values.sum(1)


@runtime_checkable
class Wish(Protocol):
    """What the attack with a generator needs to know of a goal, which may be each photo's own."""

    @property
    def name(self) -> str:
        """The goal in a word."""
        ...

    @property
    def stop(self) -> float:
        """The mean probability at which the attack is done."""
        ...

    def on(self, photos: Labels) -> "Wish":
        """The goal for these photos, by their places among all: one row of logits each."""
        ...

    def watched(self, logits: Logits) -> Float[Tensor, " batch"]:
        """Each face's probability of the class that is watched."""
        ...

    def loss(self, logits: Logits, form: Form) -> Float[Tensor, " batch"]:
        """What the attacker lowers, for each face."""
        ...

    def shortfall(self, logits: Logits) -> Float[Tensor, " batch"]:
        """How far each face is from the attacker's wish, in [0, 1], from probabilities."""
        ...

    def probability(self, shortfall: float) -> float:
        """The watched class's probability that a shortfall stands for."""
        ...

    @property
    def allowance(self) -> float:
        """The mean shortfall at which the attack is done."""
        ...

    def succeeded(self, logits: Logits) -> Bool[Tensor, " batch"]:
        """Whether the recogniser's first choice is what the attacker wants."""
        ...


@runtime_checkable
class Goal(Wish, Protocol):
    """A goal that is the same for every photo."""

    @property
    def index(self) -> int:
        """The class whose probability is watched."""
        ...


def _check_stop(stop: float) -> None:
    if not 0 < stop < 1:
        raise ConfigError(f"a stop value must lie in (0, 1), got {stop}")


@dataclass(frozen=True, slots=True)
class Dodge:
    """Be taken for anybody else."""

    subject: int | str
    """The attacker's own class, or its name; see `resolve_goal`."""

    stop: float = 0.01
    """Mean probability of the subject at or below which the attack is done."""

    def __post_init__(self) -> None:
        _check_stop(self.stop)

    @property
    def name(self) -> str:
        """The goal in a word."""
        return "dodge"

    @property
    def index(self) -> int:
        """The subject's class."""
        return _resolved(self.subject)

    @property
    def allowance(self) -> float:
        """The stop value itself."""
        return self.stop

    def on(self, photos: Labels) -> "Dodge":
        """Itself, whatever the photos."""
        return self

    def watched(self, logits: Logits) -> Float[Tensor, " batch"]:
        """The subject's probability."""
        return logits.softmax(1)[:, self.index]

    def loss(self, logits: Logits, form: Form) -> Float[Tensor, " batch"]:
        """The subject's objective: dodging lowers it."""
        return class_objective(logits, self.index, form)

    def shortfall(self, logits: Logits) -> Float[Tensor, " batch"]:
        """The subject's probability."""
        return logits.softmax(1)[:, self.index]

    def probability(self, shortfall: float) -> float:
        """The shortfall itself."""
        return shortfall

    def succeeded(self, logits: Logits) -> Bool[Tensor, " batch"]:
        """Whether somebody else comes first."""
        return logits.argmax(1) != self.index


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DodgeEach:
    """Be taken for anybody else, on photos of many subjects."""

    subjects: Labels
    """For each photo, its subject's class."""

    stop: float = 0.01
    """Mean probability of the photos' own subjects at or below which the attack is done."""

    def __post_init__(self) -> None:
        _check_stop(self.stop)

    @property
    def name(self) -> str:
        """The goal in a word."""
        return "dodge"

    @property
    def allowance(self) -> float:
        """The stop value itself."""
        return self.stop

    def on(self, photos: Labels) -> "DodgeEach":
        """The same for these photos' subjects."""
        return replace(self, subjects=self.subjects[photos])

    def watched(self, logits: Logits) -> Float[Tensor, " batch"]:
        """The subjects' probabilities, each photo's own."""
        return logits.softmax(1).gather(1, self.subjects[:, None])[:, 0]

    def loss(self, logits: Logits, form: Form) -> Float[Tensor, " batch"]:
        """The subjects' objectives: dodging lowers them."""
        return class_objectives(logits, self.subjects, form)

    def shortfall(self, logits: Logits) -> Float[Tensor, " batch"]:
        """The subjects' probabilities."""
        return self.watched(logits)

    def probability(self, shortfall: float) -> float:
        """The shortfall itself."""
        return shortfall

    def succeeded(self, logits: Logits) -> Bool[Tensor, " batch"]:
        """Whether somebody else comes first."""
        return logits.argmax(1) != self.subjects


@dataclass(frozen=True, slots=True)
class Impersonate:
    """Be taken for one other identity."""

    target: int | str
    """The class to be taken for, or its name; see `resolve_goal`."""

    subject: int | str | None = None
    """The attacker's own class or name; None for somebody whom the recogniser does not know."""

    stop: float = 0.924
    """Mean probability of the target at or above which the attack is done."""

    def __post_init__(self) -> None:
        _check_stop(self.stop)
        if self.subject == self.target:
            raise ConfigError("the target is the subject: impersonation needs somebody else")

    @property
    def name(self) -> str:
        """The goal in a word."""
        return "impersonate"

    @property
    def index(self) -> int:
        """The target's class."""
        return _resolved(self.target)

    @property
    def allowance(self) -> float:
        """What the target's mean probability may lack."""
        return 1 - self.stop

    def on(self, photos: Labels) -> "Impersonate":
        """Itself, whatever the photos."""
        return self

    def watched(self, logits: Logits) -> Float[Tensor, " batch"]:
        """The target's probability."""
        return logits.softmax(1)[:, self.index]

    def loss(self, logits: Logits, form: Form) -> Float[Tensor, " batch"]:
        """The target's objective, negated: impersonation raises it."""
        return -class_objective(logits, self.index, form)

    def shortfall(self, logits: Logits) -> Float[Tensor, " batch"]:
        """What the target's probability lacks."""
        return 1 - logits.softmax(1)[:, self.index]

    def probability(self, shortfall: float) -> float:
        """What the shortfall leaves."""
        return 1 - shortfall

    def succeeded(self, logits: Logits) -> Bool[Tensor, " batch"]:
        """Whether the target comes first."""
        return logits.argmax(1) == self.index


def _resolved(identity: int | str) -> int:
    if isinstance(identity, str):
        raise ConfigError(f"the goal names {identity}, and no victim has said which class that is")
    return identity


def resolve_goal(goal: Dodge | Impersonate, victim: Victim) -> Dodge | Impersonate:
    """A goal in a victim's classes, whether it was given names or classes.

    An attacker whom the victim does not know may impersonate, and not dodge.

    Raises:
        ConfigError: The victim does not know somebody, or has no such class.
    """
    if isinstance(goal, Dodge):
        return replace(goal, subject=_class(goal.subject, victim))
    subject = goal.subject
    if isinstance(subject, str):
        subject = class_of(victim, subject) if composed(subject) in victim.identities else None
    elif subject is not None:
        subject = _class(subject, victim)
    return replace(goal, target=_class(goal.target, victim), subject=subject)


def name_goal(goal: Dodge | Impersonate, victim: Victim) -> Dodge | Impersonate:
    """A goal in a victim's classes by names, which another victim may have as other classes."""
    subject = None if goal.subject is None else _name(goal.subject, victim)
    if isinstance(goal, Dodge):
        return replace(goal, subject=_name(goal.subject, victim))
    return replace(goal, target=_name(goal.target, victim), subject=subject)


def _name(identity: int | str, victim: Victim) -> str:
    return identity if isinstance(identity, str) else victim.identities[identity]


def _class(identity: int | str, victim: Victim) -> int:
    if isinstance(identity, str):
        return class_of(victim, identity)
    if not 0 <= identity < len(victim.identities):
        raise ConfigError(
            f"the recogniser has classes from 0 to {len(victim.identities) - 1}, got {identity}"
        )
    return identity


def log_odds(logits: Logits, goal: Goal) -> Float[Tensor, " batch"]:
    """Logarithm of the odds that the attacker's wish is granted: its sigmoid is 1 - shortfall."""
    others = torch.cat([logits[:, : goal.index], logits[:, goal.index + 1 :]], 1).logsumexp(1)
    odds = logits[:, goal.index] - others
    return -odds if goal.name == "dodge" else odds


def check_form(form: str) -> None:
    """Refuse an unknown form of the objective.

    Raises:
        ConfigError: It is none of `Form`.
    """
    if form not in get_args(Form):
        raise ConfigError(f"objective must be one of {', '.join(get_args(Form))}, got {form!r}")
