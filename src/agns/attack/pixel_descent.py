"""Frames whose pixels descend from solid colours: CCS16, its bounded form, and PGD.

Sharif et al. 2016 (CCS16) and projected gradient descent (Madry et al. 2018), held to the frame's
pixels: what Sharif et al. 2019 compare their nets with (section 5, table 3). The frames need not
look like eyeglasses. For frames that are to be printed, CCS16 adds two terms to the cross-entropy,
total variation and non-printability, and moves the frame about (Sharif et al. 2016, section 4.3).

Convention:
    A step of CCS16 goes along the gradient divided by its largest entry, so that no pixel moves by
    more than the step before momentum is added; one of PGD goes along the gradient's sign. A bound
    is kept around the colour that a frame began with.

    The two terms are weighed as in the code that the authors of CCS16 released: each term's
    gradient is divided by its own largest entry too, and its weight is how far that alone moves a
    pixel at most, in the step's unit. Momentum counts total variation's part in, and leaves
    non-printability's out.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from agns.accessory.frame import FRAME_SIZE
from agns.accessory.placement import DISTURBANCES, Placement
from agns.accessory.printability import check_palette, non_printability, palette_at
from agns.accessory.total_variation import total_variation
from agns.attack.attack import FrameAttack, Nets
from agns.attack.goals import Goal, log_odds
from agns.attack.query import query_gradient
from agns.attack.result import AttackResult, Reason
from agns.data.simulation.drawn_frames import RealFrames
from agns.errors import AttackError
from agns.models.victim import Victim
from agns.settings import Count, Range, Share, check_settings
from agns.types import Faces, Frames, Logits, Progress

COLORS = {
    "black": (0.05, 0.05, 0.05),
    "tortoiseshell": (0.35, 0.2, 0.1),
    "red": (0.6, 0.1, 0.1),
    "blue": (0.1, 0.2, 0.5),
    "grey": (0.6, 0.6, 0.6),
}
"""RGB of the solid frames that a descent begins with, in [0, 1]; the best one counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelDescent(FrameAttack):
    """Gradient descent on a frame's pixels."""

    steps: Count = 300
    """Steps at most, each over all photos."""

    step: Annotated[float, Range("(0, 1]")] = 20 / 255
    """How far a step goes, in values of [0, 1]."""

    momentum: Annotated[float, Range("[0, 1)")] = 0.4
    """Share of the last step's direction that the next one keeps."""

    bound: Annotated[float, Range("(0, 1]")] | None = None
    """How far a pixel may be from the colour that it began with; None for anywhere."""

    signed: bool = False
    """Whether steps go along the gradient's sign."""

    tv_weight: Share = 0.0
    """How far total variation's gradient moves a pixel in a step, in the same; 0 leaves it out."""

    nps_weight: Share = 0.0
    """How far non-printability's gradient does; 0 leaves it out."""

    palette: str | None = None
    """File of the colours that the printer reproduces, with a `nps_weight`; None for
    `agns.accessory.printability.assumed_palette`."""

    jitter: Annotated[float, Range("[0, 10)")] = 0.0
    """By how many pixels (standard deviation) the steps move the frame's corners at random."""

    brightness: Annotated[float, Range("[0, 10)")] = 0.0
    """By what share at most the steps make a photo and the frame on it brighter or darker."""

    shift: Annotated[float, Range("[0, 50)")] = 0.0
    """By how many pixels at most the steps move the frame, to the side and up or down."""

    rotation: Annotated[float, Range("[0, 45)")] = 0.0
    """By how many degrees at most the steps turn the frame, either way."""

    batch: Count = 64
    """Faces wearing a frame at once."""

    def __post_init__(self) -> None:
        check_settings(self)
        check_palette(self.palette, self.nps_weight)

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
        """As `FrameAttack.find`: frames of each solid colour descend together.

        The first that reaches the stop value ends it. The result has a frame for each colour,
        best first, as it was when it did best. Steps disturb the placement, scoring does not.
        """
        palette = palette_at(self.palette)
        started = time.perf_counter()
        placement = replace(placement, **{name: getattr(self, name) for name in DISTURBANCES})
        ask = partial(
            frame_gradients, victim, faces, goal=goal, batch=self.batch, placement=placement
        )
        disturbed = any(getattr(self, name) > 0 for name in DISTURBANCES)
        first = torch.tensor(list(COLORS.values()))[:, :, None, None].expand(-1, -1, *FRAME_SIZE)
        now, direction = first.clone(), torch.zeros_like(first)
        best_frames, failures = now.clone(), torch.full((len(now),), torch.inf)
        history: list[dict[str, float]] = []
        reason: Reason = "used up its steps"
        try:
            for step in range(self.steps + 1):
                gradient, failure = ask(now)
                if not bool(failure.isfinite().all()):
                    if step == 0:
                        raise AttackError(
                            "the attack cannot begin: the recogniser's logits are not finite"
                        )
                    reason = "not finite"
                    break
                better = failure < failures
                best_frames[better], failures[better] = now[better], failure[better]
                history.append({"probability": goal.probability(float(failure.min()))})
                best = goal.probability(float(failures.min()))
                progress(step, self.steps, {"best": best})
                if bool((failures <= goal.max_failure).any()):
                    reason = "reached the stop value"
                    break
                if step == self.steps:
                    break
                if disturbed:
                    gradient, _ = ask(now, rng=rng)
                if not bool(gradient.isfinite().all()):
                    reason = "not finite"
                    break
                direction = self.momentum * direction + _unit(gradient, signed=self.signed)
                if self.tv_weight > 0:
                    rough = _unit(_gradient(total_variation, now))
                    direction = direction + self.tv_weight / self.step * rough
                stride = self.step * direction
                if self.nps_weight > 0:
                    printing = partial(non_printability, palette=palette)
                    stride = stride + self.nps_weight * _unit(_gradient(printing, now))
                now = now - stride
                if self.bound is not None:
                    now = torch.minimum(torch.maximum(now, first - self.bound), first + self.bound)
                now = now.clamp(0, 1)
        except KeyboardInterrupt:
            reason = "interrupted"
        order = failures.argsort()
        best = float(failures[order[0]])
        return AttackResult(
            frames=best_frames[order],
            probability=goal.probability(min(best, 1.0)),
            met=best <= goal.max_failure,
            iterations=max(0, len(history) - 1),
            seconds=time.perf_counter() - started,
            stopped_because=reason,
            history=history,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CCS16(PixelDescent):
    """Sharif et al. 2016, digital: any colour anywhere on the frame."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PGD(PixelDescent):
    """Projected gradient descent; its first step is one twelfth of the bound."""

    steps: Count = 100
    step: Annotated[float, Range("(0, 1]")] = 0.01
    # As ledgers of campaigns have it.
    momentum: Annotated[float, Range("[0, 1)")] = 0
    bound: Annotated[float, Range("(0, 1]")] | None = 0.12
    signed: bool = True


CCS16_BOUNDED = CCS16(bound=0.47)
"""CCS16 no further from the first colour than the frames of a generative net go."""

CCS16_PHYSICAL = CCS16(tv_weight=3 / 255, nps_weight=5 / 255, shift=4, rotation=4)
"""Sharif et al. 2016, physical: total variation 3 and non-printability 5 beside a step of 20, in
grey levels; shifts by up to 4 pixels and turns by up to 4 degrees. The palette is assumed."""


def frame_gradients(
    victim: Victim,
    faces: Faces,
    frames: Frames,
    *,
    goal: Goal,
    batch: int,
    placement: Placement,
    rng: torch.Generator | None = None,
    vary: Callable[[Faces], Faces] | None = None,
) -> tuple[Frames, Float[Tensor, " frames"]]:
    """Each frame's gradient over all photos, and its mean failure probability.

    Args:
        victim: In evaluation mode.
        faces: All photos.
        frames: In [0, 1].
        goal: Whose cross-entropy is followed, in the victim's classes.
        batch: Faces wearing a frame at once.
        placement: Where frames sit on the photos.
        rng: Disturbs the placement, if given.
        vary: What is done to faces that wear a frame before the victim sees them.

    Raises:
        AttackError: The victim gives no gradient.
    """
    leaf = frames.detach().requires_grad_()
    gradient, failure = torch.zeros_like(frames), frames.new_zeros(len(frames))

    def loss(logits: Logits) -> Float[Tensor, " batch"]:
        # The goal's cross-entropy, from logits: where it is far, probabilities round to 0.
        return -functional.logsigmoid(log_odds(logits, goal)) / len(faces)

    for photos in torch.arange(len(faces)).split(max(1, batch // len(frames))):
        each = leaf.repeat_interleave(len(photos), 0)
        worn = placement.wear(faces, each, photos.repeat(len(frames)), rng=rng)
        worn = worn if vary is None else vary(worn)
        logits, at_faces = query_gradient(victim, worn, loss)
        gradient += torch.autograd.grad(worn, leaf, at_faces)[0]
        own = goal.failure_probability(logits)
        failure += own.reshape(len(frames), len(photos)).sum(1) / len(faces)
    return gradient, failure


def _gradient(measure: Callable[[Frames], Float[Tensor, " frames"]], frames: Frames) -> Frames:
    """The gradient of each frame's own figure."""
    leaf = frames.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(measure(leaf).sum(), leaf)
    return gradient


def _unit(gradient: Frames, *, signed: bool = False) -> Frames:
    if signed:
        return gradient.sign()
    return gradient / gradient.abs().amax((1, 2, 3), keepdim=True).clamp_min(1e-30)
