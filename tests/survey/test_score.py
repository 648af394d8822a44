"""What answers say, against counts by hand, and of people who are drawn."""

import math
from dataclasses import replace

import pytest
import torch

from agns.survey.answers import Answers, Key
from agns.survey.score import FEWEST, score_survey


def person(number: int, key: Key, **real: int) -> Answers:
    """Somebody who marks the first so many frames of each kind real, and answers all."""
    said = {}
    for kind in dict.fromkeys(key.kinds.values()):
        own = [frame for frame, of in key.kinds.items() if of == kind]
        said |= {frame: place < real.get(kind, 0) for place, frame in enumerate(own)}
    return Answers(participant=f"{number:016x}", marked_real=said)


def drawn_people(
    key: Key, count: int, odds: dict[str, float], *, spread: float, draws: torch.Generator
) -> list[Answers]:
    """People who lean towards "real" each in their own measure, by a normal spread of log odds."""
    people = []
    for number in range(count):
        leaning = spread * float(torch.randn((), generator=draws))
        said = {
            frame: float(torch.rand((), generator=draws))
            < 1 / (1 + math.exp(-math.log(odds[kind]) - leaning))
            for frame, kind in key.kinds.items()
        }
        people.append(Answers(participant=f"{number:016x}", marked_real=said))
    return people


def test_shares_and_odds_ratios_are_those_counted_by_hand(key: Key) -> None:
    people = [person(1, key, real=8, agn=4, ccs16=1), person(2, key, real=6, agn=4, ccs16=0)]
    score = score_survey(key, people)
    assert (score.people, score.partial) == (2, 0)
    real, agn, ccs16 = score.kinds
    assert [one.kind for one in score.kinds] == ["real", "agn", "ccs16"]
    assert (real.marked_real, real.answers, real.share, real.odds_ratio) == (14, 20, 0.7, None)
    assert (agn.share, ccs16.share, ccs16.frames) == (0.4, 0.25, 2)
    assert agn.odds_ratio is not None
    assert agn.odds_ratio.value == pytest.approx((8 / 12) / (14 / 6))
    low, high = agn.odds_ratio.interval
    spread = 1.959964 * math.sqrt(1 / 8 + 1 / 12 + 1 / 14 + 1 / 6)
    assert low <= math.exp(math.log(agn.odds_ratio.value) - spread) + 1e-6
    assert high >= math.exp(math.log(agn.odds_ratio.value) + spread) - 1e-6
    assert [one.paper for one in score.kinds] == [0.61, 0.47, 0.31]


def test_half_an_answer_is_added_to_every_cell_where_one_is_empty(key: Key) -> None:
    score = score_survey(key, [person(1, key, real=9), person(2, key, real=10)])
    agn = score.kinds[1]
    assert agn.odds_ratio is not None
    assert agn.odds_ratio.value == pytest.approx((0.5 / 20.5) / (19.5 / 1.5))
    assert agn.share == 0
    assert 0 < agn.odds_ratio.interval[0] < agn.odds_ratio.value < agn.odds_ratio.interval[1] < 1


def test_partial_answers_count_and_are_told(key: Key) -> None:
    whole = person(1, key, real=5, agn=5)
    part = Answers(participant="2" * 16, marked_real={"00000": True, "0000a": False})
    score = score_survey(key, [whole, part])
    assert (score.people, score.partial) == (2, 1)
    real, agn, ccs16 = score.kinds
    assert (real.people, real.answers, real.share) == (2, 11, 0.75)
    assert (agn.people, ccs16.people, ccs16.answers) == (2, 1, 2)
    assert any("One person did not answer all frames" in one for one in score.warnings)
    first = next(one for one in score.frames if one.frame == "00000")
    assert (first.answers, first.marked_real, first.source) == (2, 2, "frames/00000.png")


def test_kinds_that_nobody_answered_are_left_out(key: Key) -> None:
    score = score_survey(key, [Answers(participant="1" * 16, marked_real={"0000a": True})])
    (agn,) = score.kinds
    assert (agn.kind, agn.odds_ratio, agn.share) == ("agn", None, 1)
    assert 0 < agn.interval[0] < agn.interval[1] == 1


def test_few_people_and_drawn_frames_are_warned_of(key: Key) -> None:
    people = [person(number, key, real=5) for number in range(FEWEST)]
    assert score_survey(key, people).warnings == []
    few = score_survey(key, people[1:]).warnings
    assert [one.split(":")[0] for one in few] == [f"{FEWEST - 1} people took part"]
    sources = {**key.sources, "00000": "drawn by agns, frame 3"}
    (drawn,) = score_survey(replace(key, sources=sources), people).warnings
    assert drawn.startswith("1 of the real frames was drawn by agns")


def test_the_same_seed_gives_the_same_intervals(key: Key, generator: torch.Generator) -> None:
    odds = {"real": 1.5, "agn": 0.9, "ccs16": 0.4}
    people = drawn_people(key, 20, odds, spread=1, draws=generator)
    assert score_survey(key, people, seed=3) == score_survey(key, people, seed=3)
    assert score_survey(key, people, seed=3) != score_survey(key, people, seed=4)


def test_intervals_hold_what_drawn_people_think(key: Key, generator: torch.Generator) -> None:
    odds = {"real": 1.5, "agn": 0.9, "ccs16": 0.4}
    inside = []
    for _ in range(25):
        people = drawn_people(key, 16, odds, spread=0.5, draws=generator)
        _, agn, _ = score_survey(key, people).kinds
        assert agn.odds_ratio is not None
        inside.append(agn.odds_ratio.interval[0] < 0.6 < agn.odds_ratio.interval[1])
    assert sum(inside) >= 21
