"""A campaign's universal attacks: success over the number of frames to choose from."""

from collections.abc import Sequence
from dataclasses import dataclass

from agns.campaign.records import JobRecord
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


def summarize_universal(records: Sequence[JobRecord]) -> list[CurvePoint]:
    """One for each universal attack, group and number of frames, in the plan's order."""
    points = []
    for record in records:
        if not isinstance(record.result, UniversalReport):
            continue
        found = {
            (one.group, one.frames, one.made_by, one.rule): one.recognized
            for one in record.result.points
        }
        for (group, frames, made_by, rule), own in found.items():
            if (made_by, rule) == ("attack", "picked"):
                points.append(
                    CurvePoint(
                        recognizer=record.job.recognizer,
                        attack=record.job.attack,
                        seed=record.job.seed,
                        worn_by=group,
                        frames=frames,
                        subjects=own.subjects,
                        picked=own.success_rate,
                        picked_interval=own.interval,
                        subjects_dodging=own.subjects_dodging,
                        benign_picked=found[group, frames, "benign", "picked"].success_rate,
                        any=found[group, frames, "attack", "any"].success_rate,
                        benign_any=found[group, frames, "benign", "any"].success_rate,
                    )
                )
    return points
