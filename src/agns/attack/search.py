"""Sampling frames and finding those that do what the attacker wants."""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from agns.accessory.placement import Placement
from agns.attack.goals import Wish
from agns.attack.together import Question, Steps
from agns.errors import AttackError
from agns.images import check_images, from_pixels
from agns.models.dcgan import Discriminator, Generator, sample_latents
from agns.types import CANVAS, Faces, Frames, Glasses, Latents


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Candidates:
    """Frames of one look, best first.

    Those that met the stop value, the most typical of them first; if none did, those nearest to
    it.
    """

    latents: Latents
    """What the generator drew them from."""

    frames: Frames
    """(frames, 3, 64, 176), in [0, 1]."""

    shortfall: float
    """The best frame's mean shortfall over the photos, in [0, 1]."""

    probability: float
    """The best frame's mean probability of the watched class."""

    met: bool
    """Whether the best frame reached the stop value."""


def search_frames(
    generator: Generator,
    faces: Faces,
    goal: Wish,
    *,
    count: int,
    placement: Placement,
    draws: torch.Generator,
    rank: Callable[[Frames], Float[Tensor, " frames"]] | None = None,
    keep: int = 4,
    pairs: int = 64,
) -> Steps[Candidates]:
    """Sample frames and rank them by their mean shortfall over all photos; part of an attack.

    Frames that reach the stop value are ordered by `rank`, the highest first, where it is given.

    A frame whose shortfall on the photos seen so far already exceeds what all photos together
    may fall short by can no longer reach the stop value; it leaves early. If all leave, the
    `keep` that did best are tried on every photo, so that there is always a best frame.

    Raises:
        FloatingPointError: A frame or a probability is not finite.
    """
    latents = sample_latents(count, generator=draws)
    with torch.no_grad():
        frames = generator(latents)
    if not frames.isfinite().all():
        raise FloatingPointError("the generator's frames are not finite")
    shortfalls = frames.new_full((count, len(faces)), torch.nan)
    alive = torch.arange(count)
    budget = goal.allowance * len(faces)
    seen = 0
    while seen < len(faces) and len(alive):
        until = min(len(faces), seen + max(1, pairs // len(alive)))
        shortfalls[alive, seen:until] = yield from _try_on(
            faces, torch.arange(seen, until), frames[alive], goal, placement, pairs
        )
        seen = until
        alive = alive[shortfalls[alive, :seen].sum(1) <= budget]
    if len(alive) == 0:
        # Those that stayed longest did best so far.
        stayed = shortfalls.isfinite().sum(1)
        alive = (shortfalls.nanmean(1) - stayed).argsort()[:keep]
        for index in alive.tolist():
            missing = shortfalls[index].isnan().nonzero()[:, 0]
            if len(missing):
                tried = yield from _try_on(
                    faces, missing, frames[index][None], goal, placement, pairs
                )
                shortfalls[index, missing] = tried[0]
    means = shortfalls[alive].mean(1)
    if not means.isfinite().all():
        raise FloatingPointError("the recogniser's probabilities are not finite")
    met = means <= goal.allowance
    if met.any():
        alive, means = alive[met], means[met]
        order = (means if rank is None else -rank(frames[alive])).argsort()
    else:
        order = means.argsort()
    chosen = alive[order]
    best = float(means[order[0]])
    return Candidates(
        latents=latents[chosen],
        frames=frames[chosen],
        shortfall=best,
        probability=goal.probability(best),
        met=bool(met.any()),
    )


def check_photos(faces: Faces) -> None:
    """Refuse photos that no attack can be made on.

    Raises:
        ImageContractError: They are no canonical faces.
        AttackError: There are none.
    """
    check_images(faces, size=(CANVAS, CANVAS))
    if len(faces) == 0:
        raise AttackError("an attack needs at least one photo of the subject")


def draw_photos(
    odds: Float[Tensor, " photos"], count: int, random: torch.Generator
) -> Int[Tensor, " count"]:
    """Draw photos by their odds, each as near to its expected number of times as can be.

    One draw places a comb of `count` teeth on the odds laid end to end (systematic sampling):
    even odds give every photo once when there are as many as are drawn.

    Args:
        odds: At least 0, not all 0; need not sum to 1.
        count: Photos to draw.
        random: Source of the draw.
    """
    ends = odds.double().cumsum(0)
    teeth = (torch.arange(count) + torch.rand((), generator=random)) / count
    return torch.searchsorted(ends, teeth * ends[-1], right=True).clamp_max(len(odds) - 1)


def typicality(
    generator: Generator,
    discriminator: Discriminator,
    glasses: Glasses,
    companions: int,
    random: torch.Generator,
) -> Callable[[Frames], Float[Tensor, " frames"]]:
    """How near a frame's score comes to what the generator's frames get before any attack.

    The discriminator as it is now judges, each frame among real ones. A frame that it believes
    far more than those has learnt the judge, not eyeglasses.

    Args:
        generator: Pretrained; not changed, nor kept.
        discriminator: Pretrained with it; copied.
        glasses: Real 64x176 frames as bytes.
        companions: Real frames that each frame is judged among.
        random: Source of the draws.
    """
    judge = copy.deepcopy(discriminator).eval().requires_grad_(requires_grad=False)
    chosen = torch.randint(len(glasses), (companions,), generator=random)
    real = from_pixels(glasses[chosen])
    with torch.no_grad():
        benign = copy.deepcopy(generator).eval()(sample_latents(64, generator=random))
    typical = judge.judge_among(benign, real).median()
    return lambda frames: -(judge.judge_among(frames, real) - typical).abs()


def _try_on(
    faces: Faces,
    photos: Int[Tensor, " photos"],
    frames: Frames,
    goal: Wish,
    placement: Placement,
    pairs: int,
) -> Steps[Float[Tensor, "frames photos"]]:
    """Shortfall of every frame on every chosen photo, in batches of about `pairs`."""
    rows = []
    for some in frames.split(max(1, pairs // len(photos))):
        each, places = some.repeat_interleave(len(photos), 0), photos.repeat(len(some))
        answer = yield Question(worn=placement.wear(faces, each, places))
        rows.append(goal.on(places).shortfall(answer.logits).reshape(len(some), len(photos)))
    return torch.cat(rows)
