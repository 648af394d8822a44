"""Signs that a result is worth less than it looks."""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from agns.attack.outcome import Outcome
from agns.evaluation.metrics import SplitSuccess
from agns.evaluation.stealth import Stealth
from agns.types import Faces

NEAR_COPY = 0.99
"""Correlation from which two photos are taken for one picture saved twice.

Of 1,287 copies of faces in Labeled Faces in the Wild, saved anew as smaller or lighter JPEG files,
at least 99 % lie above; of 3,059 of its photos 12 lie above beside another of the same person, and
of these six pairs the four that were looked at are one picture each; of 96 drawn ones none.
"""


def recognized_share(recognized: Mapping[str, torch.Tensor]) -> float:
    """Share of all the subject's photos recognised without a frame."""
    return float(torch.cat(list(recognized.values())).float().mean())


def count_near_copies(
    craft: Float[Tensor, "craft 3 224 224"], held_out: Float[Tensor, "held_out 3 224 224"]
) -> int:
    """How many held-out photos, in [0, 1], look like a craft photo saved anew."""
    ours, theirs = (_fingerprints(photos) for photos in (craft, held_out))
    return int(((theirs @ ours.T) > NEAR_COPY).any(1).sum())


def _fingerprints(photos: Faces) -> Float[Tensor, "batch 1024"]:
    """Grey values of 32 x 32 fields, of mean 0 and length 1, so that their products correlate."""
    fields: Tensor = functional.adaptive_avg_pool2d(photos.mean(1, keepdim=True), 32).flatten(1)
    fields = fields - fields.mean(1, keepdim=True)
    lengths: Tensor = fields.norm(dim=1, keepdim=True)
    return fields / lengths.clamp_min(1e-12)


def find_warnings(
    outcome: Outcome,
    held_out: SplitSuccess,
    controls: Mapping[str, SplitSuccess],
    recognized: float | None,
    stealth: Stealth,
    bare: SplitSuccess,
    near_copies: int,
) -> list[str]:
    """Say in words what makes the figures weaker than they look."""
    warnings = []
    if near_copies:
        warnings.append(
            f"Of {held_out.images} held-out photos {near_copies} look like a craft photo saved "
            "anew: success on them is success on what was attacked."
        )
    if outcome.stopped_because == "interrupted":
        warnings.append(f"The attack was interrupted after {outcome.iterations} iterations.")
    if outcome.stopped_because == "not finite":
        warnings.append(
            f"A gradient or loss was no longer finite after {outcome.iterations} iterations; "
            "the frame is the best found before."
        )
    if not outcome.met:
        warnings.append(
            "No frame reached the stop value: the best mean probability over the craft "
            f"photos was {outcome.probability:.3f}."
        )
    rate = held_out.success_rate
    for name, control in controls.items():
        other = control.success_rate
        if rate is not None and other is not None and other >= rate > 0:
            warnings.append(
                f"The control '{name.replace('_', ' ')}' succeeds as often as the attack "
                f"({other:.0%} against {rate:.0%}): the success is not the attack's own."
            )
    without = bare.success_rate
    if rate is not None and without is not None and without >= max(0.25, rate / 2):
        warnings.append(
            f"The goal is reached on {without:.0%} of the held-out photos as they are: read the "
            "success against that."
        )
    if stealth.discriminator_percentile < 0.05:
        warnings.append(
            "The frame looks less like eyeglasses than 95 % of benign generated frames "
            f"(discriminator score {stealth.discriminator_score:.3f})."
        )
    if stealth.total_variation_percentile > 0.95:
        warnings.append(
            "The frame is rougher than 95 % of benign generated frames (total variation "
            f"{stealth.total_variation:.3f}): look at it."
        )
    if held_out.images < 10:
        warnings.append(
            f"Only {held_out.images} held-out photos: the interval is wide, read it with the rate."
        )
    if recognized is not None and recognized < 0.8:
        warnings.append(
            f"Without a frame the recogniser recognises only {recognized:.0%} of the subject's "
            "photos: read the figures among the recognised."
        )
    return warnings
