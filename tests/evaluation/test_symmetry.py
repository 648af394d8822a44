"""Who is easier to attack, and towards whom."""

import pytest

from agns.evaluation.symmetry import symmetry_of


def test_the_largest_asymmetry_is_of_a_pair_that_was_tried_both_ways() -> None:
    taken = {
        ("Ann", "Bob"): 0.9, ("Bob", "Ann"): 0.2, ("Ann", "Cy"): 1.0, ("Bob", "Cy"): 0.4,
        ("Cy", "Bob"): 0.5,
    }  # fmt: skip
    photos = dict.fromkeys(taken, 20)
    found = symmetry_of({"Ann": 0.1, "Bob": 0.6, "Cy": 0.5}, taken, photos)
    assert found.largest_asymmetry == pytest.approx(0.7)
    assert found.between == ("Ann", "Bob")
    assert found.pairs == 2
    assert found.favoured == pytest.approx({"Bob": 0.7, "Ann": 0.2, "Cy": 0.7})


def test_without_pairs_there_is_none() -> None:
    found = symmetry_of({}, {("Ann", "Bob"): 1.0}, {("Ann", "Bob"): 5})
    assert (found.largest_asymmetry, found.between, found.pairs) == (0.0, None, 0)
    assert found.by_chance == 0


def test_of_many_pairs_some_differ_by_chance_and_less_so_on_many_photos() -> None:
    names = [f"P{at}" for at in range(10)]
    taken = {(one, other): 0.3 for one in names for other in names if one != other}
    few, many = (
        symmetry_of({}, taken, dict.fromkeys(taken, count)).by_chance for count in (16, 1600)
    )
    # The largest of 45 differences of two shares of 16 photos: about 2.4 times their deviation.
    assert few == pytest.approx(2.4 * (2 * 0.3 * 0.7 / 16) ** 0.5, rel=0.15)
    assert many == pytest.approx(few / 10, rel=0.1)
