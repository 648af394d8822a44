"""A campaign's universal attacks: success over the number of frames to choose from."""

from collections.abc import Sequence
from dataclasses import dataclass

from agns.campaign.cells import UNIVERSAL
from agns.campaign.rows import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvePoint:
    """What the first so many frames of one attack are worth to a group of subjects.

    Among held-out photos that are recognised without a frame; see `agns.evaluation.reach`. Shares
    lie in [0, 1], and are None where there is no such photo.
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
    """95 %, by resampling subjects."""
    subjects_dodging: float | None
    """Subjects of whom more than half of the photos dodge."""
    benign_picked: float | None
    any: float | None
    """At least one frame works: a bound that no way of picking exceeds."""
    benign_any: float | None


def tabulate_curves(rows: Sequence[Row]) -> list[CurvePoint]:
    """A line for each universal attack, group and number of frames, in the plan's order."""
    return [
        point
        for row in rows
        if row.cell.goal == UNIVERSAL and row.result is not None
        for point in _points(row)
    ]


CURVE_HEAD = (
    "recogniser", "attack", "seed", "frames", "worn by", "picked", "95 % interval",
    "subjects that dodge", "benign frames, picked", "any", "benign, any",
)  # fmt: skip
"""What the columns of `curve_row` are."""


def curve_row(point: CurvePoint) -> tuple[str, ...]:
    """A point in words, as tables show it."""
    interval = point.picked_interval
    return (
        point.recognizer, point.attack, str(point.seed), str(point.frames),
        f"{point.subjects} {point.worn_by}", _percent(point.picked),
        "-" if interval is None else f"{interval[0]:.0%} to {interval[1]:.0%}",
        *map(_percent, (point.subjects_dodging, point.benign_picked, point.any, point.benign_any)),
    )  # fmt: skip


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _points(row: Row) -> list[CurvePoint]:
    assert row.result is not None
    found = {
        (one["group"], one["frames"], one["made_by"], one["rule"]): one["recognized"]
        for one in row.result["points"]
    }
    points = []
    for (group, frames, made_by, rule), own in found.items():
        if (made_by, rule) != ("attack", "picked"):
            continue
        interval = own["interval"]
        points.append(
            CurvePoint(
                recognizer=row.cell.recognizer,
                attack=row.cell.attack,
                seed=row.cell.seed,
                worn_by=group,
                frames=frames,
                subjects=own["subjects"],
                picked=own["success_rate"],
                picked_interval=None if interval is None else (interval[0], interval[1]),
                subjects_dodging=own["subjects_dodging"],
                benign_picked=found[group, frames, "benign", "picked"]["success_rate"],
                any=found[group, frames, "attack", "any"]["success_rate"],
                benign_any=found[group, frames, "benign", "any"]["success_rate"],
            )
        )
    return points
