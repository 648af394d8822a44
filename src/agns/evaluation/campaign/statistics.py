"""Intervals and tests over subjects, whose attacks are not independent of one another."""

import itertools
from collections.abc import Sequence

import torch

_EXACT = 16
"""Subjects up to which every change of signs is tried."""


def mean_interval(
    clusters: Sequence[Sequence[float]], *, draws: torch.Generator, samples: int = 10_000
) -> tuple[float, float]:
    """A 95 % interval of the mean over clusters, by resampling whole clusters (percentiles).

    Args:
        clusters: The figures of each subject, at least one each; a subject counts by its mean.
        draws: Source of the resampling.
        samples: How often.

    Returns:
        Lower and upper bound. With a single cluster both are its mean: it says nothing of others.
    """
    means = torch.tensor([sum(one) / len(one) for one in clusters], dtype=torch.float64)
    chosen = torch.randint(len(means), (samples, len(means)), generator=draws)
    low, high = means[chosen].mean(1).quantile(torch.tensor([0.025, 0.975]).double()).tolist()
    return low, high


def paired_probability(
    differences: Sequence[float], *, draws: torch.Generator, samples: int = 20_000
) -> float:
    """How likely a mean difference this large is if each subject's might as well be the reverse.

    A two-sided permutation test over signs (Fisher 1935), exact up to 16 subjects.

    Args:
        differences: One for each subject, such as one attack's success less the other's.
        draws: Source of the signs where there are more subjects.
        samples: How many draws of them then.

    Returns:
        In (0, 1].
    """
    values = torch.tensor(list(differences), dtype=torch.float64)
    seen = values.mean().abs()
    if len(values) <= _EXACT:
        signs = torch.tensor(
            list(itertools.product((-1.0, 1.0), repeat=len(values))), dtype=torch.float64
        )
        extra = 0
    else:
        signs = 2.0 * torch.randint(2, (samples, len(values)), generator=draws).double() - 1
        # What was seen is one of the ways too.
        extra = 1
    means = (signs * values).mean(1).abs()
    # Rounding must not tell apart what is the same.
    as_large = int((means >= seen - 1e-12).sum())
    return (as_large + extra) / (len(signs) + extra)
