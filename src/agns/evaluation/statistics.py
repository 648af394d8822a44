"""Intervals and tests over subjects, whose attacks are not independent of one another."""

import itertools
import math
from collections.abc import Sequence
from statistics import NormalDist

import torch
from jaxtyping import Float64
from torch import Tensor

from agns.evaluation.metrics import Z95, wilson_interval

_EXACT = 16
"""Subjects up to which every change of signs is tried."""

_STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571)
"""97.5 % of Student's distribution with 1, 2, ... degrees of freedom lie below."""


def mean_interval(
    clusters: Sequence[Sequence[float]], *, rng: torch.Generator, samples: int = 10_000
) -> tuple[float, float]:
    """A 95 % interval of a mean share over clusters, by resampling whole clusters.

    Percentiles of few clusters lie too close together; they are taken further out, by how much
    Student's distribution is wider than the normal one (Hesterberg 2015, "expanded percentiles").
    Resampling knows nothing beyond what was seen, so that the interval reaches at least as far
    towards the mean's own side as Wilson's for as many clusters where all of them are alike.

    Args:
        clusters: The shares of each subject, in [0, 1], at least one each; a subject counts by its
            mean.
        rng: Source of the resampling.
        samples: How often.

    Returns:
        Lower and upper bound, in [0, 1].
    """
    means = torch.tensor([sum(one) / len(one) for one in clusters], dtype=torch.float64)
    count = len(means)
    if float(means.max() - means.min()) == 0:
        return wilson_interval(float(means.sum()), count)
    chosen = torch.randint(count, (samples, count), generator=rng)
    return expanded_percentiles(means[chosen].mean(1), clusters=count)


def expanded_percentiles(
    resampled: Float64[Tensor, " samples"], *, clusters: int
) -> tuple[float, float]:
    """A 95 % interval of resampled values, its percentiles further out for few clusters.

    Args:
        resampled: A value for each resampling.
        clusters: How many were resampled, at least 2.
    """
    outside = NormalDist().cdf(-math.sqrt(clusters / (clusters - 1)) * _student(clusters - 1))
    ends = torch.tensor([outside, 1 - outside], dtype=torch.float64)
    low, high = resampled.quantile(ends).tolist()
    return low, high


def _student(freedom: int) -> float:
    """97.5 % of Student's distribution lie below; Cornish & Fisher's expansion off the table."""
    if freedom <= len(_STUDENT):
        return _STUDENT[freedom - 1]
    z = Z95
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return z + sum(term / float(freedom) ** power for power, term in enumerate(terms, 1))


def paired_probability(
    differences: Sequence[float], *, rng: torch.Generator, samples: int = 20_000
) -> float:
    """How likely a mean difference this large is if each subject's might as well be the reverse.

    A two-sided permutation test over signs (Fisher 1935), exact up to 16 subjects.

    Args:
        differences: One for each subject, such as one attack's success less the other's.
        rng: Source of the signs where there are more subjects.
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
        signs = 2.0 * torch.randint(2, (samples, len(values)), generator=rng).double() - 1
        # What was seen is one of the ways too.
        extra = 1
    means = (signs * values).mean(1).abs()
    # Rounding must not tell apart what is the same.
    as_large = int((means >= seen - 1e-12).sum())
    return (as_large + extra) / (len(signs) + extra)
