"""Who is easier to attack, and towards whom."""

import pytest

from agns.evaluation.symmetry import symmetry_of


def test_the_largest_asymmetry_is_of_a_pair_that_was_tried_both_ways() -> None:
    taken = {
        ("Ann", "Bob"): 0.9, ("Bob", "Ann"): 0.2, ("Ann", "Cy"): 1.0, ("Bob", "Cy"): 0.4,
        ("Cy", "Bob"): 0.5,
    }  # fmt: skip
    found = symmetry_of({"Ann": 0.1, "Bob": 0.6, "Cy": 0.5}, taken)
    assert found.largest_asymmetry == pytest.approx(0.7)
    assert found.between == ("Ann", "Bob")
    assert found.pairs == 2
    assert found.favoured == pytest.approx({"Bob": 0.7, "Ann": 0.2, "Cy": 0.7})


def test_without_pairs_there_is_none() -> None:
    found = symmetry_of({}, {("Ann", "Bob"): 1.0})
    assert (found.largest_asymmetry, found.between, found.pairs) == (0.0, None, 0)
