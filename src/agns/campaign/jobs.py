"""A plan's jobs: one attack each."""

import hashlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from agns.campaign.plan import Plan, PlanVictim
from agns.data.faces import names_told
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


def jobs_of(
    plan: Plan, known: Mapping[str, Sequence[str]], *, by_victim: bool = False
) -> tuple[Job, ...]:
    """All jobs of a plan, those of one victim together.

    Args:
        plan: The plan.
        known: By each victim's name, the identities that it knows and that have photos, in the
            order of its classes.
        by_victim: Draw subjects and targets for each victim by its name, and in the order of its
            classes, as earlier versions did; else victims with the same identities get the same.

    Raises:
        ConfigError: A victim does not know a subject, or there are too few identities. What is
            wrong with the plan's `subjects` or `targets` begins with that word and a colon.
    """
    return tuple(
        job
        for victim in plan.recognizers
        for job in _jobs(plan, victim, known, by_victim=by_victim)
    )


def _jobs(
    plan: Plan, victim: PlanVictim, known: Mapping[str, Sequence[str]], *, by_victim: bool
) -> Iterator[Job]:
    identities = list(known[victim.name])
    if not identities:
        raise ConfigError(f"{victim.name} knows nobody of whom {victim.faces} has photos")
    draws = _Draws(
        key=f"{plan.chosen_by}\0{victim.name if by_victim else ''}",
        identities=identities if by_victim else sorted(identities),
    )
    subjects = _subjects(plan, victim, identities, draws)
    for attack in plan.universal:
        # Before anything is run: how many there are depends on the victim.
        try:
            divide_subjects(identities, attack.experiment)
        except ConfigError as error:
            raise ConfigError(f"{attack.name} of {victim.name}: {error}") from error
    aims: list[tuple[str, str, str | None, str]] = []
    for aim, subject in itertools.product(plan.goals, subjects):
        target = None
        if aim == "impersonate":
            target = _target(plan, victim, subject, identities, draws)
        # The one target of all the others is no subject.
        if target != subject:
            aims += [(aim, subject, target, attack.name) for attack in plan.attacks]
    aims += [(UNIVERSAL, "many", None, attack.name) for attack in plan.universal]
    for (goal, subject, target, name), seed in itertools.product(aims, plan.seeds):
        yield Job(
            recognizer=victim.name, goal=goal, subject=subject, target=target, attack=name,
            seed=seed,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Draws:
    """Choices among a victim's identities, each by a generator of its own."""

    key: str
    """What they follow from."""

    identities: list[str]

    def some(self, count: int) -> set[str]:
        """So many identities."""
        places = torch.randperm(len(self.identities), generator=self._generator())[:count]
        return {self.identities[place] for place in places.tolist()}

    def other(self, subject: str) -> str:
        """One that is not the subject."""
        count, draws = len(self.identities), self._generator("\0", subject)
        step = 1 + int(torch.randint(count - 1, (), generator=draws))
        return self.identities[(self.identities.index(subject) + step) % count]

    def _generator(self, *of: str) -> torch.Generator:
        """For one choice, so that others may come and go beside it."""
        text = "".join((self.key, *of)).encode("utf-8", "surrogatepass")
        return torch.Generator().manual_seed(int.from_bytes(hashlib.sha256(text).digest()[:7]))


def _subjects(plan: Plan, victim: PlanVictim, identities: list[str], draws: _Draws) -> list[str]:
    if plan.subjects is None:
        return identities
    if isinstance(plan.subjects, int):
        if plan.subjects > len(identities):
            raise ConfigError(
                f"subjects: the plan asks for {plan.subjects} subjects, and {victim.name} has "
                f"{len(identities)} identities with photos"
            )
        drawn = draws.some(plan.subjects)
        return [name for name in identities if name in drawn]
    if missing := [name for name in plan.subjects if name not in identities]:
        raise _unknown("subjects", victim, missing[0], identities)
    return list(plan.subjects)


def _target(
    plan: Plan, victim: PlanVictim, subject: str, identities: list[str], draws: _Draws
) -> str:
    if isinstance(plan.targets, tuple):
        named = plan.subjects if isinstance(plan.subjects, tuple) else ()
        one = plan.targets[named.index(subject) if len(plan.targets) > 1 else 0]
        if one not in identities:
            raise _unknown("targets", victim, one, identities)
        if one == subject and subject in named:
            raise ConfigError(f"targets: {subject} cannot be a target of their own")
        return one
    if len(identities) < 2:
        raise ConfigError(f"{victim.name} has nobody to impersonate but {subject}")
    if plan.targets == "random":
        return draws.other(subject)
    return identities[(identities.index(subject) + 1) % len(identities)]


def _unknown(key: str, victim: PlanVictim, name: str, identities: list[str]) -> ConfigError:
    known = names_told(name, identities)
    return ConfigError(f"{key}: {victim.name} knows no {name!r} with photos: {known}")
