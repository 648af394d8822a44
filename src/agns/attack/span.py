"""A search among natural frames: descent over what they are made of, several side by side."""

import time
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, TypeAlias

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

from agns.accessory.natural_set import NaturalSet
from agns.accessory.placement import Placement
from agns.attack.attack import FrameAttack, Nets, frames_of, natural_set_at
from agns.attack.goals import Goal, log_odds
from agns.attack.query import ask_frames, query_gradient
from agns.attack.result import AttackResult, Reason
from agns.attack.search import draw_photos
from agns.data.simulation.drawn_frames import RealFrames
from agns.errors import AttackError
from agns.images import from_pixels
from agns.models.victim import Victim
from agns.settings import Count, Range, Rate, Share, check_settings
from agns.types import Faces, Frames, Logits, Progress

_DETAIL = 0.03
"""What a number of a frame's detail is worth in pixels, beside a coefficient's one deviation."""


Numbers: TypeAlias = Float[Tensor, "candidates numbers"]
"""A frame's coefficients, and its detail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span(FrameAttack):
    """Frames between and about real ones: descent over the natural set's directions, and off them.

    It begins with real frames, brought onto the plane that the directions span. Every frame that it
    tries lies in the set.
    """

    steps: Count = 100
    """Steps at most."""

    rate: Rate = 0.3
    """Adam's learning rate."""

    candidates: Count = 8
    """Frames that descend side by side. Half of them, the worse, leave after each fifth of the
    steps."""

    batch: Count = 16
    """Faces wearing a frame in a step."""

    first_share: Annotated[float, Range("(0, 1]")] = 0.4
    """How far out frames may be at first, against the set's bounds; from 60 % of the steps on, all
    of it. The first frame that does what is wanted is the most usual one."""

    off_plane: Share = 0.25
    """How far frames may lie off the plane, against the set's bound; 0 keeps them on it. Real
    frames have detail there; what is sought there looks like noise where it is all of the bound."""

    jitter: Annotated[float, Range("[0, 10)")] = 0.0
    """By how many pixels (standard deviation) the steps move the frame's corners at random."""

    brightness: Annotated[float, Range("[0, 1)")] = 0.0
    """By what share at most the steps make a photo and the frame on it brighter or darker."""

    check_every: Count = 10
    """Steps after which all candidates are tried on all photos."""

    real_frames: Count = 32
    """Real frames that are drawn; the candidates are made of some."""

    natural_set: str | None = None
    """File of the natural set; None for the one that comes with agns."""

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
        """As `FrameAttack.find`: until a candidate reaches the stop value on all photos.

        The result has the candidates that are left, best first, as they were when they did best.
        """
        started = time.perf_counter()
        natural, glasses = natural_set_at(self.natural_set), frames_of(frames)
        if len(glasses) == 0:
            raise AttackError("there is no real frame to begin with")
        placement = replace(placement, jitter=self.jitter, brightness=self.brightness)
        places = torch.randint(len(glasses), (self.real_frames,), generator=rng)
        # The first ones of the draw: as many are drawn however many candidates there are.
        begun = natural.coefficients(from_pixels(glasses[places])[: self.candidates])
        nothing = torch.zeros(len(begun), len(natural.mean))
        numbers = torch.cat([begun, nothing], 1).requires_grad_()
        optimizer = torch.optim.Adam([numbers], lr=self.rate)
        best, failures = (
            self._frames(natural, numbers).detach(),
            torch.full((len(numbers),), torch.inf),
        )
        history: list[dict[str, float]] = []
        reason: Reason = "used up its steps"
        everywhere, step = torch.arange(len(faces)), 0
        try:
            while True:
                share = min(
                    1.0, self.first_share + (1 - self.first_share) * step / (0.6 * self.steps)
                )
                drawn = natural.draw_in(self._frames(natural, numbers), share)
                if step % self.check_every == 0 or step == self.steps:
                    now = _failures(victim, faces, drawn.detach(), goal, placement, everywhere)
                    if not bool(now.isfinite().all()):
                        if step == 0:
                            raise AttackError(
                                "the attack cannot begin: the recogniser's logits are not finite"
                            )
                        reason = "not finite"
                        break
                    better = now < failures
                    best[better], failures[better] = drawn.detach()[better], now[better]
                    if bool((failures <= goal.max_failure).any()):
                        reason = "reached the stop value"
                        break
                    if step == self.steps:
                        break
                    kept = max(1, self.candidates >> (5 * step // self.steps))
                    if kept < len(numbers):
                        left = now.argsort(stable=True)[:kept]
                        best, failures = best[left], failures[left]
                        numbers = numbers.detach()[left].requires_grad_()
                        optimizer = torch.optim.Adam([numbers], lr=self.rate)
                        drawn = natural.draw_in(self._frames(natural, numbers), share)
                each = -(-self.batch // len(numbers))
                photos = torch.cat([draw_photos(len(faces), each, rng) for _ in numbers])
                worn = placement.wear(faces, drawn.repeat_interleave(each, 0), photos, rng=rng)
                own = goal.on(photos)
                logits, at_faces = query_gradient(victim, worn, partial(_loss, goal=own))
                (numbers.grad,) = torch.autograd.grad(worn, numbers, at_faces)
                if not bool(numbers.grad.isfinite().all()):
                    reason = "not finite"
                    break
                optimizer.step()
                step += 1
                with torch.no_grad():
                    numbers.copy_(self._held(natural, numbers, share))
                history.append({"probability": float(own.class_probability(logits).mean())})
                told = goal.probability(min(1.0, float(failures.min())))
                progress(step, self.steps, {**history[-1], "best": told})
        except KeyboardInterrupt:
            if not bool(failures.isfinite().any()):
                raise
            reason = "interrupted"
        order = failures.argsort(stable=True)
        least = float(failures[order[0]])
        return AttackResult(
            frames=best[order],
            probability=goal.probability(least),
            met=least <= goal.max_failure,
            iterations=step,
            seconds=time.perf_counter() - started,
            stopped_because=reason,
            history=history,
        )

    def _frames(self, natural: NaturalSet, numbers: Numbers) -> Frames:
        coefficients, detail = numbers.tensor_split([len(natural.deviations)], 1)
        return natural.frames(coefficients, _DETAIL * detail if self.off_plane else None)

    def _held(self, natural: NaturalSet, numbers: Numbers, share: float) -> Numbers:
        """Numbers that a step has led too far, led back to a share of the bounds."""
        coefficients, detail = numbers.tensor_split([len(natural.deviations)], 1)
        detail = natural.off_plane(detail)
        off = _DETAIL * detail.square().mean(1, keepdim=True).sqrt()
        bound = share * self.off_plane * natural.residual_bound
        lengths = coefficients.norm(dim=1, keepdim=True)
        return torch.cat(
            [
                coefficients * (share * natural.bound / lengths.clamp_min(1e-9)).clamp_max(1),
                detail * (bound / off.clamp_min(1e-9)).clamp_max(1),
            ],
            1,
        )


def _loss(logits: Logits, *, goal: Goal) -> Float[Tensor, " batch"]:
    # The goal's cross-entropy, from logits: where it is far, probabilities round to 0.
    return -functional.logsigmoid(log_odds(logits, goal))


def _failures(
    victim: Victim,
    faces: Faces,
    frames: Frames,
    goal: Goal,
    placement: Placement,
    photos: Int64[Tensor, " photos"],
) -> Float[Tensor, " frames"]:
    """Each frame's mean failure probability over photos."""
    logits = ask_frames(victim, faces, frames, photos, placement=placement, batch=64)
    own = goal.on(photos.repeat(len(frames)))
    each = own.failure_probability(logits.flatten(0, 1))
    return each.reshape(len(frames), -1).mean(1)
