"""A victim that may only be asked."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import pytest
import torch

from agns.attack.goals import Dodge, resolve_goal
from agns.errors import AttackError, ConfigError, QueryBudgetSpent
from agns.evaluation.sanity import are_probabilities
from agns.models.black_box import BlackBox, count_anew
from agns.models.victim import Task, freeze

FACES = torch.rand(4, 3, 224, 224, generator=torch.Generator().manual_seed(0))


class Told:
    """A victim whose logits are told beforehand."""

    identities = ("Ann", "Bob", "Cy")
    record: Mapping[str, object] = MappingProxyType({})

    def __init__(self, *logits: Sequence[float], task: Task = "closed-set") -> None:
        self.logits, self.task = torch.tensor(logits), task

    def __call__(self, faces: torch.Tensor) -> torch.Tensor:
        weight = torch.ones((), requires_grad=True)
        return weight * self.logits.expand(len(faces), -1)


def test_scores_are_the_victims_without_a_gradient() -> None:
    box = BlackBox(Told([0.5, 2.0, -1.0]))
    logits = box(FACES.requires_grad_())
    assert logits.tolist() == [[0.5, 2.0, -1.0]] * 4
    assert not logits.requires_grad
    assert box.identities == Told.identities


def test_one_face_is_one_query_and_none_is_answered_beyond_the_budget() -> None:
    box = BlackBox(Told([0.0, 1.0, 2.0]), budget=7)
    box(FACES)
    assert box.queries == 4
    sentence = "answers 7 queries and has answered 4: 4 more are too many"
    with pytest.raises(QueryBudgetSpent, match=sentence):
        box(FACES)
    box(FACES[:3])
    assert box.queries == 7
    assert issubclass(QueryBudgetSpent, AttackError)


class Lost(Told):
    """Answers no more."""

    def __call__(self, faces: torch.Tensor) -> torch.Tensor:
        raise AttackError("the line is dead")


def test_a_query_that_fails_was_asked() -> None:
    box = BlackBox(Lost([0.0, 1.0, 2.0]), budget=4)
    with pytest.raises(AttackError, match="the line is dead"):
        box(FACES[:3])
    assert box.queries == 3


def test_counts_begin_anew_also_within() -> None:
    inner = BlackBox(Told([0.0, 1.0, 2.0]), budget=4)
    outer = BlackBox(inner, budget=4)
    outer(FACES)
    count_anew(outer)
    outer(FACES)
    assert (inner.queries, outer.queries) == (4, 4)


def test_it_says_which_photos_the_victim_knows() -> None:
    victim = Told([0.0, 1.0, 2.0])
    assert BlackBox(victim).record == {}
    victim.record = {"training_photos": ["a"]}
    assert BlackBox(BlackBox(victim)).record == victim.record


def test_who_freezes_it_gets_no_copy_with_a_count_of_its_own() -> None:
    box = BlackBox(Told([0.0, 1.0, 2.0]))
    assert freeze(box) is box


@pytest.mark.parametrize(
    ("task", "logits", "accepted"),
    [
        ("closed-set", (-3.0, -1.0, -2.0), [False, True, False]),
        ("open-set", (0.5, 2.0, -1.0), [False, True, False]),
        ("open-set", (-0.5, -2.0, -1.0), [False, False, False]),
        ("verification", (0.5, 2.0, -1.0), [True, True, False]),
    ],
)
def test_a_decision_leaves_no_doubt_and_is_what_the_victim_decides(
    task: Task, logits: tuple[float, ...], accepted: list[bool]
) -> None:
    box = BlackBox(Told(logits, task=task), decisions_only=True)
    decided = box(FACES)
    assert not are_probabilities(decided)
    for place, name in enumerate(box.identities):
        dodge = resolve_goal(Dodge(name), box)
        assert dodge.failure_probability(decided).tolist() == [float(accepted[place])] * 4
        assert dodge.succeeded(decided).tolist() == [not accepted[place]] * 4


def test_a_broken_victim_stays_broken() -> None:
    box = BlackBox(Told([0.0, torch.nan, 1.0]), decisions_only=True)
    assert bool(box(FACES).isnan().all())


def test_a_budget_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least 1, got 0"):
        BlackBox(Told([0.0, 1.0]), budget=0)
