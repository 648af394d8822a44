"""Success rates and their intervals, against SciPy and against counting by hand."""

import numpy as np
import pytest
import torch
from scipy.stats import binomtest, norm

from agns.attack.goals import Dodge, Goal, Impersonate
from agns.evaluation.metrics import (
    SplitSuccess,
    measure_split,
    measure_success,
    shares_taken,
    success_cells,
    wilson_interval,
)

GOALS = [Dodge(subject=1), Impersonate(subject=1, target=2)]

goals = pytest.mark.parametrize("goal", GOALS, ids=lambda goal: goal.name)


def first_choices(*choices: int) -> torch.Tensor:
    """Logits of four classes whose first choices are these."""
    return 5 * torch.eye(4)[torch.tensor(choices)]


@pytest.mark.parametrize(
    ("successes", "trials"), [(0, 1), (1, 1), (0, 20), (1, 20), (13, 20), (20, 20), (499, 1000)]
)
def test_the_interval_is_scipys(successes: int, trials: int) -> None:
    expected = binomtest(successes, trials).proportion_ci(method="wilson")
    assert wilson_interval(successes, trials) == pytest.approx(tuple(expected), abs=1e-12)


def test_bounds_of_a_broken_count_are_where_the_score_test_turns() -> None:
    share = 6.25 / 9
    for bound in wilson_interval(6.25, 9):
        score = abs(share - bound) / np.sqrt(bound * (1 - bound) / 9)
        assert score == pytest.approx(norm.ppf(0.975), rel=1e-9)


@pytest.mark.parametrize("trials", [1, 7, 16, 1000])
def test_bounds_at_the_ends_are_exact(trials: int) -> None:
    assert wilson_interval(0, trials)[0] == 0
    assert wilson_interval(trials, trials)[1] == 1


@goals
def test_success_is_counted_over_photos(goal: Goal, generator: torch.Generator) -> None:
    logits = 2 * torch.randn(30, 4, generator=generator)
    found = measure_success(goal, logits)
    rows = logits.double().numpy()
    wins = sum(int((row.argmax() != 1) if goal.name == "dodge" else row.argmax() == 2)
               for row in rows)  # fmt: skip
    watched = 1 if goal.name == "dodge" else 2
    chances = [np.exp(row[watched]) / np.exp(row).sum() for row in rows]
    assert 0 < wins < 30
    assert found.images == 30
    assert found.success_rate == pytest.approx(wins / 30)
    assert found.interval == pytest.approx(wilson_interval(wins, 30))
    assert found.mean_probability == pytest.approx(np.mean(chances), abs=1e-6)


@goals
def test_many_frames_count_as_their_share_on_each_photo(
    goal: Goal, generator: torch.Generator
) -> None:
    logits = 2 * torch.randn(5, 7, 4, generator=generator)
    found = measure_success(goal, logits)
    shares = [goal.succeeded(logits[:, photo]).double().mean().item() for photo in range(7)]
    assert sum(shares) % 1 > 0
    assert found.images == 7
    assert found.success_rate == pytest.approx(np.mean(shares))
    assert found.interval == pytest.approx(wilson_interval(sum(shares), 7))


def test_frames_on_the_same_photos_do_not_narrow_the_interval() -> None:
    logits = first_choices(1, 1, 0, 2)
    once = measure_success(GOALS[0], logits)
    assert measure_success(GOALS[0], logits.expand(50, 4, 4)).interval == once.interval


@goals
@pytest.mark.parametrize("shape", [(0, 4), (3, 0, 4)])
def test_no_photos_have_no_rate(goal: Goal, shape: tuple[int, ...]) -> None:
    found = measure_success(goal, torch.zeros(shape))
    assert found.images == 0
    assert (found.success_rate, found.interval, found.mean_probability) == (None, None, None)


def test_a_split_is_counted_over_all_photos_and_over_the_recognised() -> None:
    logits = first_choices(1, 0, 0, 3, 1)
    recognized = torch.tensor([True, True, False, False, True])
    found = measure_split(GOALS[0], logits, recognized)
    assert (found.images, found.success_rate) == (5, 3 / 5)
    assert (found.recognized.images, found.recognized.success_rate) == (3, 1 / 3)
    assert found.recognized == measure_success(GOALS[0], logits[[0, 1, 4]])


def test_many_frames_are_split_by_photo() -> None:
    logits = torch.stack([first_choices(1, 0), first_choices(0, 0)])
    found = measure_split(GOALS[0], logits, torch.tensor([True, False]))
    assert found.success_rate == 3 / 4
    assert found.recognized == measure_success(GOALS[0], logits[:, :1])


def test_where_nobody_was_recognised_only_the_whole_has_a_rate() -> None:
    found = measure_split(GOALS[0], first_choices(0, 0), torch.tensor([False, False]))
    assert found.success_rate == 1
    assert found.recognized.success_rate is None


def split(*choices: int, recognized: bool) -> SplitSuccess:
    chosen = torch.full((len(choices),), recognized)
    return measure_split(GOALS[0], first_choices(*choices), chosen)


def test_cells_hold_the_figures() -> None:
    photos, rate, interval, mean, among = success_cells(split(1, 0, 0, 0, recognized=True))
    assert (photos, rate, among) == ("4", "75%", "75%")
    assert interval == "30% to 95%"
    probability = (np.exp(5) + 3) / (np.exp(5) + 3) / 4
    assert float(mean) == pytest.approx(probability, abs=0.01)


def test_cells_without_photos_hold_dashes() -> None:
    nobody = measure_split(GOALS[0], torch.zeros(0, 4), torch.zeros(0, dtype=torch.bool))
    assert success_cells(nobody) == ("0", "-", "-", "-", "-")
    assert success_cells(split(1, 0, recognized=False))[4] == "-"


def test_shares_say_whom_photos_are_taken_for_and_leave_nobody_out_of_them() -> None:
    class Told:
        identities = ("Ann", "Bob", "Cy", "Di")
        task = "closed-set"

        def __call__(self, faces: torch.Tensor) -> torch.Tensor:
            raise AssertionError

    victim, logits = Told(), first_choices(1, 1, 0, 3) - 6
    assert shares_taken(logits, victim) == {"Ann": 0.25, "Bob": 0.5, "Di": 0.25}
    victim.task = "open-set"
    logits[0, 1] = 1
    assert shares_taken(logits, victim) == {"Bob": 0.25}
    victim.task = "verification"
    assert shares_taken(logits, victim) is None
