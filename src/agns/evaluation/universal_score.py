"""What a few frames do on each subject's photos, at each threshold of a gallery."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from agns.attack.goals import Dodge, resolve_goal, taken_for
from agns.data.faces import FaceSet
from agns.data.splits import Split
from agns.defence.masking import thresholds_of
from agns.evaluation.controls import logits_wearing
from agns.evaluation.reach import (
    Group,
    MadeBy,
    Reach,
    ReachPoint,
    Wearer,
    measure_reach,
    reach_curve,
)
from agns.evaluation.universal_report import ReachAt
from agns.models.victim import Victim, class_of, task_of
from agns.types import Frames, Labels, Progress, silent

_Move = Callable[[Tensor], Tensor]
_Wearers = dict[tuple[Group, MadeBy], list[Wearer]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Participants:
    """Who takes part, and each one's photos."""

    groups: dict[Group, list[str]]
    splits: dict[str, Split]
    left_out: list[str]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class UniversalScore:
    """Success of frames in each group."""

    points: list[ReachPoint]
    """Of each series of frames."""

    without_frame: dict[Group, Reach]
    """Of no frame."""

    operating_points: list[ReachAt]
    """The same at each of a gallery's false-accept rates."""


def classes_of(victim: Victim, faces: FaceSet, places: Labels) -> Labels:
    """The recogniser's class of each photo's identity."""
    return torch.tensor(
        [class_of(victim, faces.identities[own]) for own in faces.labels[places].tolist()]
    )


def score_frames(
    victim: Victim,
    faces: FaceSet,
    participants: Participants,
    series: Mapping[MadeBy, Frames],
    counts: Sequence[int],
    *,
    seed: int = 0,
    progress: Progress = silent,
) -> UniversalScore:
    """Put each series of frames on every subject's photos, and count who dodges.

    Args:
        victim: In evaluation mode.
        faces: Photos that nobody was trained on.
        participants: Whose, and which of them a subject picks a frame by.
        series: The attack's frames, and others.
        counts: Numbers of frames to choose from, ascending.
        seed: Of the intervals.
        progress: Told after each subject.
    """
    gallery = thresholds_of(victim)
    at_points = () if gallery is None else gallery.points
    moves: list[_Move] = [lambda logits: logits]
    if gallery is not None:
        moves += [partial(gallery.logits_at, point=point) for point in at_points]
    # By threshold, the victim's own coming first; logits of many classes would be large to keep.
    found: list[_Wearers] = [
        {(group, made_by): [] for group in participants.groups for made_by in series} for _ in moves
    ]
    done = 0
    for group, names in participants.groups.items():
        for name in names:
            for made_by, frames in series.items():
                shown = _show(victim, faces, name, participants.splits[name], frames)
                for wearers, move in zip(found, moves, strict=True):
                    wearers[group, made_by].append(shown.judged(victim, move))
            done += 1
            progress(done, len(participants.splits), {})

    def points(wearers: _Wearers) -> list[ReachPoint]:
        return [
            point
            for (group, made_by), some in wearers.items()
            for point in reach_curve(
                some,
                sorted({min(count, len(series[made_by])) for count in counts}),
                group=group,
                made_by=made_by,
                seed=seed,
            )
        ]

    def bare(wearers: _Wearers) -> dict[Group, Reach]:
        # The same for each series: photos are as they are.
        return {
            group: measure_reach([one.bare for one in some], seed=seed)
            for (group, _), some in wearers.items()
        }

    return UniversalScore(
        points=points(found[0]),
        without_frame=bare(found[0]),
        operating_points=[
            ReachAt(
                false_accept_rate=point.false_accept_rate,
                threshold=point.threshold,
                points=points(wearers),
                without_frame=bare(wearers),
            )
            for point, wearers in zip(at_points, found[1:], strict=True)
        ],
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Shown:
    """What the recogniser gives one subject's photos in a series of frames, and in none."""

    name: str
    picking_classes: Int64[Tensor, " own"]
    scored_classes: Int64[Tensor, " held_out"]
    picking: Float[Tensor, "frames own classes"]
    """On the photos to pick a frame by."""
    scored: Float[Tensor, "frames held_out classes"]
    plain: Float[Tensor, "held_out classes"]
    """Of those that are scored, in no frame."""

    def judged(self, victim: Victim, move: _Move) -> Wearer:
        """With logits moved to another threshold."""
        own, held_out = (
            resolve_goal(Dodge(tuple(classes.tolist())), victim)
            for classes in (self.picking_classes, self.scored_classes)
        )
        plain = move(self.plain)
        return Wearer(
            name=self.name,
            picking=torch.stack([own.succeeded(one) for one in move(self.picking)]),
            scored=torch.stack([held_out.succeeded(one) for one in move(self.scored)]),
            recognized=taken_for(plain, self.scored_classes, task_of(victim)),
            bare=held_out.succeeded(plain),
        )


@torch.no_grad()
def _show(victim: Victim, faces: FaceSet, name: str, split: Split, frames: Frames) -> _Shown:
    own, held_out = faces.faces(split.first), faces.faces(split.second)
    return _Shown(
        name=name,
        picking_classes=classes_of(victim, faces, split.first),
        scored_classes=classes_of(victim, faces, split.second),
        picking=logits_wearing(victim, own, frames),
        scored=logits_wearing(victim, held_out, frames),
        plain=torch.cat([victim(some) for some in held_out.split(64)]),
    )
