"""Whether a campaign's frames look like eyeglasses, by judges that no attack has seen."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch

from agns.accessory.frame import FRAME_SIZE
from agns.campaign.records import JobRecord
from agns.data.simulation.drawn_frames import DrawnFrames
from agns.evaluation.judges import shipped_judge, two_sample_test
from agns.evaluation.metrics import wilson_interval
from agns.evaluation.report import Table
from agns.evaluation.score import AttackScore
from agns.images import from_pixels, read_image

FEWEST = 10
"""Frames from which on a classifier is fitted to tell them from real ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AppearanceSummary:
    """The frames of all attacks of one kind on one recogniser with one goal."""

    recognizer: str
    goal: str
    attack: str
    frames: int
    natural: int
    """Those that pass every judge; see `agns.evaluation.judges.Appearance`."""
    natural_interval: tuple[float, float]
    """Of their share."""
    sealed: int | None
    """Those that the sealed judge lets pass; None where real frames are the user's own."""
    worst: float
    """Median over frames: by that comparison that speaks most against it, the share of real frames
    that look more usual."""
    told_apart: float | None
    """Share that a classifier tells right of these, one of each subject, and as many real frames,
    0.5 by chance; None for few."""
    told_apart_interval: tuple[float, float] | None
    discriminator_score: float
    """Median. Attacks are made against it: it does not see what they do to a frame."""


def summarize_appearance(
    records: Sequence[JobRecord], folder: Path | None
) -> list[AppearanceSummary]:
    """One for each recogniser, goal and attack whose results tell how frames look.

    Args:
        records: The ledger's.
        folder: Of the campaign, with the frames of its jobs; None to leave the classifier out.
    """
    groups: dict[tuple[str, str, str], list[tuple[JobRecord, AttackScore]]] = {}
    for record in records:
        job, result = record.job, record.result
        if isinstance(result, AttackScore) and result.stealth.appearance is not None:
            groups.setdefault((job.recognizer, job.goal, job.attack), []).append((record, result))
    found = []
    for (recognizer, goal, attack), group in groups.items():
        looks = [one.stealth.appearance for _, one in group if one.stealth.appearance is not None]
        natural = sum(one.passes for one in looks)
        sealed = [one.sealed for one in looks if one.sealed is not None]
        told = None
        if folder is not None and len(sealed) == len(looks):
            # One frame of each subject: others of the same would be known from it.
            own = {one.job.subject: one.job.folder(folder) / "frame.png" for one, _ in group[::-1]}
            told = _told_apart([*own.values()])
        found.append(
            AppearanceSummary(
                recognizer=recognizer,
                goal=goal,
                attack=attack,
                frames=len(looks),
                natural=natural,
                natural_interval=wilson_interval(natural, len(looks)),
                sealed=sum(one >= 0 for one in sealed) if len(sealed) == len(looks) else None,
                worst=median(one.worst for one in looks),
                told_apart=None if told is None else told[0],
                told_apart_interval=None if told is None else told[1],
                discriminator_score=median(one.stealth.discriminator_score for _, one in group),
            )
        )
    return found


def appearance_table(appearance: Sequence[AppearanceSummary]) -> Table:
    """A row for each recogniser, goal and attack."""
    head = (
        "recogniser", "goal", "attack", "frames", "natural", "95 % interval", "sealed judge",
        "worst", "told apart", "95 % interval", "D score",
    )  # fmt: skip
    rows = [
        (
            one.recognizer, one.goal, one.attack, str(one.frames), str(one.natural),
            _between(one.natural_interval), "-" if one.sealed is None else str(one.sealed),
            f"{one.worst:.1%}", "-" if one.told_apart is None else f"{one.told_apart:.0%}",
            _between(one.told_apart_interval),
            f"{one.discriminator_score:.3f}",
        )
        for one in appearance
    ]  # fmt: skip
    return Table(head=head, rows=rows, texts=3)


def _between(interval: tuple[float, float] | None) -> str:
    return "-" if interval is None else f"{interval[0]:.0%} to {interval[1]:.0%}"


def _told_apart(paths: Sequence[Path]) -> tuple[float, tuple[float, float]] | None:
    there = [path for path in paths if path.is_file()]
    if len(there) < FEWEST:
        return None
    frames = torch.stack([read_image(path, size=FRAME_SIZE) for path in there])
    real = DrawnFrames.of("judges")
    # From the end: the first ones have set the sealed judge's threshold.
    others = from_pixels(real[torch.arange(len(real) - len(there), len(real))])
    return two_sample_test(shipped_judge(), frames, others)
