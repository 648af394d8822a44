"""The best of many frames that nobody crafted: what choosing alone achieves.

The baseline below all others: an attacker who tries on what there is and keeps what works. An
attack that does no better has found nothing.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch

from agns.accessory.frame import FRAME_SIZE
from agns.accessory.placement import Placement
from agns.attack.asking import Asking
from agns.attack.attack import FrameAttack, Nets, frames_of
from agns.attack.goals import Goal
from agns.attack.result import AttackResult, Reason
from agns.data.simulation.drawn_frames import RealFrames
from agns.errors import AttackError, QueryBudgetSpent
from agns.images import from_pixels
from agns.models.dcgan import build_gan, sample_latents
from agns.models.victim import Victim
from agns.settings import Count, check_settings
from agns.types import Faces, Frames, Progress

Kind: TypeAlias = Literal["benign", "untrained_generator", "noise", "solid"]
"""Real frames, an untrained generator's, uniform noise, or frames of one colour."""

_KEPT = 4
"""Frames that a result holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline(FrameAttack):
    """The best of many frames that nobody crafted."""

    kind: Kind = "benign"
    """Of what frames."""

    count: Count = 300
    """Frames to try; as many as other attacks take steps."""

    batch: Count = 64
    """Faces wearing a frame at once."""

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
        """As `FrameAttack.find`: every frame on all photos; those nearest to the goal are kept."""
        glasses = frames_of(frames)
        if self.kind == "benign" and len(glasses) == 0:
            raise AttackError("there is no real frame to choose from")
        asking = Asking(
            victim, faces, goal,
            placement=placement, budget=self.count * len(faces), batch=self.batch,
        )  # fmt: skip
        tried = draw_uncrafted(self.kind, self.count, glasses=glasses, rng=rng)
        failures = torch.full((0,), torch.inf)
        reason: Reason = "used up its frames"
        try:
            for some in tried.split(max(1, self.batch // len(faces))):
                sums = torch.zeros(len(some))
                for part in torch.arange(len(faces)).split(max(1, self.batch // len(some))):
                    logits = asking.ask(some, part).flatten(0, 1)
                    sums += goal.failure_probability(logits).unflatten(0, (len(some), -1)).sum(1)
                found = sums / len(faces)
                failures = torch.cat([failures, found])
                if float(found.min()) < asking.failure:
                    asking.keep(some[found.argmin()][None], float(found.min()))
                progress(len(failures), self.count, asking.note(float(found.min())))
        except KeyboardInterrupt:
            if len(failures) == 0:
                raise
            reason = "interrupted"
        except QueryBudgetSpent:
            if len(failures) == 0:
                raise
            reason = "used up its queries"
        result = asking.result(reason, len(failures))
        result.frames = tried[failures.argsort(stable=True)[:_KEPT]]
        return result


@torch.no_grad()
def draw_uncrafted(kind: Kind, count: int, *, glasses: RealFrames, rng: torch.Generator) -> Frames:
    """Draw frames that know nothing of any recogniser.

    Args:
        kind: Of what frames.
        count: How many, at least 1.
        glasses: Real 64x176 frames as bytes, for benign ones, which may come twice.
        rng: Source of every draw.

    Returns:
        (count, 3, 64, 176), in [0, 1].
    """
    if kind == "benign":
        return from_pixels(glasses[torch.randint(len(glasses), (count,), generator=rng)])
    if kind == "untrained_generator":
        untrained, _ = build_gan(rng=rng)
        # Batch statistics: an untrained generator has no others.
        frames: Frames = untrained.train()(sample_latents(max(count, 2), rng=rng))
        return frames[:count]
    if kind == "solid":
        return torch.rand(count, 3, 1, 1, generator=rng).expand(-1, -1, *FRAME_SIZE)
    return torch.rand(count, 3, *FRAME_SIZE, generator=rng)
