"""Groups of points near one another: k-means, begun as k-means++."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor


def cluster(
    points: Float[Tensor, "points size"],
    count: int,
    *,
    rng: torch.Generator,
    attempts: int = 8,
    rounds: int = 100,
) -> Int64[Tensor, " points"]:
    """Divide points into groups so that each lies near its group's mean (Lloyd 1982).

    Args:
        points: At least one.
        count: Groups wanted, at least 1; there are fewer where there are fewer different points.
        rng: Source of the first centres.
        attempts: Fresh beginnings; the one whose points end nearest to their means counts.
        rounds: Most moves of the means in each.

    Returns:
        For each point its group, numbered without a gap in the order of their first points.
    """
    points = points.double()
    best, least = torch.zeros(len(points), dtype=torch.int64), torch.inf
    for _ in range(attempts):
        groups, spread = _settle(points, first_centres(points, count, rng=rng), rounds)
        # Rounding alone must not decide between two attempts that found the same.
        if spread < least * (1 - 1e-9):
            best, least = groups, spread
    return _renumbered(best)


def first_centres(
    points: Float[Tensor, "points size"], count: int, *, rng: torch.Generator
) -> Float[Tensor, "centres size"]:
    """Draw centres among the points: each with odds of its squared distance to those drawn before.

    k-means++ (Arthur & Vassilvitskii 2007). No point is drawn twice, nor a copy of one.
    """
    chosen = [int(torch.randint(len(points), (), generator=rng))]
    while len(chosen) < count:
        odds = _squared_distances(points, points[chosen]).amin(1)
        if not (odds > 0).any():
            break
        chosen.append(int(torch.multinomial(odds, 1, generator=rng)))
    return points[chosen]


def _settle(
    points: Float[Tensor, "points size"], centres: Float[Tensor, "centres size"], rounds: int
) -> tuple[Int64[Tensor, " points"], float]:
    """Move each centre to the mean of the points nearest to it until none changes its group."""
    groups = torch.full((len(points),), -1)
    for _ in range(rounds):
        nearest = _squared_distances(points, centres).argmin(1)
        if torch.equal(nearest, groups):
            break
        groups = nearest
        for group in groups.unique().tolist():
            centres[group] = points[groups == group].mean(0)
    spread = float(_squared_distances(points, centres).gather(1, groups[:, None]).sum())
    return groups, spread


def _squared_distances(
    points: Float[Tensor, "points size"], centres: Float[Tensor, "centres size"]
) -> Float[Tensor, "points centres"]:
    # Differences rather than products, so that a point is at 0 from its copy.
    return torch.stack([(points - centre).square().sum(1) for centre in centres], 1)


def _renumbered(groups: Int64[Tensor, " points"]) -> Int64[Tensor, " points"]:
    order = {group: place for place, group in enumerate(dict.fromkeys(groups.tolist()))}
    return torch.tensor([order[group] for group in groups.tolist()])
