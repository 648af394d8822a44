"""What an attack was worth: in memory, and as the content of `result.json`."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from agns.accessory.placement import FIXED, Placement
from agns.attack.result import AttackResult, Reason, save_result
from agns.errors import AttackError, ConfigError
from agns.evaluation.metrics import SplitSuccess
from agns.evaluation.plots import draw_before_after, draw_history
from agns.evaluation.stealth import BenignRange, Stealth
from agns.storage import write_json
from agns.types import Faces, Logits


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScoredPhotos:
    """Photos that a frame was scored on; in memory alone."""

    faces: Faces
    """(photos, 3, 224, 224), in [0, 1]."""

    without_frame: Logits
    """What the recogniser gives them as they are."""

    with_frame: Logits
    """And wearing the frame."""

    placement: Placement = FIXED
    """Where the frame sits on them."""

    identities: Sequence[str]
    """Names of the classes."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PointScore:
    """What the same frame is worth at another threshold of a gallery."""

    false_accept_rate: float
    """Of impostors, as calibrated, in (0, 1)."""
    threshold: float
    """Distance below which a comparison is accepted."""
    held_out: SplitSuccess
    """On photos that the attack has not seen."""
    held_out_without_frame: SplitSuccess
    """On the same as they are: the share of false rejects when dodging, of false accepts of the
    subject when impersonating."""
    controls: Mapping[str, SplitSuccess]
    """On the same, wearing frames that nobody crafted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryPoint:
    """What the best frame was worth after so many queries."""

    queries: int
    held_out: SplitSuccess
    """On photos that the attack has not seen."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AttackScore:
    """What an attack's best frame is worth, beside frames that nobody crafted."""

    goal: str
    """`dodge` or `impersonate`."""
    subject: str
    """Who wears the frame; empty for somebody whom nobody named."""
    target: str | None
    """Whom to be taken for; only when impersonating."""
    recognizer: str
    """Where the victim comes from."""
    seed: int
    iterations: int
    """Steps that the attack took."""
    seconds: float
    """Time that it took."""
    stopped_because: Reason
    """Why it ended."""
    stop_value: float
    """The mean class probability over the craft photos at which it was to end, in (0, 1)."""
    reached_stop_value: bool
    craft: SplitSuccess | None
    """On the photos that the frame was made on; says nothing of others. None where not scored."""
    held_out: SplitSuccess
    """On photos that the attack has not seen."""
    held_out_without_frame: SplitSuccess
    """The goal's "success" on the same photos as they are: what the recogniser gets wrong. On
    photos for a physical attack, the subject wears the marked frame."""
    controls: Mapping[str, SplitSuccess]
    """On the same photos, wearing frames that nobody crafted, by their kind."""
    stealth: Stealth
    """How much the frame looks like eyeglasses."""
    benign_stealth: Mapping[str, BenignRange]
    """What benign generated frames score, by the names of the numbers in `stealth`."""
    photos: Mapping[str, Sequence[str]]
    """Names of the craft and held-out photos, as far as they have any."""
    craft_digests: Sequence[str]
    """Of the craft photos' pictures, by which they are known again among another recogniser's."""
    craft_photos_seen_in_training: int
    """Craft photos that the recogniser was trained on."""
    warnings: Sequence[str]
    """What a reader must know before believing the numbers."""
    config: Mapping[str, object]
    versions: Mapping[str, str]
    operating_points: Sequence[PointScore] = ()
    """At each of a gallery's false-accept rates; the attack was made at one of them."""
    queries: int | None = None
    """Faces that the attack asked the victim about; None where nobody counted. Those of scoring do
    not count."""
    by_queries: Sequence[QueryPoint] = ()
    """What the best frame was worth after more and more of them, where they were counted."""
    held_out_digests: Sequence[str] = ()
    """Of the held-out photos' pictures, by which they are found again under any names."""
    saved_anew: int = 0
    """How many of the subject's photos look like another one saved anew; such copies are on one
    side."""
    taken_for: Mapping[str, float] | None = None
    """The share of the held-out photos, wearing the frame, for each identity that any is taken for;
    not in verification, where each claim is judged alone."""
    method: str = "agn"
    """Which attack; see `agns.attack.methods`."""
    physical: bool = False
    """Whether frames were warped onto a worn one, in the steps and in the scoring."""
    result: AttackResult | None = field(default=None, repr=False)
    """What was scored; not in `result.json`."""
    scored: ScoredPhotos | None = field(default=None, repr=False)
    """What it was scored on; not in `result.json`."""

    def summary(self) -> str:
        """One line: who does what, and how often it works on held-out photos."""
        aim = "dodges" if self.target is None else f"as {self.target}"
        who = f"{self.subject or 'somebody'} {aim}"
        rate, interval = self.held_out.success_rate, self.held_out.interval
        if rate is None or interval is None:
            return f"{who}: no held-out photos"
        return (
            f"{who}: {rate:.0%} of {self.held_out.images} held-out photos "
            f"(95 % interval {interval[0]:.0%} to {interval[1]:.0%})"
        )

    def save(self, out: Path | str) -> None:
        """Write the frames, what drew them, pictures, and the numbers (`result.json`).

        Args:
            out: A directory without a result; made where there is none.

        Raises:
            ConfigError: It holds a result already, or is a file.
            AttackError: The score was read from a file.
        """
        folder = Path(out)
        check_results_directory(folder, frames=True)
        if self.result is None or self.scored is None:
            raise AttackError("a score that was read from a file has no frames to write")
        save_result(self.result, folder)
        draw_score(self.result, self.scored, folder, self)
        written = {
            one.name: getattr(self, one.name)
            for one in dataclasses.fields(self)
            if one.name not in ("result", "scored")
        }
        # Last: what holds a result is whole.
        write_json(folder / "result.json", written)


def draw_score(result: AttackResult, scored: ScoredPhotos, out: Path, score: AttackScore) -> None:
    """Draw held-out faces without and with the frame, and the attack's history."""
    draw_before_after(
        out / "before_after.png",
        scored.faces,
        scored.placement.wear(scored.faces, result.frames[:1], torch.arange(len(scored.faces))),
        scored.without_frame,
        scored.with_frame,
        scored.identities,
        title=score.summary(),
    )
    draw_history(out / "history.png", result.history, score.stop_value)


def check_results_directory(out: Path, *, frames: bool = False) -> None:
    """Refuse a directory that cannot take the results of an attack.

    Args:
        out: The directory.
        frames: Whether an attack's frames without scores may be there, to be written over.

    Raises:
        ConfigError: It holds a result already, or an attack's frames, or is a file.
    """
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out} is a file, not a directory for results")
    if (out / "result.json").exists():
        raise ConfigError(f"{out} already holds a result: name another directory")
    if not frames and (out / "history.json").exists():
        raise ConfigError(
            f"{out} already holds the frames of an attack without scores: name another directory"
        )
