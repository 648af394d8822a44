"""Pixels that descend from solid colours."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from agns.accessory.placement import FIXED, Placement
from agns.attack.goals import Dodge, Goal, Impersonate, log_odds
from agns.attack.pixel_descent import (
    CCS16,
    CCS16_BOUNDED,
    COLORS,
    PGD,
    PixelDescent,
)
from agns.errors import AttackError, ConfigError
from agns.models.recognizer import Recognizer

NEVER = 1e-6
DODGE, IMPERSONATE = Dodge(subject=0, stop=NEVER), Impersonate(subject=0, target=1, stop=1 - NEVER)
GOALS = [DODGE, IMPERSONATE]
METHODS = {"ccs16": CCS16(), "bounded": CCS16_BOUNDED, "pgd": PGD()}
FIRST = torch.tensor(list(COLORS.values()))[:, :, None, None]


def probabilities(frozen: Recognizer, noise: torch.Tensor, frames: torch.Tensor) -> torch.Tensor:
    """Of each class, of each frame on each face."""
    each = frames.repeat_interleave(len(noise), 0)
    photos = torch.arange(len(noise)).repeat(len(frames))
    with torch.no_grad():
        logits = frozen(FIXED.wear(noise, each, photos))
    return logits.softmax(1).reshape(len(frames), len(noise), -1)


@pytest.mark.parametrize("goal", GOALS, ids=lambda goal: goal.name)
@pytest.mark.parametrize("name", METHODS)
def test_each_method_comes_nearer_to_each_goal(
    name: str, goal: Goal, frozen: Recognizer, noise: torch.Tensor
) -> None:
    outcome = replace(METHODS[name], steps=6).run(frozen, noise, goal)
    assert (outcome.iterations, outcome.stopped_because) == (6, "used up its steps")
    first, best = outcome.history[0]["probability"], outcome.probability
    assert best < first - 0.005 if goal.name == "dodge" else best > first + 0.005


def test_frames_come_best_first_and_do_what_the_outcome_says(
    frozen: Recognizer, noise: torch.Tensor
) -> None:
    outcome = replace(CCS16(), steps=5).run(frozen, noise, IMPERSONATE)
    found = probabilities(frozen, noise, outcome.frames)[:, :, 1].mean(1)
    assert len(found) == len(COLORS)
    assert found.tolist() == sorted(found.tolist(), reverse=True)
    assert float(found[0]) == pytest.approx(outcome.probability, abs=1e-5)
    assert not outcome.met


@pytest.mark.parametrize(("config", "bound"), [(CCS16_BOUNDED, 0.47), (PGD(), 0.12)])
def test_a_bound_is_kept_around_the_first_colour(
    config: PixelDescent, bound: float, frozen: Recognizer, noise: torch.Tensor
) -> None:
    # Steps as long as the bound would leave it at once.
    outcome = replace(config, steps=4, step=0.4).run(frozen, noise, DODGE)
    apart = (outcome.frames[:, None] - FIRST[None]).abs().amax((2, 3, 4))
    assert float(apart.amin(1).max()) <= bound + 1e-6
    assert float(apart.amin(1).max()) > 0.5 * bound
    assert 0 <= float(outcome.frames.min()) <= float(outcome.frames.max()) <= 1


def test_one_step_is_the_one_that_the_gradient_tells(
    frozen: Recognizer, noise: torch.Tensor
) -> None:
    config = PixelDescent(steps=1, step=0.02)
    outcome = config.run(frozen, noise, DODGE)
    begin = FIRST.expand(-1, -1, 64, 176)
    for color in range(len(COLORS)):
        leaf = begin[color : color + 1].clone().requires_grad_()
        worn = FIXED.wear(noise, leaf, torch.arange(3))
        odds = log_odds(frozen(worn), DODGE)
        (gradient,) = torch.autograd.grad((1 + (-odds).exp()).log().mean(), leaf)
        stepped = (leaf - 0.02 * gradient / gradient.abs().max()).detach().clamp(0, 1)
        near = [torch.allclose(frame, stepped[0], atol=1e-4) for frame in outcome.frames]
        assert any(near), f"colour {color}"


def test_momentum_keeps_part_of_the_last_direction(frozen: Recognizer, noise: torch.Tensor) -> None:
    plain, heavy = (
        PixelDescent(steps=3, step=0.02, momentum=share).run(frozen, noise, DODGE)
        for share in (0.0, 0.9)
    )
    moved = [
        (o.frames[:, None] - FIRST[None]).abs().mean((2, 3, 4)).amin(1) for o in (plain, heavy)
    ]
    assert float(moved[1].mean()) > 1.3 * float(moved[0].mean())


def test_an_easy_goal_ends_at_once(frozen: Recognizer, noise: torch.Tensor) -> None:
    outcome = CCS16().run(frozen, noise, Dodge(subject=0, stop=0.999))
    assert (outcome.iterations, outcome.stopped_because, outcome.met) == (
        0, "reached the stop value", True
    )  # fmt: skip


def test_batches_add_up_to_all_photos(frozen: Recognizer, noise: torch.Tensor) -> None:
    many, few = (PixelDescent(steps=2, batch=batch).run(frozen, noise, DODGE) for batch in (64, 1))
    assert few.probability == pytest.approx(many.probability, abs=1e-4)


def test_steps_are_disturbed_by_the_seed_and_looks_are_not(
    frozen: Recognizer, noise: torch.Tensor
) -> None:
    shaken = Placement(jitter=2, brightness=0.2)

    def run(seed: int) -> Any:
        config = PixelDescent(steps=2, jitter=2, brightness=0.2)
        return config.run(frozen, noise, DODGE, placement=shaken, seed=seed)

    one, again, other = run(0), run(0), run(1)
    assert torch.equal(one.frames, again.frames)
    assert not torch.equal(one.frames, other.frames)
    assert one.history[0] == other.history[0], "the solid colours, as they are"


def test_ctrl_c_leaves_what_there_is(frozen: Recognizer, noise: torch.Tensor) -> None:
    def press(done: int, total: int, figures: object) -> None:
        if done == 2:
            raise KeyboardInterrupt

    outcome = CCS16().run(frozen, noise, DODGE, progress=press)
    assert (outcome.stopped_because, outcome.iterations) == ("interrupted", 2)
    assert len(outcome.frames) == len(COLORS)


def test_nothing_to_attack_is_refused(frozen: Recognizer) -> None:
    with pytest.raises(AttackError, match="at least one photo"):
        CCS16().run(frozen, torch.zeros(0, 3, 224, 224), DODGE)


@pytest.mark.parametrize(
    "settings",
    [
        {"steps": 0}, {"batch": 0}, {"step": 0.0}, {"step": 1.5}, {"momentum": 1.0},
        {"bound": 0.0}, {"bound": 2.0}, {"jitter": -1.0}, {"brightness": float("nan")},
        {"tv_weight": -0.1}, {"tv_weight": 3.0}, {"nps_weight": float("nan")},
        {"nps_weight": 5.0}, {"palette": "own.csv"}, {"shift": 50.0}, {"rotation": -1.0},
    ],
)  # fmt: skip
def test_settings_out_of_range_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="must"):
        PixelDescent(**settings)
