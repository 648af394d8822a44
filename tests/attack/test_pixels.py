import copy
from collections.abc import Mapping
from typing import Any

import pytest
import torch

from agns.accessory.placement import FIXED, Placement
from agns.attack.goals import Dodge, Goal, Impersonate
from agns.attack.pixels import FreePixels
from agns.errors import AttackError, ConfigError
from agns.models.recognizer import Recognizer

GOALS = [Dodge(subject=0), Impersonate(subject=0, target=1)]
CONFIG = FreePixels(steps=15)


@pytest.mark.parametrize("goal", GOALS, ids=lambda goal: goal.name)
def test_the_best_frame_does_what_the_outcome_says(
    goal: Goal, frozen: Recognizer, noise: torch.Tensor
) -> None:
    outcome = CONFIG.run(frozen, noise, goal)
    worn = FIXED.wear(noise, outcome.frames, torch.arange(3))
    probability = float(frozen(worn).softmax(1)[:, goal.index].mean())
    assert probability == pytest.approx(outcome.probability, abs=1e-5)
    assert len(outcome.history) == 15
    extreme = min if goal.name == "dodge" else max
    told = [row["probability"] for row in outcome.history]
    assert outcome.probability == pytest.approx(extreme(told))
    assert 0 <= float(outcome.frames.min()) < float(outcome.frames.max()) <= 1


@pytest.mark.parametrize("goal", GOALS, ids=lambda goal: goal.name)
def test_steps_lead_towards_the_goal(goal: Goal, frozen: Recognizer, noise: torch.Tensor) -> None:
    outcome = CONFIG.run(frozen, noise, goal)
    history = [row["probability"] for row in outcome.history]
    gained = history[0] - history[-1] if goal.name == "dodge" else history[-1] - history[0]
    assert gained > 0.01


def test_batches_add_up_to_all_photos(frozen: Recognizer, noise: torch.Tensor) -> None:
    whole, parts = (
        FreePixels(steps=4, batch=batch).run(frozen, noise, GOALS[1]).history for batch in (3, 2)
    )
    for one, other in zip(whole, parts, strict=True):
        assert one["probability"] == pytest.approx(other["probability"], abs=1e-4)


def test_the_frame_is_optimised_where_it_is_placed(frozen: Recognizer, noise: torch.Tensor) -> None:
    low = Placement(homographies=torch.tensor([[[1.0, 0, 0], [0, 1, 60], [0, 0, 1]]] * 3))
    outcome = CONFIG.run(frozen, noise, GOALS[1], placement=low)
    worn = low.wear(noise, outcome.frames, torch.arange(3))
    probability = float(frozen(worn).softmax(1)[:, 1].mean())
    assert probability == pytest.approx(outcome.probability, abs=1e-5)


def test_an_easy_goal_is_met(frozen: Recognizer, noise: torch.Tensor) -> None:
    assert CONFIG.run(frozen, noise, Dodge(subject=0, stop=0.99)).met
    assert not CONFIG.run(frozen, noise, Impersonate(subject=0, target=1, stop=1 - 1e-6)).met


def test_ctrl_c_keeps_what_there_is(frozen: Recognizer, noise: torch.Tensor) -> None:
    def press(done: int, total: int, figures: Mapping[str, float]) -> None:
        if done == 2:
            raise KeyboardInterrupt

    outcome = CONFIG.run(frozen, noise, GOALS[0], progress=press)
    assert (outcome.stopped_because, outcome.iterations) == ("interrupted", 2)
    assert 0 < outcome.probability < 1


def test_a_victim_that_is_not_finite_ends_it(frozen: Recognizer, noise: torch.Tensor) -> None:
    victim = copy.deepcopy(frozen)

    def spoil(done: int, total: int, figures: Mapping[str, float]) -> None:
        if done == 2:
            for weights in victim.head.parameters():
                weights.fill_(torch.nan)

    outcome = CONFIG.run(victim, noise, GOALS[0], progress=spoil)
    assert (outcome.stopped_because, outcome.iterations) == ("not finite", 2)
    assert bool(outcome.frames.isfinite().all())
    with pytest.raises(AttackError, match="cannot begin"):
        CONFIG.run(victim, noise, GOALS[0])


def test_nothing_to_attack_is_refused(frozen: Recognizer) -> None:
    with pytest.raises(AttackError, match="at least one photo"):
        CONFIG.run(frozen, torch.zeros(0, 3, 224, 224), GOALS[0])


@pytest.mark.parametrize(
    "settings",
    [
        {"steps": 0},
        {"batch": 0},
        {"step": 0.0},
        {"step": 1.1},
        {"momentum": 1.0},
        {"momentum": -0.1},
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="must"):
        FreePixels(**settings)
