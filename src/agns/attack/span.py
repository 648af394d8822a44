"""A search among natural frames: descent over their principal directions.

The frame that is sought is never out of the set of frames that pass for real ones
(`agns.accessory.natural_set`). The search begins with real frames, near the middle of the set, and
may go as far out as the set does only step by step: the first frame that does what is wanted is the
most usual one.
"""

import functools
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from agns.accessory.natural_set import NaturalSet
from agns.accessory.placement import Placement
from agns.attack.attack import FrameAttack, Nets, frames_of
from agns.attack.goals import Goal, log_odds
from agns.attack.query import query_gradient, query_logits
from agns.attack.result import AttackResult, Reason
from agns.attack.search import draw_photos
from agns.data.simulation.drawn_frames import RealFrames
from agns.errors import AttackError
from agns.images import from_pixels
from agns.models.shipped import shipped_weights
from agns.models.victim import Victim
from agns.settings import Count, Range, Share, Weight, check_settings
from agns.types import Faces, Frames, Logits, Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Span(FrameAttack):
    """Descent over the principal directions of real frames, inside the natural set."""

    steps: Count = 120
    """Steps at most."""

    rate: Weight = 0.3
    """Adam's learning rate for coefficients, in standard deviations of real frames."""

    candidates: Count = 8
    """Frames that descend side by side. Half of them, the worse, leave after each fifth of the
    steps."""

    batch: Count = 16
    """Faces wearing a frame in a step."""

    real_frames: Count = 64
    """Real frames that are tried first; the best become the candidates."""

    first_share: Annotated[float, Range("(0, 1]")] = 0.4
    """How far out frames may be at first, against the set's bound; from 60 % of the steps on, all
    of it."""

    hard_photo_weight: Share = 0.5
    """How much the steps turn to the photos that still resist; 0 draws photos evenly."""

    jitter: Annotated[float, Range("[0, 10)")] = 0.0
    """By how many pixels (standard deviation) the steps move the frame's corners at random."""

    brightness: Annotated[float, Range("[0, 1)")] = 0.0
    """By what share at most the steps make a photo and the frame on it brighter or darker."""

    check_every: Count = 10
    """Steps after which all candidates are tried on all photos."""

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
        natural = natural_set_at(self.natural_set)
        placement = replace(placement, jitter=self.jitter, brightness=self.brightness)
        # Per photo, the failure probability of late.
        resistance = torch.ones(len(faces))
        history: list[dict[str, float]] = []
        reason: Reason = "used up its steps"
        loss = partial(_loss, goal=goal)
        alive = self._first(victim, faces, goal, natural, frames_of(frames), placement, rng)
        best, failures = alive.clone(), torch.full((len(alive),), torch.inf)
        optimizer = _adam(alive, self.rate)
        step = 0
        try:
            while True:
                if step % self.check_every == 0 or step == self.steps:
                    tried = _try_on(victim, faces, natural.frames(alive), goal, placement)
                    if not bool(tried.isfinite().all()):
                        if step == 0:
                            raise AttackError(
                                "the attack cannot begin: the recogniser's logits are not finite"
                            )
                        reason = "not finite"
                        break
                    resistance = tried.mean(0)
                    now = tried.mean(1)
                    better = now < failures
                    best[better], failures[better] = alive.detach()[better], now[better]
                    if bool((failures <= goal.max_failure).any()):
                        reason = "reached the stop value"
                        break
                    if step == self.steps:
                        break
                    kept = max(1, self.candidates >> (5 * step // self.steps))
                    if kept < len(alive):
                        chosen = now.argsort(stable=True)[:kept]
                        alive = alive.detach()[chosen].clone()
                        best, failures = best[chosen], failures[chosen]
                        optimizer = _adam(alive, self.rate)
                alive.requires_grad_()
                odds = self.hard_photo_weight * resistance.clamp_min(1e-6)
                odds = odds + (1 - self.hard_photo_weight) * odds.mean().clamp_min(1e-6)
                each = torch.arange(len(alive)).repeat_interleave(-(-self.batch // len(alive)))
                photos = torch.cat(
                    [draw_photos(odds, len(each) // len(alive), rng) for _ in range(len(alive))]
                )
                worn = placement.wear(faces, natural.frames(alive)[each], photos, draws=rng)
                own = goal.on(photos)
                logits, at_faces = query_gradient(victim, worn, partial(loss, goal=own))
                optimizer.zero_grad()
                (alive.grad,) = torch.autograd.grad(worn, alive, at_faces)
                if not bool(alive.grad.isfinite().all()):
                    reason = "not finite"
                    break
                optimizer.step()
                step += 1
                share = self._share(step)
                with torch.no_grad():
                    alive.copy_(natural.within(alive, share))
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
            frames=natural.frames(best[order]),
            probability=goal.probability(least),
            met=least <= goal.max_failure,
            iterations=step,
            seconds=time.perf_counter() - started,
            stopped_because=reason,
            history=history,
        )

    def _share(self, step: int) -> float:
        """How far out frames may be after so many steps, against the bound."""
        return min(1.0, self.first_share + (1 - self.first_share) * step / (0.6 * self.steps))

    def _first(
        self,
        victim: Victim,
        faces: Faces,
        goal: Goal,
        natural: NaturalSet,
        glasses: RealFrames,
        placement: Placement,
        rng: torch.Generator,
    ) -> Float[Tensor, "candidates directions"]:
        """The coefficients of those real frames that do best on a few photos."""
        if len(glasses) == 0:
            raise AttackError("there is no real frame to begin with")
        count = max(self.real_frames, self.candidates)
        drawn = from_pixels(glasses[torch.randint(len(glasses), (count,), generator=rng)])
        coefficients = natural.within(natural.coefficients(drawn), self.first_share)
        photos = torch.randperm(len(faces), generator=rng)[: max(1, 2)]
        tried = _try_on(victim, faces, natural.frames(coefficients), goal, placement, photos)
        return coefficients[tried.mean(1).argsort(stable=True)[: self.candidates]]


def natural_set_at(path: str | None) -> NaturalSet:
    """The natural set in a file, or that of agns.

    Raises:
        ConfigError: There is no such file.
        DataError: It holds none.
    """
    return _shipped() if path is None else NaturalSet.read(Path(path))


@functools.cache
def _shipped() -> NaturalSet:
    return NaturalSet.read(shipped_weights("natural_set"))


def _loss(logits: Logits, *, goal: Goal) -> Float[Tensor, " batch"]:
    # The goal's cross-entropy, from logits: where it is far, probabilities round to 0.
    return -functional.logsigmoid(log_odds(logits, goal))


def _adam(coefficients: Tensor, rate: float) -> torch.optim.Adam:
    return torch.optim.Adam([coefficients.requires_grad_()], lr=rate)


@torch.no_grad()
def _try_on(
    victim: Victim,
    faces: Faces,
    frames: Frames,
    goal: Goal,
    placement: Placement,
    photos: Int[Tensor, " chosen"] | None = None,
    *,
    batch: int = 64,
) -> Float[Tensor, "frames photos"]:
    """Each frame's failure probability on each photo."""
    chosen = torch.arange(len(faces)) if photos is None else photos
    each = torch.arange(len(frames)).repeat_interleave(len(chosen))
    places = chosen.repeat(len(frames))
    found = [
        goal.on(places[some]).failure_probability(
            query_logits(victim, placement.wear(faces, frames[each[some]], places[some]))
        )
        for some in torch.arange(len(each)).split(batch)
    ]
    return torch.cat(found).reshape(len(frames), len(chosen))
