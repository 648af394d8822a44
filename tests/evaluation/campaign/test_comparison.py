"""Two campaigns side by side."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from agns.errors import ConfigError
from agns.evaluation.campaign.comparison import compare
from agns.evaluation.campaign.ledger import Row

Make = Callable[..., Row]
NAMES = [f"P{number}" for number in range(8)]


def test_a_recogniser_that_is_fooled_more_often_got_worse(row: Make) -> None:
    before = [row(name, "agn", 0.2) for name in NAMES]
    after = [row(name, "agn", 0.6) for name in NAMES]
    (worse,) = compare(before, after)
    assert (worse.subjects, worse.before, worse.after) == (
        8,
        pytest.approx(0.2),
        pytest.approx(0.6),
    )
    assert worse.by_chance == pytest.approx(2 / 2**8)
    assert worse.is_worse()
    (better,) = compare(after, before)
    assert not better.is_worse()


def test_what_may_be_chance_is_not_called_worse(row: Make) -> None:
    before = [row(name, "agn", 0.5) for name in NAMES]
    after = [row(name, "agn", 0.5 + (0.3 if at % 2 else -0.25)) for at, name in enumerate(NAMES)]
    (found,) = compare(before, after)
    assert found.after > found.before
    assert not found.is_worse()
    assert found.is_worse(level=0.999)


def test_only_what_both_have_counts(row: Make, failed: Row) -> None:
    before = [row("Ann", "agn", 0.2), row("Bob", "agn", 0.4), row("Ann", "pgd", 0.1)]
    after = [row("Ann", "agn", 0.3), row("Ann", "agn", 0.5, seed=1), failed]
    (found,) = compare(before, after)
    assert (found.attack, found.subjects) == ("agn", 1)
    assert (found.before, found.after) == (pytest.approx(0.2), pytest.approx(0.4))


def test_nothing_in_common_is_refused(row: Make) -> None:
    one = row("Ann", "agn", 0.2)
    other = replace(one, cell=replace(one.cell, target="Bob"))
    with pytest.raises(ConfigError, match="have no attack in common"):
        compare([one], [other])
