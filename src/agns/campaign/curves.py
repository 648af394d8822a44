"""A campaign's curves: success over the number of frames to choose from, and over queries."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from agns.campaign.jobs import Job
from agns.campaign.records import JobRecord
from agns.campaign.summary import by_subject, mean_rate
from agns.evaluation.reach import ReachPoint
from agns.evaluation.score import AttackScore
from agns.evaluation.statistics import mean_interval
from agns.evaluation.universal_report import UniversalReport


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvePoint:
    """What the first so many frames of one universal attack are worth to a group of subjects.

    Among held-out photos that are recognised without a frame; see `agns.evaluation.reach`. Shares
    are None where there is no such photo.
    """

    recognizer: str
    attack: str
    seed: int
    worn_by: str
    """`craft` or `unseen`."""
    frames: int
    """To choose from."""
    subjects: int
    picked: float | None
    """Each subject wears the frame that did best on photos of its own that are not scored."""
    picked_interval: tuple[float, float] | None
    subjects_dodging: float | None
    """Subjects of whom more than half of the photos dodge."""
    benign_picked: float | None
    any: float | None
    """At least one frame works: a bound that no way of picking exceeds."""
    benign_any: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveAtPoint(CurvePoint):
    """The same at one of a gallery's thresholds."""

    false_accept_rate: float
    """Of impostors, as calibrated."""
    bare: float | None
    """Success on all held-out photos without a frame."""


def summarize_universal(records: Sequence[JobRecord]) -> list[CurvePoint]:
    """One for each universal attack, group and number of frames, in the plan's order."""
    return [
        CurvePoint(**figures)
        for job, result in _universal(records)
        for figures in _curve(job, result.points)
    ]


def summarize_universal_points(records: Sequence[JobRecord]) -> list[CurveAtPoint]:
    """One for each universal attack on a gallery, false-accept rate, group and number of frames."""
    return [
        CurveAtPoint(
            **figures,
            false_accept_rate=at.false_accept_rate,
            bare=at.without_frame[figures["worn_by"]].success_rate,
        )
        for job, result in _universal(records)
        for at in result.operating_points
        for figures in _curve(job, at.points)
    ]


def _universal(records: Sequence[JobRecord]) -> Iterator[tuple[Job, UniversalReport]]:
    for record in records:
        if isinstance(record.result, UniversalReport):
            yield record.job, record.result


def _curve(job: Job, points: Sequence[ReachPoint]) -> Iterator[dict[str, Any]]:
    """What each `CurvePoint` says."""
    found = {(one.group, one.frames, one.made_by, one.rule): one.recognized for one in points}
    for (group, frames, made_by, rule), own in found.items():
        if (made_by, rule) == ("attack", "picked"):
            yield {
                "recognizer": job.recognizer,
                "attack": job.attack,
                "seed": job.seed,
                "worn_by": group,
                "frames": frames,
                "subjects": own.subjects,
                "picked": own.success_rate,
                "picked_interval": own.interval,
                "subjects_dodging": own.subjects_dodging,
                "benign_picked": found[group, frames, "benign", "picked"].success_rate,
                "any": found[group, frames, "attack", "any"].success_rate,
                "benign_any": found[group, frames, "benign", "any"].success_rate,
            }


@dataclass(frozen=True, slots=True)
class QueriesSummary:
    """What all attacks of one kind had reached after so many queries."""

    recognizer: str
    goal: str
    attack: str
    queries: int
    subjects: int
    held_out_success: float
    """By the best frame so far; without a frame, as long as an attack has none."""
    held_out_interval: tuple[float, float]
    benign_success: float
    """Of benign frames on the same photos."""


def summarize_queries(records: Sequence[JobRecord], *, seed: int = 0) -> list[QueriesSummary]:
    """Some for each recogniser, goal and attack whose queries were counted, in the plan's order."""
    groups: dict[tuple[str, str, str], list[AttackScore]] = {}
    for job, result in ((one.job, one.result) for one in records):
        if isinstance(result, AttackScore) and result.queries is not None:
            groups.setdefault((job.recognizer, job.goal, job.attack), []).append(result)
    most = {name: max(one.queries or 0 for one in group) for name, group in groups.items()}
    found = []
    for name, group in groups.items():
        top = max(count for other, count in most.items() if other[:2] == name[:2])
        told = {most[name], *(top >> halvings for halvings in range(7))}
        # An attack that does not ask has no curve, but one point.
        for queries in sorted(one for one in told if min(1, most[name]) <= one <= most[name]):
            rates = by_subject((one.subject, _rate_after(one, queries)) for one in group)
            benign = by_subject((one.subject, one.controls["benign"].success_rate) for one in group)
            rng = torch.Generator().manual_seed(seed)
            found.append(
                QueriesSummary(
                    *name,
                    queries=queries,
                    subjects=len(rates),
                    held_out_success=mean_rate(rates),
                    held_out_interval=mean_interval(list(rates.values()), rng=rng),
                    benign_success=mean_rate(benign),
                )
            )
    return found


def _rate_after(score: AttackScore, queries: int) -> float | None:
    reached = [one.held_out for one in score.by_queries if one.queries <= queries]
    if not score.by_queries and (score.queries or 0) <= queries:
        # Of an attack that does not keep its best frames on the way there is the last one.
        reached = [score.held_out]
    return (reached[-1] if reached else score.held_out_without_frame).success_rate
