"""Sampling frames and finding those that do what the attacker wants."""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor

from agns.accessory.placement import Placement
from agns.attack.goals import Goal
from agns.attack.query import query_logits
from agns.data.simulation.drawn_frames import RealFrames
from agns.images import from_pixels
from agns.models.dcgan import Discriminator, Generator, sample_latents
from agns.models.victim import Victim
from agns.types import Faces, Frames, Latents


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Candidates:
    """Frames of one sample, best first.

    Those that met the stop value, the most typical of them first; if none did, those nearest to
    it.
    """

    latents: Latents
    """What the generator drew them from."""

    frames: Frames
    """(frames, 3, 64, 176), in [0, 1]."""

    failure: float
    """The best frame's mean failure probability over the photos, in [0, 1]."""

    probability: float
    """The best frame's mean class probability."""

    met: bool
    """Whether the best frame reached the stop value."""


def search_frames(
    generator: Callable[[Latents], Frames],
    victim: Victim,
    faces: Faces,
    goal: Goal,
    *,
    count: int,
    placement: Placement,
    rng: torch.Generator,
    rank: Callable[[Frames], Float[Tensor, " frames"]] | None = None,
    order: Int[Tensor, " photos"] | None = None,
    beat: float = math.inf,
    precision: str = "fp32",
    keep: int = 2,
    pairs: int = 32,
) -> Candidates | None:
    """Sample frames and rank them by their mean failure probability over all photos.

    A frame whose failure probabilities on the photos tried so far already sum to more than all
    photos together may have can no longer reach the stop value; it leaves early. If all leave,
    those that did best are tried on a few photos more, and the best `keep` of them on every photo
    (successive halving, Jamieson & Talwalkar 2016), so that there is always a best frame.

    Args:
        generator: Draws frames from latents; a network in evaluation mode.
        victim: In evaluation mode.
        faces: The photos.
        goal: What is wanted on them.
        count: Frames to sample.
        placement: Where frames sit.
        rng: Source of the latents.
        rank: Frames that reach the stop value are ordered by it, the highest first.
        order: Photos in the order in which they are tried; as they come by default. Where those
            that resist most come first, frames leave soonest.
        beat: A mean failure probability that a frame must not exceed to be of use, where none
            reaches the stop value.
        precision: In what frames are sorted out. With `bf16` those stay that exceed the
            goal's by less than a quarter; whatever is returned is computed in fp32.
        keep: How many are tried on every photo where none reaches the stop value.
        pairs: Faces that the victim is shown at once.

    Returns:
        The best frames; None where none reaches the stop value or comes up to `beat`.

    Raises:
        FloatingPointError: A frame or a probability is not finite.
    """
    latents = sample_latents(count, rng=rng)
    with torch.no_grad():
        frames = generator(latents)
    if not frames.isfinite().all():
        raise FloatingPointError("the generator's frames are not finite")
    order = torch.arange(len(faces)) if order is None else order
    tries = _Tries(victim, frames, faces, goal, placement, order, pairs)
    exact = frames.new_full((count, len(faces)), torch.nan)
    rough, slack = (exact, 1.0) if precision == "fp32" else (exact.clone(), _SLACK)
    budget = goal.max_failure * len(faces)
    alive = tries.narrow(rough, torch.arange(count), budget * slack, precision)
    left = alive
    if len(alive):
        left = tries.narrow(exact, alive, budget, "fp32")
    if len(left) == 0:
        for some, photos in ((max(keep, count // 4), 3), (keep, 0)):
            left = _ranked(rough, alive if len(alive) else torch.arange(count))[:some]
            tries.fill(rough, left, order[:photos], precision)
        left = tries.narrow(exact, left, beat * len(faces), "fp32")
        if len(left) == 0:
            return None
    means = exact[left].mean(1)
    met = means <= goal.max_failure
    if met.any():
        left, means = left[met], means[met]
        places = (means if rank is None else -rank(frames[left])).argsort()
    else:
        places = means.argsort()
    chosen, best = left[places], float(means[places[0]])
    return Candidates(
        latents=latents[chosen],
        frames=frames[chosen],
        failure=best,
        probability=goal.probability(best),
        met=bool(met.any()),
    )


_SLACK = 1.25

Tried: TypeAlias = Float[Tensor, "frames photos"]
"""Failure probabilities; NaN where a frame has not been tried on a photo."""


@dataclass(frozen=True, slots=True, eq=False)
class _Tries:
    """Frames and photos, to be tried on one another."""

    victim: Victim
    frames: Frames
    faces: Faces
    goal: Goal
    placement: Placement
    order: Int[Tensor, " photos"]
    pairs: int

    def narrow(
        self, tried: Tried, rows: Int[Tensor, " some"], bound: float, precision: str
    ) -> Int[Tensor, " left"]:
        """Try frames on photo after photo; each leaves once its sum exceeds the bound."""
        seen = 0
        while seen < len(self.order) and len(rows):
            seen += max(1, self.pairs // len(rows))
            self.fill(tried, rows, self.order[:seen], precision)
            rows = rows[tried[rows][:, self.order[:seen]].sum(1) <= bound]
        return rows

    def fill(
        self,
        tried: Tried,
        rows: Int[Tensor, " some"],
        photos: Int[Tensor, " chosen"],
        precision: str,
    ) -> None:
        """Try frames on those of the photos that they have not been tried on."""
        missing = tried[rows][:, photos].isnan().nonzero()
        # Nothing splits into one empty part.
        for some in missing.split(self.pairs) if len(missing) else ():
            each, places = rows[some[:, 0]], photos[some[:, 1]]
            worn = self.placement.wear(self.faces, self.frames[each], places)
            logits = query_logits(self.victim, worn, precision=precision)
            failures = self.goal.on(places).failure_probability(logits)
            if not failures.isfinite().all():
                raise FloatingPointError("the recogniser's probabilities are not finite")
            tried[each, places] = failures


def _ranked(tried: Tried, rows: Int[Tensor, " some"]) -> Int[Tensor, " some"]:
    """Those that stayed longest first, then those of the least failure."""
    stayed = tried[rows].isfinite().sum(1)
    return rows[(tried[rows].nanmean(1) - stayed).argsort(stable=True)]


def draw_photos(photos: int, count: int, rng: torch.Generator) -> Int[Tensor, " count"]:
    """Draw photos, each as near to equally often as can be.

    One draw places a comb of `count` teeth on the photos laid end to end (systematic sampling):
    every photo comes once when as many are drawn as there are.

    Args:
        photos: How many there are, at least 1.
        count: Photos to draw.
        rng: Source of the draw.

    Returns:
        Their places.
    """
    teeth = (torch.arange(count) + torch.rand((), generator=rng)) / count
    return (teeth * photos).long().clamp_max(photos - 1)


def typicality(
    generator: Generator,
    discriminator: Discriminator,
    glasses: RealFrames,
    companions: int,
    rng: torch.Generator,
) -> Callable[[Frames], Float[Tensor, " frames"]]:
    """How near a frame's score comes to what the generator's frames get before any attack.

    The discriminator as it is now judges, each frame among real ones. A frame that it believes
    far more than those has learnt the judge, not eyeglasses.

    Args:
        generator: Pretrained; not changed, nor kept.
        discriminator: Pretrained with it; copied.
        glasses: Real 64x176 frames as bytes.
        companions: Real frames that each frame is judged among.
        rng: Source of the draws.
    """
    judge = copy.deepcopy(discriminator).eval().requires_grad_(requires_grad=False)
    chosen = torch.randint(len(glasses), (companions,), generator=rng)
    real = from_pixels(glasses[chosen])
    with torch.no_grad():
        benign = copy.deepcopy(generator).eval()(sample_latents(64, rng=rng))
    typical = judge.judge_among(benign, real).median()
    return lambda frames: -(judge.judge_among(frames, real) - typical).abs()
