"""A campaign's numbers: of attacks by recogniser and goal, at operating points, and of transfer.

Shares lie in [0, 1]. A subject counts by the mean of its attacks; intervals of 95 % come from
resampling subjects.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, TypeAlias

import torch

from agns.campaign.jobs import UNIVERSAL
from agns.campaign.records import JobRecord, TransferRecord
from agns.evaluation.metrics import Success
from agns.evaluation.score import AttackScore, PointScore
from agns.evaluation.statistics import mean_interval, paired_probability

_Rates: TypeAlias = Mapping[str, Sequence[float]]
"""By subject."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttackSummary:
    """All attacks of one kind on one recogniser with one goal."""

    recognizer: str
    goal: str
    attack: str
    planned: int
    """Attacks in the plan."""
    done: int
    """Attacks with a result."""
    failed: int
    subjects: int
    met_stop_value: int
    """Attacks that reached the stop value on the craft photos."""
    met_interval: tuple[float, float]
    """Of its share."""
    published: float | None
    """The share that the plan says somebody else reported; None where it does not say."""
    craft_success: float
    held_out_success: float
    held_out_interval: tuple[float, float]
    recognized_success: float | None
    """Among held-out photos recognised without a frame; None where no subject has any."""
    benign_success: float
    """Of benign frames on the held-out photos."""
    discriminator_score: float
    """Median over attacks, as in what follows."""
    nearest_real: float
    """Distance to the nearest real frame; see `agns.evaluation.stealth`."""
    seconds: float
    """Of the attack alone."""
    against_first: float | None
    """How likely the difference in held-out success from the plan's first attack is by chance,
    paired over subjects; None for the first itself, or where they share no subject."""


def summarize_attacks(
    records: Sequence[JobRecord], plan: Mapping[str, Any] | None = None, *, seed: int = 0
) -> list[AttackSummary]:
    """One for each recogniser, goal and attack that has results, in the plan's order.

    Args:
        records: The ledger's; universal attacks are left to `summarize_universal`.
        plan: As the ledger has it, for published numbers.
        seed: Of the resampling.
    """
    groups: dict[tuple[str, str, str], list[JobRecord]] = {}
    for record in records:
        job = record.job
        if job.goal != UNIVERSAL:
            groups.setdefault((job.recognizer, job.goal, job.attack), []).append(record)
    published = {
        (one["recognizer"], one["goal"], one["attack"]): one["percent"] / 100
        for one in (plan or {}).get("published", ())
    }
    first: dict[tuple[str, str], _Rates] = {}
    found = []
    for (recognizer, goal, attack), group in groups.items():
        results = [one.result for one in group if isinstance(one.result, AttackScore)]
        held = _rates(results, lambda one: one.held_out)
        # The plan's first attack, whether it has results or not.
        base = first.setdefault((recognizer, goal), held)
        if not results:
            continue
        met = by_subject((one.subject, float(one.reached_stop_value)) for one in results)
        rng = torch.Generator().manual_seed(seed)
        shared = [subject for subject in held if subject in base]
        differences = [_mean_of(held[name]) - _mean_of(base[name]) for name in shared]
        recognized = _rates(results, lambda one: one.held_out.recognized)
        found.append(
            AttackSummary(
                recognizer=recognizer,
                goal=goal,
                attack=attack,
                planned=len(group),
                done=len(results),
                failed=sum(one.state == "failed" for one in group),
                subjects=len(held),
                met_stop_value=sum(one.reached_stop_value for one in results),
                met_interval=mean_interval(list(met.values()), rng=rng),
                published=published.get((recognizer, goal, attack)),
                craft_success=mean_rate(_rates(results, lambda one: one.craft)),
                held_out_success=mean_rate(held),
                held_out_interval=mean_interval(list(held.values()), rng=rng),
                recognized_success=mean_rate(recognized) if recognized else None,
                benign_success=mean_rate(_rates(results, lambda one: one.controls["benign"])),
                discriminator_score=median(one.stealth.discriminator_score for one in results),
                nearest_real=median(one.stealth.nearest_real for one in results),
                seconds=median(one.seconds for one in results),
                against_first=(
                    None if base is held or not shared else paired_probability(differences, rng=rng)
                ),
            )
        )
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class PointSummary:
    """The same frames as in an `AttackSummary`, at another threshold of the gallery."""

    recognizer: str
    goal: str
    attack: str
    false_accept_rate: float
    """Of impostors, in (0, 1)."""
    subjects: int
    held_out_success: float
    held_out_interval: tuple[float, float]
    recognized_success: float | None
    """Among held-out photos recognised at this threshold without a frame."""
    benign_success: float
    """Of benign frames on the held-out photos: false rejects, or false accepts as the target."""
    bare_success: float
    """Of no frame on the same."""


def summarize_points(records: Sequence[JobRecord], *, seed: int = 0) -> list[PointSummary]:
    """One for each recogniser, goal, attack and false-accept rate, in the plan's order.

    Args:
        records: The ledger's; attacks on closed sets have no such rates.
        seed: Of the resampling.
    """
    groups: dict[tuple[str, str, str, float], list[tuple[str, PointScore]]] = {}
    for job, result in ((one.job, one.result) for one in records):
        for point in result.operating_points if isinstance(result, AttackScore) else ():
            kind = (job.recognizer, job.goal, job.attack, point.false_accept_rate)
            groups.setdefault(kind, []).append((job.subject, point))
    found = []
    for (recognizer, goal, attack, rate), group in groups.items():
        parts = {
            "held_out": by_subject((name, one.held_out.success_rate) for name, one in group),
            "recognized": by_subject(
                (name, one.held_out.recognized.success_rate) for name, one in group
            ),
            "benign": by_subject(
                (name, one.controls["benign"].success_rate) for name, one in group
            ),
            "bare": by_subject(
                (name, one.held_out_without_frame.success_rate) for name, one in group
            ),
        }
        rng = torch.Generator().manual_seed(seed)
        held = parts["held_out"]
        found.append(
            PointSummary(
                recognizer=recognizer,
                goal=goal,
                attack=attack,
                false_accept_rate=rate,
                subjects=len(held),
                held_out_success=mean_rate(held),
                held_out_interval=mean_interval(list(held.values()), rng=rng),
                recognized_success=mean_rate(parts["recognized"]) if parts["recognized"] else None,
                benign_success=mean_rate(parts["benign"]),
                bare_success=mean_rate(parts["bare"]),
            )
        )
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferSummary:
    """One attack's frames, made against one recogniser, on another."""

    goal: str
    attack: str
    made_against: str
    scored_on: str
    subjects: int
    digital: float
    digital_interval: tuple[float, float]
    photographed: float
    benign: float
    """Of benign frames on the same photos."""
    bare: float
    """Of no frame at all: what the other recogniser gets wrong anyway."""


def summarize_transfers(
    records: Sequence[TransferRecord], *, seed: int = 0
) -> list[TransferSummary]:
    """One for each goal, attack and pair of recognisers that has scores.

    Args:
        records: The ledger's.
        seed: Of the resampling.
    """
    groups: dict[tuple[str, str, str, str], list[TransferRecord]] = {}
    for record in records:
        job = record.job
        if record.score is not None:
            kind = (job.goal, job.attack, job.recognizer, record.victim)
            groups.setdefault(kind, []).append(record)
    found = []
    for (goal, attack, made_against, scored_on), group in groups.items():
        rates = {
            name: by_subject(
                (one.job.subject, getattr(one.score, name).success_rate) for one in group
            )
            for name in ("digital", "photographed", "benign", "bare")
        }
        rng = torch.Generator().manual_seed(seed)
        found.append(
            TransferSummary(
                goal=goal,
                attack=attack,
                made_against=made_against,
                scored_on=scored_on,
                subjects=len(rates["digital"]),
                digital_interval=mean_interval(list(rates["digital"].values()), rng=rng),
                **{name: mean_rate(some) for name, some in rates.items()},
            )
        )
    return found


def _rates(results: Sequence[AttackScore], part: Callable[[AttackScore], Success | None]) -> _Rates:
    parts = ((one.subject, part(one)) for one in results)
    return by_subject((name, one.success_rate) for name, one in parts if one is not None)


def by_subject(rates: Iterable[tuple[str, float | None]]) -> dict[str, list[float]]:
    """Each subject's success rates, where it has photos."""
    found: dict[str, list[float]] = {}
    for subject, rate in rates:
        if rate is not None:
            found.setdefault(subject, []).append(rate)
    return found


def mean_rate(subjects: _Rates) -> float:
    """A subject counts by the mean of its own rates."""
    return _mean_of([_mean_of(rates) for rates in subjects.values()])


def _mean_of(values: Sequence[float]) -> float:
    return sum(values) / len(values)
