"""k-means++ against every division of few points, and against SciPy's odds."""

import itertools

import numpy as np
import pytest
import torch

from agns.attack.clustering import cluster, first_centres


def spread(points: np.ndarray, groups: tuple[int, ...]) -> float:
    """Sum of squared distances to the means of the groups."""
    found = np.asarray(groups)
    return sum(
        float(((points[found == own] - points[found == own].mean(0)) ** 2).sum())
        for own in set(groups)
    )


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("count", [1, 2, 3])
def test_groups_are_as_tight_as_the_best_of_all_divisions(seed: int, count: int) -> None:
    points = torch.randn(7, 2, generator=torch.Generator().manual_seed(seed))
    found = cluster(points, count, rng=torch.Generator().manual_seed(9), attempts=20)
    exact = points.double().numpy()
    best = min(spread(exact, each) for each in itertools.product(range(count), repeat=7))
    assert spread(exact, tuple(found.tolist())) == pytest.approx(best)


def test_points_far_apart_are_grouped_by_where_they_lie(generator: torch.Generator) -> None:
    centres = torch.tensor([[0.0, 0], [50, 0], [0, 50]])
    points = torch.cat([centre + torch.rand(5, 2, generator=generator) for centre in centres])
    assert cluster(points, 3, rng=generator).tolist() == [0] * 5 + [1] * 5 + [2] * 5


def test_there_are_no_more_groups_than_different_points(generator: torch.Generator) -> None:
    points = torch.tensor([[1.0], [2.0], [1.0], [2.0]])
    assert cluster(points, 4, rng=generator).tolist() == [0, 1, 0, 1]


def test_groups_are_the_same_for_the_same_seed() -> None:
    points = torch.randn(30, 4, generator=torch.Generator().manual_seed(3))
    one, other = (cluster(points, 5, rng=torch.Generator().manual_seed(1)) for _ in "ab")
    assert torch.equal(one, other)


def test_a_second_centre_is_drawn_with_odds_of_its_squared_distance() -> None:
    points = torch.tensor([[0.0], [1.0], [3.0]])
    draws = torch.Generator().manual_seed(0)
    counts = np.zeros((3, 3))
    values = points[:, 0].tolist()
    for _ in range(1500):
        first, second = first_centres(points, 2, rng=draws)[:, 0].tolist()
        counts[values.index(first), values.index(second)] += 1
    squares = (points - points.T).square().numpy()
    expected = squares / squares.sum(1, keepdims=True) / 3
    np.testing.assert_allclose(counts / 1500, expected, atol=0.03)
