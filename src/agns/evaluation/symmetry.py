"""Who is easier to attack, and towards whom: robust accuracy by class, and asymmetry.

After Najjar, Ronen & Sharif, "Sy-FAR: symmetry-based fair adversarial robustness" (USENIX Security
2026): attacks from one class to another should succeed as often as the other way round.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from agns.defence.detector import REFUSED
from agns.evaluation.score import AttackScore


@dataclass(frozen=True, slots=True, kw_only=True)
class Symmetry:
    """What attacks do to each class, on held-out photos."""

    robust: Mapping[str, float]
    """For each subject, the share of photos on which dodging failed."""
    favoured: Mapping[str, float]
    """For each identity, the mean share of others' photos that are taken for it, or that
    impersonate it."""
    largest_asymmetry: float
    """The largest difference between how often one is taken for another and the reverse, in [0, 1];
    0 where no pair was tried both ways."""
    by_chance: float
    """What the largest of as many pairs is in the mean if both ways of each are equally easy, by
    drawing photos' outcomes anew. A smaller asymmetry says nothing."""
    between: tuple[str, str] | None
    """Who is taken for whom more often than the reverse."""
    pairs: int
    """Pairs that were tried both ways."""


def measure_symmetry(scores: Sequence[AttackScore]) -> Symmetry:
    """Symmetry of attacks on one recogniser by one method and with one goal.

    A dodge tells whom its subject is taken for, and so tries all pairs from it; an impersonation
    tries its own. How often the two succeed is not to be compared.

    Args:
        scores: Of any subjects; those without held-out photos are left out.
    """
    scored = [one for one in scores if one.held_out.success_rate is not None]
    dodges = [one for one in scored if one.target is None]
    # Of a name that no photo was taken for in one dodge, the share there is 0.
    known = {one.subject for one in scored}.union(*(one.taken_for or {} for one in dodges))
    names = sorted(known - {REFUSED})
    robust: dict[str, list[float]] = {}
    taken: dict[tuple[str, str], list[float]] = {}
    photos: Counter[tuple[str, str]] = Counter()
    for score in scored:
        rate = score.held_out.success_rate
        assert rate is not None
        if score.target is not None:
            pair = (score.subject, score.target)
            taken.setdefault(pair, []).append(rate)
            photos[pair] += score.held_out.images
            continue
        robust.setdefault(score.subject, []).append(1 - rate)
        if score.taken_for is not None:
            for name in names:
                if name != score.subject:
                    share = score.taken_for.get(name, 0.0)
                    taken.setdefault((score.subject, name), []).append(share)
                    photos[score.subject, name] += score.held_out.images
    means = {pair: sum(rates) / len(rates) for pair, rates in taken.items()}
    robustness = {name: sum(own) / len(own) for name, own in robust.items()}
    return symmetry_of(robustness, means, photos)


def symmetry_of(
    robust: Mapping[str, float],
    taken: Mapping[tuple[str, str], float],
    photos: Mapping[tuple[str, str], int],
) -> Symmetry:
    """The same of shares.

    Args:
        robust: For each subject.
        taken: For (subject, other), how often the subject is taken for the other.
        photos: On how many photos.
    """
    largest, between, pairs = 0.0, None, 0
    for (one, other), share in taken.items():
        back = taken.get((other, one))
        if back is None:
            continue
        pairs += 1
        if share - back > largest:
            largest, between = share - back, (one, other)
    towards: dict[str, list[float]] = {}
    for (_, other), share in taken.items():
        towards.setdefault(other, []).append(share)
    return Symmetry(
        robust=robust,
        favoured={name: sum(own) / len(own) for name, own in towards.items()},
        largest_asymmetry=largest,
        by_chance=_largest_by_chance(taken, photos),
        between=between,
        pairs=pairs // 2,
    )


def _largest_by_chance(
    taken: Mapping[tuple[str, str], float],
    photos: Mapping[tuple[str, str], int],
    *,
    samples: int = 1000,
) -> float:
    """The mean largest difference where both ways of each pair have their common share."""
    pairs = [(one, other) for one, other in taken if one < other and (other, one) in taken]
    if not pairs:
        return 0.0
    there = torch.tensor([float(photos[one, other]) for one, other in pairs])
    back = torch.tensor([float(photos[other, one]) for one, other in pairs])
    shares = torch.tensor([[taken[one, other], taken[other, one]] for one, other in pairs])
    common = (there * shares[:, 0] + back * shares[:, 1]) / (there + back)
    rng = torch.Generator().manual_seed(0)
    drawn = [
        torch.binomial(count.expand(samples, -1), common.expand(samples, -1), generator=rng) / count
        for count in (there, back)
    ]
    return float((drawn[0] - drawn[1]).abs().amax(1).mean())
