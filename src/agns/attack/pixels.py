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
from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from agns.accessory.frame import FRAME_SIZE
from agns.accessory.placement import Placement
from agns.attack.attack import FrameAttack, Nets
from agns.attack.goals import Goal, log_odds
from agns.attack.query import query_gradient
from agns.attack.result import AttackResult, Reason
from agns.data.simulation.drawn_frames import RealFrames
from agns.errors import AttackError
from agns.models.victim import Victim
from agns.settings import Count, Range, check_settings
from agns.types import Faces, Logits, Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class FreePixels(FrameAttack):
    """One frame's pixels, by the gradient's signs."""

    steps: Count = 300
    """Steps, each over all photos."""

    step: Annotated[float, Range("(0, 1]")] = 10 / 255
    """How far the first step moves each pixel; it falls to nothing along a cosine."""

    momentum: Annotated[float, Range("[0, 1)")] = 0.9
    """Share of the former direction in the next one."""

    batch: Count = 16
    """Photos at once."""

    def __post_init__(self) -> None:
        check_settings(self)

    def find(
        self,
        victim: Victim,
        faces: Faces,
        goal: Goal,
        *,
        frames: RealFrames | None,
        nets: Nets | None,
        placement: Placement,
        rng: torch.Generator,
        progress: Progress,
    ) -> AttackResult:
        """As `FrameAttack.find`: one frame for all photos, from mid-grey, until steps are used up.

        In the first half of the steps cross-entropy is lowered, which moves photos that resist
        too; in the second the mean failure probability itself, which leaves those alone that cannot
        be had. Nothing is random.
        """
        started = time.perf_counter()
        frame = torch.full((1, 3, *FRAME_SIZE), 0.5)
        direction = torch.zeros_like(frame)
        history: list[dict[str, float]] = []
        reason: Reason = "used up its steps"
        best, best_frame = float("inf"), frame
        try:
            for step in range(1, self.steps + 1):
                leaf = frame.clone().requires_grad_()
                loss = partial(_loss, goal=goal, entropy=2 * step <= self.steps, share=len(faces))
                failure = 0.0
                for photos in torch.arange(len(faces)).split(self.batch):
                    worn = placement.wear(faces, leaf, photos)
                    logits, at_faces = query_gradient(victim, worn, loss)
                    worn.backward(at_faces)
                    failure += float(goal.failure_probability(logits).sum()) / len(faces)
                gradient = leaf.grad
                if not math.isfinite(failure) or gradient is None or not gradient.isfinite().all():
                    if step == 1:
                        raise AttackError(
                            "the attack cannot begin: the recogniser's answers are not finite"
                        )
                    reason = "not finite"
                    break
                if failure < best:
                    best, best_frame = failure, frame
                direction = self.momentum * direction + gradient / gradient.abs().mean().clamp_min(
                    1e-30
                )
                size = self.step * (1 + math.cos(math.pi * (step - 1) / self.steps)) / 2
                frame = (frame - size * direction.sign()).clamp(0, 1)
                history.append({"probability": goal.probability(failure)})
                progress(step, self.steps, history[-1])
        except KeyboardInterrupt:
            if not history:
                raise
            reason = "interrupted"
        return AttackResult(
            frames=best_frame,
            probability=goal.probability(best),
            met=best <= goal.max_failure,
            iterations=len(history),
            seconds=time.perf_counter() - started,
            stopped_because=reason,
            history=history,
        )


def _loss(logits: Logits, *, goal: Goal, entropy: bool, share: int) -> Float[Tensor, " batch"]:
    if entropy:
        # -log(1 - failure probability), from logits where the plain form would round to 0.
        return -functional.logsigmoid(log_odds(logits, goal)) / share
    return goal.failure_probability(logits) / share
