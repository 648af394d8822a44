"""Signs that a result is worth less than it looks."""

from collections.abc import Mapping

import torch

from agns.attack.result import AttackResult
from agns.evaluation.metrics import SplitSuccess
from agns.evaluation.stealth import Stealth


def recognized_share(recognized: Mapping[str, torch.Tensor]) -> float:
    """Share of all the subject's photos recognised without a frame."""
    return float(torch.cat(list(recognized.values())).float().mean())


def find_warnings(
    outcome: AttackResult,
    held_out: SplitSuccess,
    controls: Mapping[str, SplitSuccess],
    recognized: float | None,
    stealth: Stealth,
    bare: SplitSuccess,
    saved_anew: int,
) -> list[str]:
    """Say in words what makes the figures weaker than they look."""
    warnings = []
    if saved_anew:
        warnings.append(
            f"Of the subject's photos {saved_anew} look like another one saved anew: such copies "
            "were kept on one side of the split, and count as several photos there."
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
