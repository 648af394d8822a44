"""A plan's jobs: one attack each."""

import hashlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from agns.campaign.plan import Plan, PlanVictim
from agns.errors import ConfigError
from agns.evaluation.universal import divide_subjects

UNIVERSAL = "universal"
"""The goal of a job that makes a few frames for many subjects; it has no one subject."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One attack of a campaign."""

    recognizer: str
    """The victim's name in the plan."""
    goal: str
    subject: str
    target: str | None
    attack: str
    """The attack's name in the plan."""
    seed: int

    @property
    def title(self) -> str:
        """Who wants what, for a progress bar or a caption."""
        if self.goal == UNIVERSAL:
            return f"frames for many, {self.attack}"
        aim = "dodges" if self.target is None else f"as {self.target}"
        return f"{self.subject} {aim}, {self.attack}"

    @property
    def key(self) -> str:
        """A name for the job's folder, the same in every run: words, and a digest of all."""
        parts = (
            self.recognizer, self.goal, self.subject, self.target or "", self.attack, str(self.seed)
        )  # fmt: skip
        own = hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:10]
        words = "-".join(parts[1:3])
        plain = "".join(sign if sign.isalnum() or sign in "-_" else "_" for sign in words)
        return f"{plain[:60]}-{own}"

    def folder(self, out: Path) -> Path:
        """Where its artefacts lie in a campaign's directory."""
        return out / "cells" / self.key


def jobs_of(plan: Plan, known: Mapping[str, Sequence[str]]) -> tuple[Job, ...]:
    """All jobs of a plan, those of one victim together.

    Args:
        plan: The plan.
        known: By each victim's name, the identities that it knows and that have photos, in the
            order of its classes.

    Raises:
        ConfigError: A victim does not know a subject, or there are too few identities.
    """
    return tuple(job for victim in plan.recognizers for job in _jobs(plan, victim, known))


def _jobs(plan: Plan, victim: PlanVictim, known: Mapping[str, Sequence[str]]) -> Iterator[Job]:
    identities = list(known[victim.name])
    if not identities:
        raise ConfigError(f"{victim.name} knows nobody of whom {victim.faces} has photos")
    subjects = _subjects(plan, victim, identities)
    for attack in plan.universal:
        # Before anything is run: how many there are depends on the victim.
        try:
            divide_subjects(identities, attack.experiment)
        except ConfigError as error:
            raise ConfigError(f"{attack.name} of {victim.name}: {error}") from error
    aims: list[tuple[str, str, str | None, str]] = []
    for aim, subject in itertools.product(plan.goals, subjects):
        target = _target(plan, victim, subject, identities) if aim == "impersonate" else None
        # The one target of all the others is no subject.
        if target != subject:
            aims += [(aim, subject, target, attack.name) for attack in plan.attacks]
    aims += [(UNIVERSAL, "many", None, attack.name) for attack in plan.universal]
    for (goal, subject, target, name), seed in itertools.product(aims, plan.seeds):
        yield Job(
            recognizer=victim.name, goal=goal, subject=subject, target=target, attack=name,
            seed=seed,
        )  # fmt: skip


def _subjects(plan: Plan, victim: PlanVictim, identities: list[str]) -> list[str]:
    if plan.subjects is None:
        return identities
    if isinstance(plan.subjects, int):
        if plan.subjects > len(identities):
            raise ConfigError(
                f"the plan asks for {plan.subjects} subjects, and {victim.name} has "
                f"{len(identities)} identities with photos"
            )
        drawn = torch.randperm(len(identities), generator=_draws(plan, victim.name))
        return [identities[place] for place in sorted(drawn[: plan.subjects].tolist())]
    if missing := [name for name in plan.subjects if name not in identities]:
        raise ConfigError(f"{victim.name} knows no {missing[0]!r} with photos")
    return list(plan.subjects)


def _target(plan: Plan, victim: PlanVictim, subject: str, identities: list[str]) -> str:
    if isinstance(plan.targets, tuple):
        named = plan.subjects if isinstance(plan.subjects, tuple) else ()
        one = plan.targets[named.index(subject) if len(plan.targets) > 1 else 0]
        if one not in identities:
            raise ConfigError(f"targets: {victim.name} knows no {one!r} with photos")
        if one == subject and subject in named:
            raise ConfigError(f"targets: {subject} cannot be a target of their own")
        return one
    if len(identities) < 2:
        raise ConfigError(f"{victim.name} has nobody to impersonate but {subject}")
    place = identities.index(subject)
    step = 1
    if plan.targets == "random":
        draws = _draws(plan, f"{victim.name}\0{subject}")
        step = 1 + int(torch.randint(len(identities) - 1, (), generator=draws))
    return identities[(place + step) % len(identities)]


def _draws(plan: Plan, name: str) -> torch.Generator:
    """A generator of its own for one choice, so that others may come and go beside it."""
    text = f"{plan.chosen_by}\0{name}".encode("utf-8", "surrogatepass")
    own = hashlib.sha256(text).digest()
    return torch.Generator().manual_seed(int.from_bytes(own[:7]))
