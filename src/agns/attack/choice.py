"""The best of many frames that nobody crafted: what choosing alone achieves.

The baseline below all others: an attacker who tries on what there is and keeps what works. An
attack that does no better has found nothing.
"""

import time
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from agns.accessory.frame import FRAME_SIZE
from agns.accessory.placement import FIXED, Placement
from agns.attack.attack import FrameAttack, Nets, frames_of
from agns.attack.goals import Dodge, Goal, Impersonate
from agns.attack.query import query_logits
from agns.attack.result import AttackResult, Reason
from agns.attack.search import check_photos
from agns.data.simulation.drawn_frames import RealFrames
from agns.errors import AttackError, ConfigError
from agns.images import from_pixels
from agns.models.dcgan import build_gan, sample_latents
from agns.models.victim import Victim, freeze
from agns.types import Faces, Frames, Progress, silent

Kind: TypeAlias = Literal["benign", "untrained_generator", "noise", "solid"]
"""Real frames, an untrained generator's, uniform noise, or frames of one colour."""

_KEPT = 4
"""Frames that an outcome holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceConfig(FrameAttack):
    """What is chosen from."""

    kind: Kind = "benign"
    """Of what frames."""

    count: int = 300
    """Frames to try; as many as other attacks take steps."""

    batch: int = 64
    """Faces wearing a frame at once."""

    seed: int = 0
    """Seed of the frames."""

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ConfigError(f"kind must be one of {', '.join(get_args(Kind))}, got {self.kind!r}")
        if self.count < 1 or self.batch < 1:
            raise ConfigError(
                f"count and batch must be at least 1, got {self.count} and {self.batch}"
            )

    def find(
        self,
        victim: Victim,
        faces: Faces,
        goal: Dodge | Impersonate,
        *,
        frames: RealFrames | None,
        nets: Nets | None,
        placement: Placement,
        progress: Progress,
    ) -> AttackResult:
        """As `FrameAttack.find`."""
        return attack_by_choice(
            victim, faces, frames_of(frames), goal, self, placement=placement, progress=progress
        )


@torch.no_grad()
def draw_uncrafted(
    kind: Kind, count: int, *, glasses: RealFrames, generator: torch.Generator
) -> Frames:
    """Draw frames that know nothing of any recogniser.

    Args:
        kind: Of what frames.
        count: How many, at least 1.
        glasses: Real 64x176 frames as bytes, for benign ones, which may come twice.
        generator: Source of every draw.

    Returns:
        (count, 3, 64, 176), in [0, 1].
    """
    if kind == "benign":
        return from_pixels(glasses[torch.randint(len(glasses), (count,), generator=generator)])
    if kind == "untrained_generator":
        untrained, _ = build_gan(generator=generator)
        # Batch statistics: an untrained generator has no others.
        frames: Frames = untrained.train()(sample_latents(max(count, 2), generator=generator))
        return frames[:count]
    if kind == "solid":
        return torch.rand(count, 3, 1, 1, generator=generator).expand(-1, -1, *FRAME_SIZE)
    return torch.rand(count, 3, *FRAME_SIZE, generator=generator)


def attack_by_choice(
    victim: Victim,
    faces: Faces,
    glasses: RealFrames,
    goal: Goal,
    config: ChoiceConfig,
    *,
    placement: Placement = FIXED,
    progress: Progress = silent,
) -> AttackResult:
    """Try frames on all photos, and keep those that come nearest to the goal.

    Args:
        victim: Attacked in evaluation mode; not changed.
        faces: The attacker's photos, (photos, 3, 224, 224), in [0, 1].
        glasses: Real 64x176 frames as bytes.
        goal: Whom to dodge or impersonate.
        config: The settings.
        placement: Where frames sit on these photos.
        progress: Told after every few frames.

    Returns:
        The best frames, best first; Ctrl-C ends it early with what there is.

    Raises:
        ImageContractError: The faces are no canonical faces.
        AttackError: There are no faces, there is no real frame to choose, or logits are not finite.
    """
    check_photos(faces)
    victim = freeze(victim)
    if config.kind == "benign" and len(glasses) == 0:
        raise AttackError("there is no real frame to choose from")
    started = time.perf_counter()
    draws = torch.Generator().manual_seed(config.seed)
    frames = draw_uncrafted(config.kind, config.count, glasses=glasses, generator=draws)
    lacking = torch.full((0,), torch.inf)
    history: list[dict[str, float]] = []
    reason: Reason = "used up its frames"
    try:
        for some in frames.split(max(1, config.batch // len(faces))):
            found = _try_on(victim, faces, some, goal, config.batch, placement)
            if not bool(found.isfinite().all()):
                raise AttackError("the recogniser's logits are not finite")
            lacking = torch.cat([lacking, found])
            history.append({"probability": goal.probability(float(found.min()))})
            best = goal.probability(float(lacking.min()))
            progress(len(lacking), config.count, {"best": best})
    except KeyboardInterrupt:
        if len(lacking) == 0:
            raise
        reason = "interrupted"
    order = lacking.argsort(stable=True)[:_KEPT]
    shortfall = float(lacking[order[0]])
    return AttackResult(
        frames=frames[order],
        probability=goal.probability(shortfall),
        met=shortfall <= goal.allowance,
        iterations=len(lacking),
        seconds=time.perf_counter() - started,
        stopped_because=reason,
        history=history,
    )


def _try_on(
    victim: Victim,
    faces: Faces,
    frames: Frames,
    goal: Goal,
    batch: int,
    placement: Placement,
) -> Float[Tensor, " frames"]:
    """Each frame's mean shortfall."""
    sums = frames.new_zeros(len(frames))
    for photos in torch.arange(len(faces)).split(max(1, batch // len(frames))):
        worn = placement.wear(
            faces, frames.repeat_interleave(len(photos), 0), photos.repeat(len(frames))
        )
        logits = query_logits(victim, worn)
        sums += goal.shortfall(logits).reshape(len(frames), len(photos)).sum(1)
    return sums / len(faces)
