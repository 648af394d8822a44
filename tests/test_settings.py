import math
from dataclasses import dataclass
from typing import Annotated, Literal

import pytest

from agns.errors import ConfigError
from agns.settings import Count, Part, Range, Rate, Seed, Share, Weight, check_settings, kind_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    share: Share = 0.5
    part: Part = 0.5
    weight: Weight = 0.0
    rate: Rate = 0.1
    count: Count = 1
    seed: Seed = 0
    few: Annotated[int, Range("[1, 5]")] | None = None
    sizes: tuple[Count, ...] = ()
    word: Literal["a", "b", "c"] = "a"
    signed: bool = False

    def __post_init__(self) -> None:
        check_settings(self)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"share": 1.5}, "share must lie in [0, 1], got 1.5"),
        ({"share": math.nan}, "share must lie in [0, 1], got nan"),
        ({"part": 0.0}, "part must lie in (0, 1), got 0.0"),
        ({"part": 1.0}, "part must lie in (0, 1), got 1.0"),
        ({"weight": -1.0}, "weight must be at least 0, got -1.0"),
        ({"weight": math.inf}, "weight must be at least 0 and finite, got inf"),
        ({"rate": 0.0}, "rate must be positive, got 0.0"),
        ({"rate": math.inf}, "rate must be positive and finite, got inf"),
        ({"count": 0}, "count must be at least 1, got 0"),
        ({"seed": 2**63}, "seed must lie in [0, 9223372036854775807], got 9223372036854775808"),
        ({"few": 6}, "few must lie in [1, 5], got 6"),
        ({"sizes": (1, 0)}, "sizes must be at least 1, got 0"),
        ({"count": 1.5}, "count must be a whole number, got 1.5"),
        ({"count": True}, "count must be a whole number, got True"),
        ({"share": "0.5"}, "share must be a number, got '0.5'"),
        ({"share": None}, "share must be a number, got None"),
        ({"sizes": 3}, "sizes must be a tuple, got 3"),
        ({"signed": "no"}, "signed must be true or false, got 'no'"),
        ({"word": "d"}, "word must be a, b or c, got 'd'"),
    ],
)
def test_what_a_type_does_not_allow_is_refused(changes: dict[str, float], sentence: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Sample(**changes)  # type: ignore[arg-type]
    assert str(refused.value) == sentence


def test_the_ends_of_a_range_are_allowed() -> None:
    Sample(share=0, weight=0, count=1, seed=2**63 - 1, few=5, sizes=(1,), word="c")
    Sample(share=1, few=1)


def test_a_type_is_taken_apart_whatever_stands_around_it() -> None:
    kind = kind_of(tuple[Annotated[int, Range("[1, 5]")], ...] | None)
    assert kind.plain is int
    assert kind.many
    assert kind.optional
    assert kind.range is not None
    assert kind.range.text == "[1, 5]"
