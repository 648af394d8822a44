"""Goals against their formulas in NumPy, and the signs they stand for."""

from typing import get_args

import numpy as np
import pytest
import torch

from agns.attack.goals import Dodge, Goal, Impersonate, Objective, check_objective, class_objective
from agns.errors import ConfigError

FORMS = get_args(Objective)
GOALS = [Dodge(subject=2), Impersonate(subject=2, target=0)]

forms = pytest.mark.parametrize("form", FORMS)
goals = pytest.mark.parametrize("goal", GOALS, ids=lambda goal: goal.name)


@pytest.fixture
def logits(generator: torch.Generator) -> torch.Tensor:
    return 3 * torch.randn(7, 5, generator=generator)


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits)
    return powers / powers.sum(1, keepdims=True)


def objective(logits: np.ndarray, index: int, form: Objective) -> np.ndarray:
    """One row at a time: the class against the others."""
    values = softmax(logits) if form == "probabilities" else logits
    others = [[row[i] for i in range(len(row)) if i != index] for row in values]
    against = max if form == "margin" else sum
    return np.array([row[index] - against(rest) for row, rest in zip(values, others, strict=True)])


@forms
@pytest.mark.parametrize("index", [0, 2, 4])
def test_the_objective_is_its_formula(logits: torch.Tensor, form: Objective, index: int) -> None:
    found = class_objective(logits, index, form).numpy()
    expected = objective(logits.double().numpy(), index, form)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@forms
def test_dodging_lowers_what_impersonating_the_same_class_raises(
    logits: torch.Tensor, form: Objective
) -> None:
    dodge, impersonate = Dodge(subject=1), Impersonate(subject=0, target=1)
    assert torch.equal(dodge.loss(logits, form), class_objective(logits, 1, form))
    assert torch.equal(dodge.loss(logits, form), -impersonate.loss(logits, form))


@forms
@goals
def test_a_step_down_the_loss_moves_the_watched_probability_the_right_way(
    logits: torch.Tensor, goal: Goal, form: Objective
) -> None:
    logits.requires_grad_()
    (slope,) = torch.autograd.grad(goal.loss(logits, form).sum(), logits)
    before = logits.detach().softmax(1)[:, goal.index]
    after = (logits.detach() - 0.1 * slope).softmax(1)[:, goal.index]
    falls = goal.name == "dodge"
    assert bool(((after < before) if falls else (after > before)).all())


@forms
@goals
def test_the_loss_has_the_right_gradient(
    generator: torch.Generator, goal: Goal, form: Objective
) -> None:
    logits = torch.randn(3, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: goal.loss(x, form), logits)


def test_the_shortfall_is_what_separates_a_face_from_the_wish(logits: torch.Tensor) -> None:
    probabilities = softmax(logits.double().numpy())
    dodge, impersonate = Dodge(subject=3), Impersonate(subject=0, target=3)
    np.testing.assert_allclose(dodge.failure_probability(logits), probabilities[:, 3], atol=1e-6)
    np.testing.assert_allclose(
        impersonate.failure_probability(logits), 1 - probabilities[:, 3], atol=1e-6
    )


@goals
def test_the_probability_is_read_back_from_the_shortfall(logits: torch.Tensor, goal: Goal) -> None:
    mean = float(logits.softmax(1)[:, goal.index].mean())
    assert goal.probability(float(goal.failure_probability(logits).mean())) == pytest.approx(
        mean, abs=1e-6
    )


@goals
def test_the_allowance_is_the_shortfall_at_the_stop_value(goal: Goal) -> None:
    assert goal.probability(goal.max_failure) == pytest.approx(goal.stop)


def test_a_goal_watches_the_subject_when_dodging_and_else_the_target() -> None:
    assert Dodge(subject=2).index == 2
    assert Impersonate(subject=2, target=0).index == 0


def test_success_is_a_matter_of_the_first_choice(logits: torch.Tensor) -> None:
    first = logits.numpy().argmax(1)
    for index in range(5):
        somebody = (index + 1) % 5
        dodged = Dodge(subject=index).succeeded(logits)
        taken_for = Impersonate(subject=somebody, target=index).succeeded(logits)
        np.testing.assert_array_equal(dodged, first != index)
        np.testing.assert_array_equal(taken_for, first == index)


@pytest.mark.parametrize("stop", [0, 1, -0.5, 1.5, float("nan")])
def test_a_stop_value_must_be_a_probability_short_of_certainty(stop: float) -> None:
    with pytest.raises(ConfigError, match=r"a stop value must lie in \(0, 1\)"):
        Dodge(subject=0, stop=stop)
    with pytest.raises(ConfigError, match=r"a stop value must lie in \(0, 1\)"):
        Impersonate(subject=0, target=1, stop=stop)


def test_nobody_can_impersonate_themselves() -> None:
    with pytest.raises(ConfigError, match="the target is the subject"):
        Impersonate(subject=1, target=1)


@forms
def test_each_form_is_known(form: str) -> None:
    check_objective(form)


def test_an_unknown_form_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"logits, probabilities, margin, got 'hinge'"):
        check_objective("hinge")


@forms
def test_dodging_each_their_own_is_what_each_dodging_alone_is(
    logits: torch.Tensor, form: Objective
) -> None:
    subjects = torch.tensor([3, 0, 3, 4, 1, 2, 2])
    each = Dodge(subject=tuple(subjects.tolist()))
    for row, subject in enumerate(subjects.tolist()):
        own, alone = logits[row : row + 1], Dodge(subject=subject)
        torch.testing.assert_close(each.loss(logits, form)[row], alone.loss(own, form)[0])
        torch.testing.assert_close(
            each.class_probability(logits)[row], alone.class_probability(own)[0]
        )
        assert bool(each.succeeded(logits)[row]) == bool(alone.succeeded(own)[0])
    assert torch.equal(each.failure_probability(logits), each.class_probability(logits))


@forms
def test_the_loss_of_each_their_own_has_the_right_gradient(
    generator: torch.Generator, form: Objective
) -> None:
    logits = torch.randn(3, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    goal = Dodge(subject=(3, 0, 2))
    assert torch.autograd.gradcheck(lambda x: goal.loss(x, form), logits)


def test_photos_drawn_again_keep_their_own_subjects(logits: torch.Tensor) -> None:
    photos = torch.tensor([4, 4, 0])
    drawn = Dodge(subject=(3, 0, 3, 4, 1)).on(photos)
    assert drawn.subject == (1, 1, 3)
    for goal in GOALS:
        assert goal.on(photos) is goal
        assert torch.equal(goal.class_probability(logits), logits.softmax(1)[:, goal.index])
