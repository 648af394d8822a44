"""What an attack was worth: the content of `result.json`."""

from dataclasses import dataclass, field
from pathlib import Path

from agns.attack.result import Reason
from agns.errors import ConfigError
from agns.evaluation.metrics import SplitSuccess
from agns.evaluation.stealth import BenignRange, Stealth


@dataclass(frozen=True, slots=True, kw_only=True)
class AttackReport:
    """The content of `result.json`."""

    goal: str
    subject: str
    target: str | None
    recognizer: str
    seed: int
    iterations: int
    seconds: float
    stopped_because: Reason
    stop_value: float
    reached_stop_value: bool
    craft: SplitSuccess
    held_out: SplitSuccess
    held_out_without_frame: SplitSuccess
    """The goal's "success" on the held-out photos as they are: what the recogniser gets wrong. On
    photos for a physical attack, the subject wears the marked frame."""
    controls: dict[str, SplitSuccess]
    """On the held-out photos, each control's frames."""
    stealth: Stealth
    benign_stealth: dict[str, BenignRange]
    """What benign generated frames score, by the names of the figures in `stealth`."""
    photos: dict[str, list[str]]
    """Names of the craft and held-out photos."""
    craft_digests: list[str]
    """Of the craft photos' pictures, by which they are known again among another recogniser's."""
    craft_photos_seen_in_training: int
    """Craft photos that the recogniser was trained on; no held-out photo is."""
    warnings: list[str]
    """What a reader must know before believing the figures."""
    config: dict[str, object]
    versions: dict[str, str]
    held_out_digests: list[str] = field(default_factory=list)
    """Of the held-out photos' pictures, by which they are found again under any names."""
    saved_anew: int = 0
    """How many of the subject's photos look like another one saved anew; such copies are on one
    side."""
    method: str = "agn"
    """Which attack; see `agns.attack.methods`."""
    physical: bool = False
    """Whether frames were warped onto a worn one, in the steps and in the scoring."""


def describe(report: AttackReport) -> str:
    """One line: who does what, and how often it works on held-out photos."""
    aim = "dodges" if report.target is None else f"as {report.target}"
    rate, interval = report.held_out.success_rate, report.held_out.interval
    if rate is None or interval is None:
        return f"{report.subject} {aim}: no held-out photos"
    return (
        f"{report.subject} {aim}: {rate:.0%} of {report.held_out.images} held-out photos "
        f"(95 % interval {interval[0]:.0%} to {interval[1]:.0%})"
    )


def check_results_directory(out: Path) -> None:
    """Refuse a directory that cannot take the results of an attack.

    Raises:
        ConfigError: It holds a result already, or is a file.
    """
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out} is a file, not a directory for results")
    if (out / "result.json").exists():
        raise ConfigError(f"{out} already holds a result: name another directory")
