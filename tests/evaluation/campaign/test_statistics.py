"""Intervals and tests over subjects."""

import itertools

import pytest
import torch

from agns.evaluation.campaign.statistics import mean_interval, paired_probability


def draws() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_the_interval_is_that_of_the_mean_of_subjects() -> None:
    clusters = [[float(value)] for value in torch.randn(200, generator=draws())]
    means = torch.tensor(clusters)
    low, high = mean_interval(clusters, draws=draws())
    half = 1.96 * float(means.std()) / 200**0.5
    assert low == pytest.approx(float(means.mean()) - half, abs=0.02)
    assert high == pytest.approx(float(means.mean()) + half, abs=0.02)


def test_many_photos_of_few_subjects_do_not_narrow_it() -> None:
    few = mean_interval([[0.0], [1.0], [0.5]], draws=draws())
    many = mean_interval([[0.0] * 100, [1.0] * 100, [0.5] * 100], draws=draws())
    assert few == many
    assert few[1] - few[0] > 0.6


def test_equal_subjects_leave_no_room() -> None:
    assert mean_interval([[0.4, 0.6], [0.5]], draws=draws()) == (0.5, 0.5)


@pytest.mark.parametrize("differences", [[0.3], [0.1, 0.4, -0.2], [0.5] * 6, [0.0, 0.0]])
def test_few_subjects_are_tested_exactly(differences: list[float]) -> None:
    seen = abs(sum(differences))
    ways = [
        abs(sum(s * d for s, d in zip(signs, differences, strict=True)))
        for signs in itertools.product((-1, 1), repeat=len(differences))
    ]
    expected = sum(way >= seen - 1e-9 for way in ways) / len(ways)
    assert paired_probability(differences, draws=draws()) == pytest.approx(expected)


def test_many_subjects_are_tested_by_drawing() -> None:
    clear = paired_probability([0.2] * 30, draws=draws())
    none = paired_probability([0.2, -0.2] * 15, draws=draws())
    assert 0 < clear < 0.001
    assert none > 0.9
