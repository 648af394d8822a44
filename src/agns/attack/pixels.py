"""A frame's pixels optimised directly: what any frame could do that need not look like eyeglasses.

After the attack of Sharif et al. 2016 (section 4), without its terms for smoothness and printing,
and with steps in the direction of the gradient's signs (Dong et al. 2018): all pixels move alike,
which finds frames that steps along the gradient itself do not. Where it falls short, no generator
is to blame.
"""

import math
import time
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from agns.accessory.frame import FRAME_SIZE
from agns.accessory.placement import FIXED, Placement
from agns.attack.attack import FrameAttack, Nets
from agns.attack.goals import Dodge, Goal, Impersonate, log_odds
from agns.attack.query import query_gradient
from agns.attack.result import AttackResult, Reason
from agns.attack.search import check_photos
from agns.data.simulation.drawn_frames import RealFrames
from agns.errors import AttackError, ConfigError
from agns.models.victim import Victim, freeze
from agns.types import Faces, Logits, Progress, silent


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelConfig(FrameAttack):
    """How pixels are optimised."""

    steps: int = 300
    """Steps, each over all photos."""

    step: float = 10 / 255
    """How far the first step moves each pixel, in [0, 1]; it falls to nothing along a cosine."""

    momentum: float = 0.9
    """Share of the former direction in the next one, in [0, 1)."""

    batch: int = 16
    """Photos at once."""

    def __post_init__(self) -> None:
        if min(self.steps, self.batch) < 1:
            raise ConfigError(
                f"steps and batch must be at least 1, got {self.steps} and {self.batch}"
            )
        if not 0 < self.step <= 1:
            raise ConfigError(f"step must lie in (0, 1], got {self.step}")
        if not 0 <= self.momentum < 1:
            raise ConfigError(f"momentum must lie in [0, 1), got {self.momentum}")

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
        return attack_with_pixels(victim, faces, goal, self, placement=placement, progress=progress)


def attack_with_pixels(
    victim: Victim,
    faces: Faces,
    goal: Goal,
    config: PixelConfig,
    *,
    placement: Placement = FIXED,
    progress: Progress = silent,
) -> AttackResult:
    """Optimise one frame for all photos, from mid-grey, until its steps are used up.

    In the first half of the steps cross-entropy is lowered, which moves photos that resist too;
    in the second the mean shortfall itself, which leaves those alone that cannot be had. Nothing
    is random.

    Args:
        victim: Attacked in evaluation mode; not changed.
        faces: The attacker's photos, (photos, 3, 224, 224), in [0, 1].
        goal: Whom to dodge or impersonate.
        config: The settings.
        placement: Where the frame sits on these photos.
        progress: Told of every step.

    Raises:
        ImageContractError: The faces are no canonical faces.
        AttackError: There are no faces, or nothing is finite from the start.
    """
    check_photos(faces)
    victim = freeze(victim)
    started = time.perf_counter()
    frame = torch.full((1, 3, *FRAME_SIZE), 0.5)
    direction = torch.zeros_like(frame)
    history: list[dict[str, float]] = []
    reason: Reason = "used up its steps"
    best, finest = float("inf"), frame
    try:
        for step in range(1, config.steps + 1):
            leaf = frame.clone().requires_grad_()
            loss = partial(_loss, goal=goal, entropy=2 * step <= config.steps, share=len(faces))
            shortfall = 0.0
            for photos in torch.arange(len(faces)).split(config.batch):
                worn = placement.wear(faces, leaf, photos)
                logits, gradient = query_gradient(victim, worn, loss)
                worn.backward(gradient)
                shortfall += float(goal.shortfall(logits).sum()) / len(faces)
            slope = leaf.grad
            if not math.isfinite(shortfall) or slope is None or not slope.isfinite().all():
                if step == 1:
                    raise AttackError(
                        "the attack cannot begin: the recogniser's answers are not finite"
                    )
                reason = "not finite"
                break
            if shortfall < best:
                best, finest = shortfall, frame
            direction = config.momentum * direction + slope / slope.abs().mean().clamp_min(1e-30)
            size = config.step * (1 + math.cos(math.pi * (step - 1) / config.steps)) / 2
            frame = (frame - size * direction.sign()).clamp(0, 1)
            history.append({"probability": goal.probability(shortfall)})
            progress(step, config.steps, history[-1])
    except KeyboardInterrupt:
        if not history:
            raise
        reason = "interrupted"
    return AttackResult(
        frames=finest,
        probability=goal.probability(best),
        met=best <= goal.allowance,
        iterations=len(history),
        seconds=time.perf_counter() - started,
        stopped_because=reason,
        history=history,
    )


def _loss(logits: Logits, *, goal: Goal, entropy: bool, share: int) -> Float[Tensor, " batch"]:
    if entropy:
        # -log(1 - shortfall), from logits where the plain form would round to 0.
        return -functional.logsigmoid(log_odds(logits, goal)) / share
    return goal.shortfall(logits) / share
