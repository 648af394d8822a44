"""Scoring a frame on photos that no attack has seen: pure, in memory."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from agns.accessory.placement import FIXED, Placement
from agns.attack.attack import Nets, frames_of, photos_of, shipped_nets
from agns.attack.goals import Dodge, Impersonate, resolve_goal
from agns.attack.result import AttackResult, save_result
from agns.data.faces import FaceSet
from agns.data.simulation.drawn_frames import RealFrames
from agns.data.twins import count_saved_anew, find_twins, were_seen
from agns.errors import AttackError, ConfigError
from agns.evaluation.checks import find_warnings
from agns.evaluation.controls import control_frames, logits_wearing
from agns.evaluation.metrics import SplitSuccess, measure_split
from agns.evaluation.stealth import BenignRange, Stealth, StealthScale
from agns.images import check_images
from agns.models.victim import Victim, freeze
from agns.models.weights import photos_seen
from agns.storage import write_json
from agns.types import CANVAS, Faces

REAL = 1000
"""Of the drawn set, how many frames the nearest real one is looked for among."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AttackScore:
    """What an attack's best frame is worth, beside frames that nobody crafted."""

    result: AttackResult
    """What was scored."""

    held_out: SplitSuccess
    """On photos that the attack has not seen, wearing the best frame."""

    held_out_without_frame: SplitSuccess
    """On the same photos as they are."""

    controls: Mapping[str, SplitSuccess]
    """On the same photos, wearing frames that nobody crafted, by their kind."""

    stealth: Stealth
    """How much the frame looks like eyeglasses."""

    benign_stealth: Mapping[str, BenignRange]
    """How the same figures spread over benign generated frames."""

    warnings: list[str]
    """What makes the figures weaker than they look."""

    def save(self, out: Path | str) -> None:
        """Write the frames, what drew them, and the figures (`score.json`) into a directory."""
        folder = Path(out)
        if folder.exists() and not folder.is_dir():
            raise ConfigError(f"{folder} is a file, not a directory for results")
        save_result(self.result, folder)
        # Last: what holds a score is whole.
        names = ("held_out", "held_out_without_frame", "controls", "stealth", "benign_stealth")
        figures = {name: getattr(self, name) for name in (*names, "warnings")}
        told = ("probability", "met", "iterations", "seconds", "stopped_because")
        result = {name: getattr(self.result, name) for name in told}
        write_json(folder / "score.json", {"result": result, **figures})


def evaluate(
    result: AttackResult,
    victim: Victim,
    held_out: Faces | FaceSet,
    *,
    goal: Dodge | Impersonate | None = None,
    seed: int = 0,
    control_count: int = 32,
    frames: RealFrames | None = None,
    nets: Nets | None = None,
    placement: Placement = FIXED,
) -> AttackScore:
    """Score an attack's best frame on photos that it has not seen.

    Args:
        result: As the attack returned it.
        victim: Who was attacked, or another with the same people.
        held_out: Photos of the subject, none of which the attack was made on, nor the victim
            trained on: a `FaceSet`, or canonical faces, (photos, 3, 224, 224), in [0, 1].
        goal: What counts as success; None for the attack's own.
        seed: Of the controls.
        control_count: Frames of each control.
        frames: Real eyeglasses; None for the first thousand of the drawn set.
        nets: What benign frames are drawn and judged by; None for those that come with agns.
        placement: Where frames sit on these photos.

    Raises:
        AttackError: There are no photos, the result does not say with what goal it was made, or the
            victim gives something else than a finite logit for each identity.
        ConfigError: The victim does not know somebody.
        ImageContractError: The faces are no canonical faces.
    """
    goal = result.goal if goal is None else goal
    if goal is None:
        raise AttackError("the result does not say what its goal was: name it")
    goal = resolve_goal(goal, victim)
    faces, victim = photos_of(held_out), freeze(victim)
    check_images(faces, size=(CANVAS, CANVAS))
    if len(faces) == 0:
        raise AttackError("scoring needs at least one photo that the attack has not seen")
    generator, discriminator = copy.deepcopy(shipped_nets() if nets is None else nets)
    glasses = frames_of(None)[torch.arange(REAL)] if frames is None else frames
    if not isinstance(glasses, Tensor):
        glasses = glasses[torch.arange(len(glasses))]
    with torch.no_grad():
        plain = torch.cat([victim(some) for some in faces.split(64)])
    expected = (len(faces), len(victim.identities))
    if tuple(plain.shape) != expected or not bool(plain.isfinite().all()):
        raise AttackError(
            f"the victim should give {expected} finite logits, got {tuple(plain.shape)}"
        )
    subject = getattr(goal, "subject", None)
    recognized = plain.argmax(1) == (-1 if subject is None else subject)
    uncrafted = control_frames(
        glasses, count=control_count, generator=torch.Generator().manual_seed(seed)
    )

    def wearing(some: Tensor) -> Tensor:
        return logits_wearing(victim, faces, some, placement=placement)

    score = measure_split(goal, wearing(result.frames[:1]), recognized)
    bare = measure_split(goal, plain, recognized)
    controls = {
        name: measure_split(goal, wearing(some), recognized) for name, some in uncrafted.items()
    }
    draws = torch.Generator().manual_seed(0)
    scale = StealthScale(generator.eval(), discriminator.eval(), glasses, draws=draws)
    stealth = scale.measure(result.frames[0])
    share = None if subject is None else float(recognized.float().mean())
    return AttackScore(
        result=result,
        held_out=score,
        held_out_without_frame=bare,
        controls=controls,
        stealth=stealth,
        benign_stealth=scale.ranges,
        warnings=[
            *_seen_before(held_out, victim),
            *find_warnings(result, score, controls, share, stealth, bare, _copies(held_out)),
        ],
    )


def _seen_before(held_out: Faces | FaceSet, victim: Victim) -> list[str]:
    known = photos_seen(getattr(victim, "record", {}))
    if not isinstance(held_out, FaceSet) or not known:
        return []
    count = int(were_seen(held_out, known).sum())
    if count == 0:
        return []
    return [
        f"The recogniser was trained on {count} of the {len(held_out)} photos scored on: split "
        "them with `seen`, its digests."
    ]


def _copies(held_out: Faces | FaceSet) -> int:
    if not isinstance(held_out, FaceSet):
        return 0
    return count_saved_anew(held_out, find_twins(held_out))
