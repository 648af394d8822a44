"""Intervals and tests over subjects."""

import itertools

import pytest
import torch

from agns.evaluation.metrics import wilson_interval
from agns.evaluation.statistics import _student, mean_interval, paired_probability


def draws() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_the_interval_is_that_of_the_mean_of_subjects() -> None:
    clusters = [[float(value)] for value in torch.randn(200, generator=draws())]
    means = torch.tensor(clusters)
    low, high = mean_interval(clusters, rng=draws())
    half = 1.96 * float(means.std()) / 200**0.5
    assert low == pytest.approx(float(means.mean()) - half, abs=0.02)
    assert high == pytest.approx(float(means.mean()) + half, abs=0.02)


def test_many_photos_of_few_subjects_do_not_narrow_it() -> None:
    few = mean_interval([[0.0], [1.0], [0.5]], rng=draws())
    many = mean_interval([[0.0] * 100, [1.0] * 100, [0.5] * 100], rng=draws())
    assert few == many
    assert few[1] - few[0] > 0.6


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_equal_subjects_are_as_uncertain_as_so_many_throws(share: float) -> None:
    assert mean_interval([[share]] * 10, rng=draws()) == wilson_interval(10 * share, 10)


def test_few_subjects_are_covered_nearly_as_often_as_many() -> None:
    rates = torch.rand(400, 10, generator=draws()).double()
    hits = 0
    for row in rates:
        low, high = mean_interval([[float(one)] for one in row], rng=draws(), samples=2000)
        hits += low <= 0.5 <= high
    # Plain percentiles come to 90 %.
    assert 0.925 <= hits / len(rates) <= 0.985


@pytest.mark.parametrize(
    ("freedom", "expected"), [(1, 12.706), (6, 2.447), (9, 2.262), (30, 2.042)]
)
def test_students_distribution_is_that_of_tables(freedom: int, expected: float) -> None:
    assert _student(freedom) == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("differences", [[0.3], [0.1, 0.4, -0.2], [0.5] * 6, [0.0, 0.0]])
def test_few_subjects_are_tested_exactly(differences: list[float]) -> None:
    seen = abs(sum(differences))
    ways = [
        abs(sum(s * d for s, d in zip(signs, differences, strict=True)))
        for signs in itertools.product((-1, 1), repeat=len(differences))
    ]
    expected = sum(way >= seen - 1e-9 for way in ways) / len(ways)
    assert paired_probability(differences, rng=draws()) == pytest.approx(expected)


def test_many_subjects_are_tested_by_drawing() -> None:
    clear = paired_probability([0.2] * 30, rng=draws())
    none = paired_probability([0.2, -0.2] * 15, rng=draws())
    assert 0 < clear < 0.001
    assert none > 0.9
