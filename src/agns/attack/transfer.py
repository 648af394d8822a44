"""A frame made against other recognisers in the victim's place: the victim is not asked at all.

Momentum keeps steps from ends that only the surrogates have (MI-FGSM, Dong et al. 2018), and so do
faces shown smaller and elsewhere (Xie et al. 2019). The surrogates' losses are added up.

Convention:
    A gradient is divided by its mean absolute value before it is added to the former direction, and
    a step goes along the signs of the sum. Total variation's gradient is divided by its largest
    entry and added to the step, in the same unit, as in `agns.attack.pixel_descent`.
"""

import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import InitVar, dataclass
from functools import partial
from typing import Annotated

import torch

from agns.accessory.frame import FRAME_SIZE, frame_mask
from agns.accessory.placement import Placement
from agns.accessory.total_variation import variation_gradient
from agns.attack.attack import FrameAttack, Nets
from agns.attack.goals import Goal, name_goal, resolve_goal
from agns.attack.pixel_descent import frame_gradients
from agns.attack.query import ask_frames
from agns.attack.result import AttackResult, BestAfter, Reason
from agns.data.simulation.drawn_frames import RealFrames
from agns.errors import AttackError, ConfigError
from agns.geometry import warp
from agns.models.layout import device_of
from agns.models.opening import open_victim
from agns.models.victim import Victim, freeze
from agns.settings import Count, Part, Range, Share, check_settings
from agns.types import CANVAS, Faces, Progress

_JUDGED = 10
"""Steps between two frames that the surrogates judge."""


@dataclass(frozen=True, kw_only=True)
class Transfer(FrameAttack):
    """Pixel descent against surrogates: recognisers that know the people, in the victim's place."""

    surrogates: tuple[str, ...] = ()
    """Recogniser to follow: a file, a folder of save_pretrained, owner/name on the Hugging Face
    hub, or package.module:function; there may be many."""

    victims: InitVar[Sequence[Victim]] = ()

    steps: Count = 100
    """Steps, each over all photos."""

    step: Annotated[float, Range("(0, 1]")] = 10 / 255
    """How far a step moves each pixel, in values of [0, 1]."""

    momentum: Annotated[float, Range("[0, 1]")] = 1.0
    """Share of the former direction in the next one."""

    varied: Share = 1.0
    """Share of the faces that the steps show smaller and elsewhere, black around them."""

    smallest: Part = 0.7
    """Share of their size that they keep at least."""

    tv_weight: Share = 0.0
    """How far total variation's gradient moves a pixel in a step, in the same; 0 leaves it out."""

    batch: Count = 64
    """Faces wearing a frame at once."""

    def __post_init__(self, victims: Sequence[Victim]) -> None:
        # Victims are no setting: results and plans name those that can be named.
        several = tuple(victims) if isinstance(victims, Iterable) else (victims,)
        object.__setattr__(self, "victims", several)
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
        """As `FrameAttack.find`: one frame, from mid-grey, until steps are used up.

        It is the one that did best on the surrogates, which judge every tenth, and what the result
        says is by them. Steps grow shorter along a cosine.

        Raises:
            ConfigError: No surrogate is named, or one does not know somebody.
        """
        started = time.perf_counter()
        followed = self._followed(victim, goal)
        follow = partial(
            frame_gradients,
            faces=faces,
            batch=self.batch,
            placement=placement,
            vary=partial(vary_faces, share=self.varied, smallest=self.smallest, rng=rng),
        )
        photos = torch.arange(len(faces))
        judge = partial(
            ask_frames, faces=faces, photos=photos, placement=placement, batch=self.batch
        )
        frame = torch.full((1, 3, *FRAME_SIZE), 0.5) * frame_mask()
        direction = torch.zeros_like(frame)
        history: list[dict[str, float]] = []
        reason: Reason = "used up its steps"
        best, best_frame = math.inf, frame
        try:
            for step in range(self.steps):
                found = [follow(surrogate, frames=frame, goal=own) for surrogate, own in followed]
                gradient = torch.stack([one for one, _ in found]).sum(0)
                failure = sum(float(one) for _, one in found) / len(found)
                if not math.isfinite(failure) or not bool(gradient.isfinite().all()):
                    if step == 0:
                        raise AttackError(
                            "the attack cannot begin: a surrogate's logits are not finite"
                        )
                    reason = "not finite"
                    break
                size = gradient.abs().mean().clamp_min(1e-30)
                direction = self.momentum * direction + gradient / size
                stride = self.step * direction.sign()
                if self.tv_weight > 0:
                    rough = variation_gradient(frame)
                    stride = stride + self.tv_weight * rough / rough.abs().max().clamp_min(1e-30)
                shorter = (1 + math.cos(math.pi * step / self.steps)) / 2
                frame = (frame - shorter * stride).clamp(0, 1) * frame_mask()
                if step % _JUDGED == 0 or step == self.steps - 1:
                    # Faces as they are, without the luck of how the steps showed them.
                    each = [
                        own.failure_probability(judge(surrogate, frames=frame)[0]).mean()
                        for surrogate, own in followed
                    ]
                    if (now := float(torch.stack(each).mean())) <= best:
                        best, best_frame = now, frame
                history.append({"probability": goal.probability(failure), "queries": 0.0})
                progress(step + 1, self.steps, {"best": goal.probability(best)})
        except KeyboardInterrupt:
            if not math.isfinite(best):
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
            queries=0,
            best_after=(BestAfter(queries=0, frame=best_frame),),
        )

    def _followed(self, victim: Victim, goal: Goal) -> list[tuple[Victim, Goal]]:
        """The surrogates, each with the goal in its own classes."""
        place = device_of(victim)
        named = [(name, open_victim(name, place)) for name in self.surrogates]
        named += [(type(one).__name__, one) for one in vars(self)["victims"]]
        if not named:
            raise ConfigError(
                "transfer follows surrogates, and none is named: give recognisers that know the "
                "people, with --surrogates or in Python as victims"
            )
        people, found = name_goal(goal, victim), []
        for name, surrogate in named:
            try:
                found.append((freeze(surrogate), resolve_goal(people, surrogate)))
            except ConfigError as error:
                raise ConfigError(f"of the surrogate {name}: {error}") from error
        return found


def vary_faces(faces: Faces, *, share: float, smallest: float, rng: torch.Generator) -> Faces:
    """Show some faces smaller and elsewhere on the canvas, black around them.

    Args:
        faces: In [0, 1]; differentiable in them.
        share: Of the faces, each of which is shown so or as it is, in [0, 1].
        smallest: The size that they shrink to at most, in (0, 1).
        rng: Source of which, how small and where.
    """
    drawn = torch.rand(4, len(faces), generator=rng)
    scale = 1 - (1 - smallest) * drawn[1] * (drawn[0] < share)
    moves = drawn[2:] * (1 - scale) * (CANVAS - 1)
    homographies = torch.zeros(len(faces), 3, 3)
    homographies[:, 0, 0] = homographies[:, 1, 1] = scale
    homographies[:, :2, 2] = moves.T
    homographies[:, 2, 2] = 1
    return warp(faces, homographies, (CANVAS, CANVAS))
