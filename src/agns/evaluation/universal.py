"""A universal attack from photos to honest figures: who crafts, who is unseen, and who dodges."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import torch

from agns.accessory.frame import place
from agns.attack.coverage import choose_greedily, covered, dodges, worth_to_subjects
from agns.attack.universal import Universal, UniversalResult
from agns.data.faces import FaceSet
from agns.data.splits import Split, craft_held_out_split
from agns.data.twins import count_saved_anew, find_twins
from agns.errors import ConfigError, DataError
from agns.evaluation.attack_setup import AttackSetup
from agns.evaluation.reach import Group, draw_reach
from agns.evaluation.score import check_results_directory
from agns.evaluation.universal_report import (
    ChosenFrame,
    UniversalReport,
    describe_reach,
    find_universal_warnings,
)
from agns.evaluation.universal_score import Participants, classes_of, score_frames
from agns.images import from_pixels, tile, write_image
from agns.models.layout import device_of
from agns.settings import Count, Part, Range, check_settings
from agns.storage import versions, write_json
from agns.types import Frames, Progress, silent


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
    photos, labels = faces.faces(crafted), classes_of(victim, faces, crafted)
    rng = torch.Generator().manual_seed(spec.seed)
    drawn = torch.randint(len(setup.glasses), (len(result.candidates),), generator=rng)
    candidates = from_pixels(setup.glasses[drawn])
    worth = worth_to_subjects(dodges(victim, photos, labels, candidates), labels)
    benign = candidates[choose_greedily(worth, attack.frames)]
    score = score_frames(
        victim,
        faces,
        participants,
        {"attack": result.frames, "benign": benign},
        spec.counts,
        seed=spec.seed,
        progress=scoring,
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
        points=score.points,
        without_frame=score.without_frame,
        operating_points=score.operating_points,
        seconds=round(result.seconds, 2),
        interrupted=result.interrupted,
        warnings=find_universal_warnings(
            result, score.points, score.without_frame, attack, saved_anew
        ),
        saved_anew=saved_anew,
        config={
            "experiment": asdict(spec),
            "attack": asdict(attack),
            "device": str(device_of(victim)),
        },
        versions=versions(),
    )
    draw_reach(out / "reach.png", score.points, title=describe_reach(report))
    # Last: what holds a result is whole.
    write_json(out / "result.json", report)
    return report


def _gather(setup: AttackSetup, faces: FaceSet, spec: UniversalSpec) -> Participants:
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
    return Participants(groups=groups, splits=splits, left_out=left_out)


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
