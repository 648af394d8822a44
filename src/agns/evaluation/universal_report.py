"""What a universal attack was worth: the content of its `result.json`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agns.attack.universal import Universal, UniversalResult
from agns.evaluation.reach import Group, Reach, ReachPoint
from agns.evaluation.stealth import BenignRange, Stealth


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenFrame:
    """One of the chosen frames."""

    cluster: int
    """The group whose generator drew it."""

    coverage: float
    """Mean over craft subjects of the share of craft photos that the best of the frames up to this
    one dodges on. Frames were chosen by these photos: it says nothing of others."""

    stealth: Stealth


@dataclass(frozen=True, slots=True, kw_only=True)
class ReachAt:
    """What the same frames are worth at another threshold of a gallery."""

    false_accept_rate: float
    """Of impostors, as calibrated, in (0, 1)."""

    threshold: float
    """Distance below which a comparison is accepted."""

    points: list[ReachPoint]
    """Success on held-out photos; a frame is picked at this threshold, too."""

    without_frame: dict[Group, Reach]
    """Success on held-out photos as they are: false rejects, or where identities compete somebody
    else's coming first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UniversalReport:
    """The content of `result.json`."""

    recognizer: str
    seed: int
    subjects: dict[Group, list[str]]
    """Who takes part, by group."""
    left_out: list[str]
    """A sentence for each subject who was to take part but has no photos for it."""
    photos: dict[str, dict[str, list[str]]]
    """By subject, names of the photos crafted on or picked by, and of those held out."""
    clusters: list[dict[str, object]]
    """Each group's attack."""
    chosen: list[ChosenFrame]
    """The chosen frames, in their order."""
    benign_stealth: dict[str, BenignRange]
    points: list[ReachPoint]
    """Success on held-out photos."""
    without_frame: dict[Group, Reach]
    """Held-out photos that the recogniser gets wrong as they are."""
    seconds: float
    interrupted: bool
    warnings: list[str]
    config: dict[str, object]
    versions: dict[str, str]
    saved_anew: int = 0
    """How many photos look like another one of the subject saved anew; such copies are on one
    side."""
    operating_points: Sequence[ReachAt] = ()
    """At each of a gallery's false-accept rates; the frames were made and chosen at one of them."""


def describe_reach(report: UniversalReport) -> str:
    """One line: whose photos the figures are of."""
    few = len(report.subjects["craft"])
    everybody = few + len(report.subjects["unseen"])
    return (
        f"Frames made with {few} of {everybody} subjects: success on held-out photos that are "
        "recognised without a frame"
    )


def find_universal_warnings(
    result: UniversalResult,
    points: Sequence[ReachPoint],
    bare: Mapping[Group, Reach],
    attack: Universal,
    saved_anew: int = 0,
) -> list[str]:
    """Say in words what makes the figures weaker than they look."""
    warnings = []
    if saved_anew:
        warnings.append(
            f"Of all photos {saved_anew} look like another one saved anew: such copies were kept "
            "on one side of each split, and count as several photos there."
        )
    if result.interrupted:
        warnings.append(
            f"The attack was interrupted: frames come from {len(result.clusters)} groups of "
            f"subjects, where up to {attack.clusters} were to have a generator each."
        )
    unmet = sum(not one.met for one in result.clusters)
    if unmet:
        warnings.append(
            f"Of {len(result.clusters)} generators {unmet} drew no frame that reached the stop "
            f"value of {attack.stop:g} on its group's photos."
        )
    seen = {
        (point.frames, point.made_by): point.recognized
        for point in points
        if point.group == "unseen" and point.rule == "picked"
    }
    for (frames, made_by), reach in seen.items():
        rate, other = reach.success_rate, seen[frames, "benign"].success_rate
        if made_by == "attack" and rate is not None and other is not None and other >= rate > 0:
            warnings.append(
                f"With {frames} to pick from, benign frames serve unseen subjects as well as the "
                f"attack's ({other:.0%} against {rate:.0%})."
            )
    if bare["unseen"].subjects < 10:
        warnings.append(
            f"Only {bare['unseen'].subjects} unseen subjects: the intervals say little of others."
        )
    for group, reach in bare.items():
        if reach.success_rate is not None and reach.success_rate > 0.2:
            warnings.append(
                f"Without a frame the recogniser gets {reach.success_rate:.0%} of the {group} "
                "subjects' held-out photos wrong: read the figures among the recognised."
            )
    return warnings
