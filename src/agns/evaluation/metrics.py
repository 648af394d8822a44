"""Success rates with intervals, over all photos and over those recognised without a frame."""

import math
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from agns.attack.goals import Goal, taken_for
from agns.models.victim import Victim, task_of
from agns.types import Chosen, Logits

Z95 = 1.959963984540054
"""The normal distribution's 97.5 % point."""


def wilson_interval(successes: float, trials: int) -> tuple[float, float]:
    """The 95 % score interval of a proportion (Wilson 1927).

    Args:
        successes: At most `trials`; need not be whole where each trial is itself a mean.
        trials: At least 1.

    Returns:
        Lower and upper bound, in [0, 1].
    """
    share = successes / trials
    centre = share + Z95**2 / (2 * trials)
    spread = Z95 * math.sqrt(share * (1 - share) / trials + Z95**2 / (4 * trials**2))
    denominator = 1 + Z95**2 / trials
    # At 0 and 1 the bound is exact; rounding must not move it.
    low = 0.0 if successes == 0 else max(0.0, (centre - spread) / denominator)
    high = 1.0 if successes == trials else min(1.0, (centre + spread) / denominator)
    return low, high


@dataclass(frozen=True, slots=True, kw_only=True)
class Success:
    """How often a goal was reached on some photos; `None` where there are no photos."""

    images: int
    """Photos counted."""

    success_rate: float | None
    """Share on which the goal was reached, in [0, 1]."""

    interval: tuple[float, float] | None
    """Its 95 % Wilson interval over photos."""

    mean_probability: float | None
    """Mean class probability: the subject's when dodging, else the target's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitSuccess(Success):
    """The same over all photos of a split, and over those recognised without a frame."""

    recognized: Success
    """Among photos that the recogniser gave to their subject without a frame."""


def measure_success(goal: Goal, logits: Float[Tensor, "*frames photos classes"]) -> Success:
    """Count successes, one photo a row.

    Args:
        goal: What counts as success.
        logits: (photos, classes), or (frames, photos, classes) where each photo tried several
            frames: then a photo counts as the share of its frames that succeeded, and the
            interval is over photos, since frames on one photo are not independent.
    """
    if logits.ndim == 2:
        logits = logits[None]
    frames, photos, _ = logits.shape
    if photos == 0:
        return Success(images=0, success_rate=None, interval=None, mean_probability=None)
    flat = logits.flatten(0, 1)
    succeeded = goal.succeeded(flat).double().sum().item() / frames
    probability = goal.class_probability(flat).mean().item()
    return Success(
        images=photos,
        success_rate=succeeded / photos,
        interval=wilson_interval(succeeded, photos),
        mean_probability=probability,
    )


def measure_split(
    goal: Goal, logits: Float[Tensor, "*frames photos classes"], recognized: Chosen
) -> SplitSuccess:
    """Success over all photos of a split and over those recognised without a frame.

    Args:
        goal: What counts as success.
        logits: As for `measure_success`.
        recognized: Per photo, whether it was recognised without a frame.
    """
    whole = measure_success(goal, logits)
    return SplitSuccess(
        images=whole.images,
        success_rate=whole.success_rate,
        interval=whole.interval,
        mean_probability=whole.mean_probability,
        recognized=measure_success(goal, logits[..., recognized, :]),
    )


def success_cells(success: SplitSuccess) -> tuple[str, str, str, str, str]:
    """A table's cells: photos, rate, interval, mean probability, rate among the recognised."""
    rate, interval, mean = success.success_rate, success.interval, success.mean_probability
    if rate is None or interval is None or mean is None:
        return str(success.images), "-", "-", "-", "-"
    recognized = success.recognized.success_rate
    return (
        str(success.images),
        f"{rate:.0%}",
        f"{interval[0]:.0%} to {interval[1]:.0%}",
        f"{mean:.3f}",
        "-" if recognized is None else f"{recognized:.0%}",
    )


def shares_taken(logits: Logits, victim: Victim) -> dict[str, float] | None:
    """Whom photos are taken for, as shares; those taken for nobody are left out."""
    task = task_of(victim)
    if task == "verification" or len(logits) == 0:
        return None
    first = logits.argmax(1)
    taken = taken_for(logits, first, task)
    counts = first[taken].bincount(minlength=len(victim.identities)).tolist()
    pairs = zip(victim.identities, counts, strict=True)
    return {name: count / len(logits) for name, count in pairs if count}
