"""A universal attack from photos to honest figures: who crafts, who is unseen, and who dodges."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import torch

from agns.accessory.frame import place
from agns.attack.coverage import choose_greedily, covered, dodges, worth_to_subjects
from agns.attack.goals import Dodge, resolve_goal, taken_for
from agns.attack.universal import Universal, UniversalResult
from agns.data.faces import FaceSet
from agns.data.splits import Split, craft_held_out_split
from agns.data.twins import count_saved_anew, find_twins
from agns.errors import ConfigError, DataError
from agns.evaluation.attack_setup import AttackSetup
from agns.evaluation.reach import (
    Group,
    MadeBy,
    Reach,
    ReachPoint,
    Wearer,
    draw_reach,
    measure_reach,
    reach_curve,
)
from agns.evaluation.score import check_results_directory
from agns.evaluation.universal_report import (
    ChosenFrame,
    UniversalReport,
    describe_reach,
    find_universal_warnings,
)
from agns.images import from_pixels, tile, write_image
from agns.models.layout import device_of
from agns.models.victim import Victim, class_of, task_of
from agns.settings import Count, Part, Range, check_settings
from agns.storage import versions, write_json
from agns.types import Frames, Labels, Progress, silent


@dataclass(frozen=True, slots=True, kw_only=True)
class UniversalSpec:
    """Who takes part, and what is counted."""

    subjects: Annotated[int, Range("[2, inf)")] | None = None
    """Identities to take, drawn by the seed; None for all that the recogniser knows."""

    unseen: Part = 0.5
    """Share of them that frames are scored on but not made with."""

    craft: Count = 8
    """Most photos of each subject that frames are made on, or picked by; at most half where none
    was trained on."""

    counts: tuple[int, ...] = (1, 2, 5, 10)
    """Numbers of frames to count success for, ascending."""

    seed: int = 0
    """Seed of who takes part, of the splits and of the benign frames."""

    center_crop: int | None = None
    """The central square that the photos were cut to."""

    def __post_init__(self) -> None:
        check_settings(self)
        if not self.counts or sorted(set(self.counts)) != list(self.counts) or self.counts[0] < 1:
            raise ConfigError(f"counts must ascend from at least 1, got {self.counts}")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Participants:
    """Who takes part, and each one's photos."""

    groups: dict[Group, list[str]]
    splits: dict[str, Split]
    left_out: list[str]


def divide_subjects(names: Sequence[str], spec: UniversalSpec) -> dict[Group, list[str]]:
    """Draw who takes part, and who of them stays unseen; from names and seed alone.

    Raises:
        ConfigError: There are too few subjects.
    """
    wanted = len(names) if spec.subjects is None else spec.subjects
    if not 2 <= wanted <= len(names):
        raise ConfigError(
            f"expected at least {max(2, wanted)} identities that the recogniser knows in these "
            f"faces, found {len(names)}"
        )
    rng = torch.Generator().manual_seed(spec.seed)
    order = torch.randperm(len(names), generator=rng).tolist()[:wanted]
    unseen = min(max(1, round(spec.unseen * wanted)), wanted - 1)
    drawn = [sorted(names)[place] for place in order]
    return {"craft": sorted(drawn[unseen:]), "unseen": sorted(drawn[:unseen])}


def run_universal(
    setup: AttackSetup,
    faces: FaceSet,
    spec: UniversalSpec,
    attack: Universal,
    out: Path,
    *,
    whole: bool = False,
    progress: Progress = silent,
    scoring: Progress = silent,
) -> UniversalReport:
    """Make frames with some subjects, score them on other photos and on other subjects.

    No photo that the recogniser was trained on is scored on. A subject picks a frame by photos
    that are not scored.

    Args:
        setup: The networks and the real frames.
        faces: Photos; of identities that the recogniser does not know none are used.
        spec: Who takes part.
        attack: Its settings.
        out: Directory for the results; must not hold a result yet.
        whole: Whether Ctrl-C ends it without a result, not with that of the frames so far.
        progress: Told of every step of the attack.
        scoring: Told after each subject whose photos were scored.

    Raises:
        ConfigError: `out` holds a result, or there are too few subjects.
        DataError: No subject of a group has photos to craft on and others to score.
        KeyboardInterrupt: Ctrl-C came before there was any frame, or with `whole`.
    """
    check_results_directory(out)
    victim = setup.victim
    faces = faces.subset(setup.fresh(faces))
    participants = _gather(setup, faces, spec)
    crafted = torch.cat([participants.splits[name].first for name in participants.groups["craft"]])
    result = attack.run(
        victim,
        faces.subset(crafted),
        seed=spec.seed,
        frames=setup.glasses,
        nets=(setup.generator, setup.discriminator),
        progress=progress,
    )
    if whole and result.interrupted:
        raise KeyboardInterrupt
    _write_frames(result.frames, out)
    photos, labels = faces.faces(crafted), _classes(victim, faces, crafted)
    rng = torch.Generator().manual_seed(spec.seed)
    drawn = torch.randint(len(setup.glasses), (len(result.candidates),), generator=rng)
    candidates = from_pixels(setup.glasses[drawn])
    worth = worth_to_subjects(dodges(victim, photos, labels, candidates), labels)
    benign = candidates[choose_greedily(worth, attack.frames)]
    points, bare = _score(
        victim, faces, participants, {"attack": result.frames, "benign": benign}, spec, scoring
    )
    taking_part = faces.subset(
        torch.cat(
            [torch.cat([split.first, split.second]) for split in participants.splits.values()]
        )
    )
    saved_anew = count_saved_anew(taking_part, find_twins(taking_part))
    report = UniversalReport(
        recognizer=setup.recognizer_name,
        seed=spec.seed,
        subjects=participants.groups,
        left_out=participants.left_out,
        photos={
            name: {
                "own": [faces.photos[place] for place in split.first.tolist()],
                "held_out": [faces.photos[place] for place in split.second.tolist()],
            }
            for name, split in participants.splits.items()
        },
        clusters=[
            {**asdict(one), "subjects": [victim.identities[own] for own in one.subjects]}
            for one in result.clusters
        ],
        chosen=_describe(setup, result),
        benign_stealth=setup.scale.ranges,
        points=points,
        without_frame=bare,
        seconds=round(result.seconds, 2),
        interrupted=result.interrupted,
        warnings=find_universal_warnings(result, points, bare, attack, saved_anew),
        saved_anew=saved_anew,
        config={
            "experiment": asdict(spec),
            "attack": asdict(attack),
            "device": str(device_of(victim)),
        },
        versions=versions(),
    )
    draw_reach(out / "reach.png", points, title=describe_reach(report))
    # Last: what holds a result is whole.
    write_json(out / "result.json", report)
    return report


def _gather(setup: AttackSetup, faces: FaceSet, spec: UniversalSpec) -> _Participants:
    """Who takes part, and the photos of each."""
    names = [
        name
        for name in faces.identities
        if name in setup.recognizer.identities and len(faces.places_of(name))
    ]
    groups: dict[Group, list[str]] = {}
    splits: dict[str, Split] = {}
    left_out: list[str] = []
    for group, drawn in divide_subjects(names, spec).items():
        for name in drawn:
            try:
                splits[name] = craft_held_out_split(
                    faces, subject=name, craft=spec.craft, seed=spec.seed, seen=setup.photos_seen
                )
            except DataError as error:
                left_out.append(str(error))
        groups[group] = [name for name in drawn if name in splits]
        if not groups[group]:
            raise DataError(
                f"none of the {len(drawn)} {group} subjects can take part, {drawn[0]} among them: "
                f"{left_out[-len(drawn)]}"
            )
    return _Participants(groups=groups, splits=splits, left_out=left_out)


def _classes(victim: Victim, faces: FaceSet, places: Labels) -> Labels:
    """The recogniser's class of each photo's identity."""
    return torch.tensor(
        [class_of(victim, faces.identities[own]) for own in faces.labels[places].tolist()]
    )


def _score(
    victim: Victim,
    faces: FaceSet,
    participants: _Participants,
    series: Mapping[MadeBy, Frames],
    spec: UniversalSpec,
    progress: Progress,
) -> tuple[list[ReachPoint], dict[Group, Reach]]:
    """Success of each series of frames in each group, and of no frame."""
    points: list[ReachPoint] = []
    bare: dict[Group, Reach] = {}
    total, done = len(participants.splits), 0
    for group, names in participants.groups.items():
        worn: dict[MadeBy, list[Wearer]] = {made_by: [] for made_by in series}
        for name in names:
            for made_by, frames in series.items():
                worn[made_by].append(_wear(victim, faces, name, participants.splits[name], frames))
            done += 1
            progress(done, total, {})
        for made_by, wearers in worn.items():
            there = len(series[made_by])
            points += reach_curve(
                wearers,
                sorted({min(count, there) for count in spec.counts}),
                group=group,
                made_by=made_by,
                seed=spec.seed,
            )
        bare[group] = measure_reach([one.bare for one in worn["attack"]], seed=spec.seed)
    return points, bare


@torch.no_grad()
def _wear(victim: Victim, faces: FaceSet, name: str, split: Split, frames: Frames) -> Wearer:
    """What frames do on one subject's photos."""
    own, held_out = faces.faces(split.first), faces.faces(split.second)
    first, second = (_classes(victim, faces, side) for side in (split.first, split.second))
    plain = torch.cat([victim(some) for some in held_out.split(64)])
    return Wearer(
        name=name,
        picking=dodges(victim, own, first, frames),
        scored=dodges(victim, held_out, second, frames),
        recognized=taken_for(plain, second, task_of(victim)),
        bare=resolve_goal(Dodge(tuple(second.tolist())), victim).succeeded(plain),
    )


def _describe(setup: AttackSetup, result: UniversalResult) -> list[ChosenFrame]:
    return [
        ChosenFrame(
            cluster=int(result.origins[place]),
            coverage=covered(result.worth[list(result.chosen[:number])]),
            stealth=setup.scale.measure(result.candidates[place]),
        )
        for number, place in enumerate(result.chosen, 1)
    ]


def _write_frames(frames: Frames, out: Path) -> None:
    """Write the chosen frames, and a sheet of them; those of an unfinished attack go."""
    for left in (out / "frames").glob("[0-9][0-9]*.png"):
        left.unlink()
    for number, frame in enumerate(frames, 1):
        write_image(out / "frames" / f"{number:02d}.png", frame)
        write_image(out / "frames" / f"{number:02d}_on_canvas.png", place(frame[None])[0])
    write_image(out / "frames.png", tile(frames, columns=2))
