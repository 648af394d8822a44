"""The greedy choice against every choice there is, and who dodges against single faces."""

import itertools
import math

import numpy as np
import pytest
import torch

from agns.accessory.frame import place, silhouette
from agns.accessory.wear import wear
from agns.attack.coverage import choose_greedily, covered, dodges, worth_to_subjects
from agns.models.recognizer import Recognizer
from agns.models.victim import freeze
from agns.types import Faces


def served(worth: np.ndarray, choice: tuple[int, ...]) -> float:
    return float(worth[list(choice)].max(0).sum()) if choice else 0.0


@pytest.mark.parametrize("boolean", [True, False], ids=["covered or not", "shares"])
@pytest.mark.parametrize("seed", range(8))
def test_each_choice_adds_the_most_and_all_reach_their_share_of_the_best(
    seed: int, *, boolean: bool
) -> None:
    draws = torch.Generator().manual_seed(seed)
    worth = torch.rand(7, 9, generator=draws, dtype=torch.float64)
    worth = (worth > 0.7).double() if boolean else worth
    exact = worth.numpy()
    chosen = choose_greedily(worth, 4)
    assert len(set(chosen)) == 4
    for step in range(4):
        most = max(served(exact, (*chosen[:step], each)) for each in range(7))
        assert served(exact, tuple(chosen[: step + 1])) == pytest.approx(most)
        count = step + 1
        best = max(served(exact, each) for each in itertools.combinations(range(7), count))
        assert served(exact, tuple(chosen[:count])) >= (1 - 1 / math.e) * best


def test_fewer_are_the_first_of_more(generator: torch.Generator) -> None:
    worth = torch.rand(9, 12, generator=generator)
    assert choose_greedily(worth, 3) == choose_greedily(worth, 8)[:3]


def test_between_equals_that_which_is_worth_most_altogether_comes_first() -> None:
    worth = torch.tensor([[1.0, 1, 0, 0], [0, 0, 0, 0], [0, 1, 0, 0], [1, 1, 0, 0]])
    assert choose_greedily(worth, 9) == [0, 3, 2, 1]


def test_nothing_chosen_covers_nobody() -> None:
    assert covered(torch.zeros(0, 3)) == 0
    assert covered(torch.tensor([[1.0, 0, 0.5, 0], [0, 0, 1, 1]])) == pytest.approx(0.75)


def test_who_dodges_is_what_the_recogniser_says_of_each_face_alone(
    victim: Recognizer, photos: Faces, generator: torch.Generator
) -> None:
    frozen = freeze(victim)
    frames = torch.rand(3, 3, 64, 176, generator=generator)
    with torch.no_grad():
        own = frozen(photos).argmax(1)
        own[0] = (own[0] + 1) % 3
        named = [
            [int(frozen(wear(face[None], place(frame[None]), silhouette())).argmax())
             for face in photos]
            for frame in frames
        ]  # fmt: skip
    told: list[tuple[int, int]] = []
    found = dodges(
        frozen, photos, own, frames, batch=4,
        progress=lambda done, total, _: told.append((done, total)),
    )  # fmt: skip
    assert torch.equal(found, torch.tensor(named) != own)
    assert found.any()
    assert not found.all()
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_a_frame_is_worth_the_share_of_a_subjects_photos() -> None:
    dodged = torch.tensor([[True, False, True, True], [False, False, True, False]])
    worth = worth_to_subjects(dodged, torch.tensor([7, 7, 2, 7]))
    torch.testing.assert_close(worth, torch.tensor([[1, 2 / 3], [1, 0]], dtype=torch.float64))
