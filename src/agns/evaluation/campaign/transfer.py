"""Frames made against one recogniser, scored on the others that know the same people."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import torch

from agns.accessory.placement import FIXED
from agns.data.faces import FaceSet, composed
from agns.data.simulation.camera import align_photos, draw_scene, photograph
from agns.data.twins import were_seen
from agns.errors import AgnsError, DataError
from agns.evaluation.attack_setup import AttackSetup
from agns.evaluation.attack_spec import AttackSpec, build_goal
from agns.evaluation.campaign.cells import UNIVERSAL
from agns.evaluation.campaign.ledger import Ledger
from agns.evaluation.campaign.plan import Plan, PlanVictim
from agns.evaluation.campaign.rows import Row, TransferRow
from agns.evaluation.campaign.running import Opened
from agns.evaluation.metrics import measure_split
from agns.evaluation.statistics import mean_interval
from agns.images import read_image
from agns.models.victim import Victim, class_of
from agns.types import Faces, Frames, Logits, Progress, silent


def transfer_through(
    plan: Plan,
    ledger: Ledger,
    out: Path,
    open_victim: Callable[[PlanVictim], Opened],
    known: Mapping[str, Sequence[str]],
    *,
    rows: Sequence[Row] | None = None,
    transfers: Sequence[TransferRow] | None = None,
    progress: Progress = silent,
) -> None:
    """Score each finished cell's frame on every other victim that knows its people, once.

    Args:
        plan: What the ledger was begun with.
        ledger: Takes the scores.
        out: The campaign's directory, with the cells' artefacts.
        open_victim: Loads what a victim needs.
        known: By each victim's name, the identities that it knows and that have photos.
        rows: The cells; None for those of the ledger.
        transfers: The scores that there are; None for those of the ledger.
        progress: Told after each score.
    """
    scored = ledger.transfers() if transfers is None else transfers
    there = {(row.cell.key, row.victim) for row in scored if row.score is not None}
    done = [row for row in (ledger.rows() if rows is None else rows) if row.result is not None]
    wanted = [
        (row, victim)
        for victim in plan.recognizers
        for row in done
        if row.cell.recognizer != victim.name
        and row.cell.goal != UNIVERSAL
        and {composed(row.cell.subject), composed(row.cell.target or row.cell.subject)}
        <= set(known[victim.name])
        and (row.cell.key, victim.name) not in there
    ]
    name, opened = "", None
    for number, (row, victim) in enumerate(wanted, 1):
        if opened is None or victim.name != name:
            name, opened = victim.name, open_victim(victim)
        setup, photos_of = opened
        try:
            frame = read_image(out / "cells" / row.cell.key / "frame.png", size=(64, 176))[None]
            found = score_frame(
                frame, row.result or {}, setup, photos_of(row.cell.subject),
                control_frames=plan.control_frames,
            )  # fmt: skip
        except AgnsError as error:
            ledger.enter_transfer(row.cell, victim.name, {"sentence": str(error)})
        else:
            ledger.enter_transfer(row.cell, victim.name, found)
        progress(number, len(wanted), {})


@torch.no_grad()
def score_frame(
    frame: Frames,
    result: Mapping[str, Any],
    setup: AttackSetup,
    faces: FaceSet,
    *,
    control_frames: int,
) -> dict[str, object]:
    """Score one attack's frame on a recogniser that it was not made against.

    Photos that this recogniser was trained on are left out, and those that the attack was made on:
    the same pictures, saved anew or not, or of the same file name.

    Args:
        frame: (1, 3, 64, 176), in [0, 1].
        result: The attack's `result.json`.
        setup: The other recogniser's.
        faces: The subject's photos, as that recogniser takes them.
        control_frames: Frames of each control.

    Returns:
        Success (see `SplitSuccess`) `digital`, `photographed`: worn before a simulated camera, each
        photo in a scene of its own (see `agns.data.simulation.camera.draw_scene`), of `benign`
        frames, and of `bare` faces.

    Raises:
        ConfigError: The recogniser does not know the subject or the target.
        DataError: No photo is left to score on.
    """
    goal = build_goal(
        AttackSpec(
            goal="dodge" if result["target"] is None else "impersonate",
            subject=result["subject"],
            target=result["target"],
            stop=result["stop_value"],
        ),
        setup.recognizer,
    )
    known = setup.photos_seen | set(result["craft_digests"])
    # The other recogniser may take the same photos aligned or cut otherwise: names stay.
    crafted = {composed(PurePosixPath(name).stem) for name in result["photos"]["craft"]}
    subject = faces.of(result["subject"])
    places = [
        place
        for place in (~were_seen(subject, known)).nonzero()[:, 0].tolist()
        if PurePosixPath(subject.photos[place]).stem not in crafted
    ]
    if not places:
        raise DataError(
            f"{setup.recognizer_name} or the attack has seen every photo of {result['subject']}"
        )
    own = subject.subset(torch.tensor(places))
    photos, everybody = own.faces(torch.arange(len(own))), torch.arange(len(own))
    victim, seed = setup.victim, int(result["seed"])
    plain = _judged(victim, photos)
    recognized = plain.argmax(1) == class_of(setup.recognizer, result["subject"])
    worn = FIXED.wear(photos, frame, everybody)
    draws = torch.Generator().manual_seed(seed)
    taken = torch.cat([_photographed(one[None], draws) for one in worn])
    controls = setup.control_logits(
        photos, FIXED, count=control_frames, seed=seed, names=("benign",)
    )
    return {
        "digital": asdict(measure_split(goal, _judged(victim, worn), recognized)),
        "photographed": asdict(measure_split(goal, _judged(victim, taken), recognized)),
        "benign": asdict(measure_split(goal, controls["benign"], recognized)),
        "bare": asdict(measure_split(goal, plain, recognized)),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferLine:
    """One attack's frames, made against one recogniser, on another; shares lie in [0, 1]."""

    goal: str
    attack: str
    made_against: str
    scored_on: str
    subjects: int
    digital: float
    """Mean success over subjects, as in what follows."""
    digital_interval: tuple[float, float]
    """95 %, by resampling subjects."""
    photographed: float
    benign: float
    """Of benign frames on the same photos."""
    bare: float
    """Of no frame at all: what the other recogniser gets wrong anyway."""


def tabulate_transfers(rows: Sequence[TransferRow], *, seed: int = 0) -> list[TransferLine]:
    """One line for each goal, attack and pair of recognisers that has scores.

    Args:
        rows: The ledger's.
        seed: Of the resampling.
    """
    groups: dict[tuple[str, str, str, str], dict[str, list[Mapping[str, Any]]]] = {}
    for row in rows:
        if row.score is not None:
            cell = row.cell
            kind = (cell.goal, cell.attack, cell.recognizer, row.victim)
            groups.setdefault(kind, {}).setdefault(cell.subject, []).append(row.score)
    lines = []
    for (goal, attack, made_against, scored_on), subjects in groups.items():
        rates = {
            name: [
                [float(score[name]["success_rate"]) for score in scores]
                for scores in subjects.values()
            ]
            for name in ("digital", "photographed", "benign", "bare")
        }
        draws = torch.Generator().manual_seed(seed)
        lines.append(
            TransferLine(
                goal=goal,
                attack=attack,
                made_against=made_against,
                scored_on=scored_on,
                subjects=len(subjects),
                digital=_over(rates["digital"]),
                digital_interval=mean_interval(rates["digital"], draws=draws),
                photographed=_over(rates["photographed"]),
                benign=_over(rates["benign"]),
                bare=_over(rates["bare"]),
            )
        )
    return lines


def _judged(victim: Victim, faces: Faces) -> Logits:
    return torch.cat([victim(some) for some in faces.split(64)])


def _photographed(worn: Faces, draws: torch.Generator) -> Faces:
    scene = draw_scene(draws)
    return align_photos(photograph(worn, scene, draws=draws), scene)


def _over(subjects: Sequence[Sequence[float]]) -> float:
    means = [sum(rates) / len(rates) for rates in subjects]
    return sum(means) / len(means)
