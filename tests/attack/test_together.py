"""Attacks side by side: what each finds is what it finds alone, and the victim is asked once."""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from agns.attack.config import AgnConfig
from agns.attack.descent import CCS16, PGD
from agns.attack.goals import Dodge, Goal, Impersonate
from agns.attack.methods import Method, steps_of
from agns.attack.outcome import FrameOutcome, Outcome
from agns.attack.pixels import PixelConfig
from agns.attack.together import Attack, Question, Steps, answer_alone, attack_together
from agns.errors import AttackError, ImageContractError
from agns.models.dcgan import Discriminator, Generator
from agns.models.recognizer import Recognizer
from agns.types import Faces, Logits, Pixels

NEVER = Dodge(subject=1, stop=1e-6)
AGN = AgnConfig(batch=4, samples=4, check_every=2, precision="fp32")
METHODS: Mapping[str, Method] = {
    "agn": AGN,
    "ccs16": replace(CCS16, steps=3),
    "pgd": replace(PGD, steps=4),
    "pixels": PixelConfig(steps=4),
}
GOALS: tuple[Goal, ...] = (NEVER, Impersonate(subject=0, target=2, stop=1 - 1e-6))


class Counted:
    """Counts how often a victim is asked, and for how many faces."""

    def __init__(self, victim: Recognizer) -> None:
        self.victim, self.faces = victim, list[int]()
        self.autocast = list[bool]()
        victim.register_forward_pre_hook(self.note)

    def note(self, _: torch.nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self.faces.append(len(inputs[0]))
        self.autocast.append(torch.is_autocast_enabled("cpu"))


@pytest.fixture
def parts(gan: tuple[Generator, Discriminator], glasses: Pixels) -> dict[str, object]:
    return {"generator": gan[0], "discriminator": gan[1], "glasses": glasses}


@pytest.fixture
def few(glasses: Pixels) -> Pixels:
    """Two batches of real frames, so that the networks take two steps."""
    return glasses[:8]


def a_loss(logits: Logits) -> Tensor:
    return (logits[:, 0] - logits[:, 1]) ** 2


def asking(faces: Faces, times: int, *, precision: str = "fp32") -> Steps[FrameOutcome]:
    """The plainest attack: goes down a loss, on the faces themselves."""
    reason = "used up its steps"
    history = []
    try:
        for _ in range(times):
            answer = yield Question(worn=faces, loss=a_loss, precision=precision)
            faces = (faces - answer.slope).clamp(0, 1)
            history.append({"probability": float(answer.logits.mean())})
    except KeyboardInterrupt:
        reason = "interrupted"
    return FrameOutcome(
        frames=faces[:, :, :64, :176], probability=0.5, met=False, iterations=len(history),
        seconds=0.0, stopped_because=reason, history=history,
    )  # fmt: skip


def outcomes(found: list[Outcome | Exception]) -> Iterator[Outcome]:
    for one in found:
        assert isinstance(one, Outcome)
        yield one


@pytest.mark.parametrize("name", METHODS)
def test_each_finds_what_it_finds_alone(
    frozen: Recognizer, photos: Faces, parts: dict[str, object], few: Pixels, name: str
) -> None:
    # Each goal, and photos apart and in common.
    cases = [(photos[:3], NEVER), (photos[1:5], GOALS[1])]
    parts = {**parts, "glasses": few}
    alone = [
        answer_alone(frozen, steps_of(METHODS[name], own, goal, **parts)) for own, goal in cases
    ]
    begun = [steps_of(METHODS[name], own, goal, **parts) for own, goal in cases]
    for one, other in zip(outcomes(attack_together(frozen, begun)), alone, strict=True):
        torch.testing.assert_close(one.frames, other.frames, atol=1e-4, rtol=1e-4)
        assert one.probability == pytest.approx(other.probability, abs=1e-5)
        assert (one.iterations, one.met) == (other.iterations, other.met)
    assert not torch.allclose(alone[0].frames[0], alone[1].frames[0], atol=1e-3)


def test_methods_stand_side_by_side(
    frozen: Recognizer, photos: Faces, parts: dict[str, object]
) -> None:
    begun = [steps_of(method, photos, NEVER, **parts) for method in METHODS.values()]
    found = list(outcomes(attack_together(frozen, begun)))
    # One pass over 16 frames by batches of 4.
    assert [one.iterations for one in found] == [4, 3, 4, 4]


def test_the_victim_is_asked_once_a_round_for_all(frozen: Recognizer, photos: Faces) -> None:
    counted = Counted(frozen)
    attack_together(frozen, [asking(photos[:2], 3), asking(photos, 5), asking(photos[:1], 3)])
    assert counted.faces == [9, 9, 9, 6, 6]


def test_it_sees_no_more_faces_at_once_than_allowed_unless_one_attack_asks_for_them(
    frozen: Recognizer, photos: Faces
) -> None:
    counted = Counted(frozen)
    attacks = [asking(photos[:count], 1) for count in (2, 2, 6, 1, 3)]
    attack_together(frozen, attacks, most=4)
    assert counted.faces == [4, 6, 4]


def test_precisions_are_not_mixed(frozen: Recognizer, photos: Faces) -> None:
    counted = Counted(frozen)
    half, whole = asking(photos[:1], 1, precision="bf16"), asking(photos[:3], 1)
    attack_together(frozen, [half, whole, asking(photos[:2], 1)])
    assert dict(zip(counted.faces, counted.autocast, strict=True)) == {1: True, 5: False}


def test_a_slope_is_of_an_attacks_own_loss(frozen: Recognizer, photos: Faces) -> None:
    slopes: list[Tensor] = []

    def noting(faces: Faces, scale: float) -> Steps[FrameOutcome]:
        answer = yield Question(worn=faces, loss=lambda logits: scale * a_loss(logits))
        slopes.append(answer.slope)
        assert not answer.logits.requires_grad
        return answer_alone(frozen, asking(faces, 0))

    attack_together(frozen, [noting(photos[:2], 1.0), noting(photos[2:], 3.0)])
    for own, scale, slope in zip((photos[:2], photos[2:]), (1.0, 3.0), slopes, strict=True):
        leaf = own.clone().requires_grad_()
        (scale * a_loss(frozen(leaf))).sum().backward()
        assert leaf.grad is not None
        torch.testing.assert_close(slope, leaf.grad)


def test_logits_alone_cost_no_gradient(frozen: Recognizer, photos: Faces) -> None:
    def looking() -> Steps[FrameOutcome]:
        answer = yield Question(worn=photos)
        assert len(answer.slope) == 0
        torch.testing.assert_close(answer.logits, frozen(photos))
        return answer_alone(frozen, asking(photos, 0))

    attack_together(frozen, [looking()])


def test_one_that_cannot_be_made_leaves_the_others_alone(frozen: Recognizer, photos: Faces) -> None:
    def failing() -> Steps[FrameOutcome]:
        yield Question(worn=photos)
        raise AttackError("there is nothing to dodge")

    found = attack_together(frozen, [failing(), asking(photos, 2)])
    assert isinstance(found[0], AttackError)
    assert isinstance(found[1], Outcome)
    assert found[1].iterations == 2


def test_what_the_victim_refuses_ends_the_attack_that_asked_alone(
    frozen: Recognizer, photos: Faces
) -> None:
    spoilt = photos[:2].clone()
    spoilt[0, 0, 0, 0] = torch.nan
    found = attack_together(
        frozen, [asking(photos[2:], 3), asking(spoilt, 3), asking(photos[1:], 3)]
    )
    assert isinstance(found[1], ImageContractError)
    alone = answer_alone(frozen, asking(photos[2:], 3))
    assert isinstance(found[0], Outcome)
    assert isinstance(found[2], Outcome)
    torch.testing.assert_close(found[0].frames, alone.frames)
    assert found[2].iterations == 3


def test_ctrl_c_ends_ever_so_many(frozen: Recognizer, photos: Faces) -> None:
    def press(*_: object) -> None:
        raise KeyboardInterrupt

    attacks = [asking(photos[:1], 9) for _ in range(sys.getrecursionlimit())]
    frozen.register_forward_pre_hook(press)
    found = list(outcomes(attack_together(frozen, attacks)))
    assert {one.stopped_because for one in found} == {"interrupted"}


def test_ctrl_c_while_the_victim_answers_leaves_one_attack_what_it_has(
    frozen: Recognizer, photos: Faces, parts: dict[str, object]
) -> None:
    asked = 0

    def press(*_: object) -> None:
        nonlocal asked
        asked += 1
        if asked == 3:
            raise KeyboardInterrupt

    frozen.register_forward_pre_hook(press)
    for method in METHODS.values():
        asked = 0
        found = answer_alone(frozen, steps_of(method, photos, NEVER, **parts))
        assert found.stopped_because == "interrupted"
        assert found.frames.shape[1:] == (3, 64, 176)


def test_ctrl_c_while_the_victim_answers_ends_all_with_what_they_have(
    frozen: Recognizer, photos: Faces
) -> None:
    asked = 0

    def press(*_: object) -> None:
        nonlocal asked
        asked += 1
        if asked == 3:
            raise KeyboardInterrupt

    frozen.register_forward_pre_hook(press)
    found = list(outcomes(attack_together(frozen, [asking(photos, 9), asking(photos, 9)])))
    assert [one.stopped_because for one in found] == ["interrupted"] * 2
    assert [one.iterations for one in found] == [2, 2]


def test_ctrl_c_that_one_attack_takes_for_itself_ends_the_others_too(
    frozen: Recognizer, photos: Faces, parts: dict[str, object]
) -> None:
    def press(done: int, total: int, figures: Mapping[str, float]) -> None:
        if done == 2:
            raise KeyboardInterrupt

    begun: list[Attack] = [
        asking(photos, 99),
        steps_of(AGN, photos, NEVER, progress=press, **parts),
        asking(photos, 99),
    ]
    found = list(outcomes(attack_together(frozen, begun)))
    assert {one.stopped_because for one in found} == {"interrupted"}
    assert found[1].iterations == 2


def test_ctrl_c_before_one_has_anything_is_passed_on(frozen: Recognizer, photos: Faces) -> None:
    def early() -> Steps[FrameOutcome]:
        yield Question(worn=photos)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        attack_together(frozen, [asking(photos, 9), early()])


def test_seconds_are_each_ones_share(frozen: Recognizer, photos: Faces) -> None:
    found = list(outcomes(attack_together(frozen, [asking(photos[:1], 1), asking(photos, 30)])))
    assert 0 < found[0].seconds < found[1].seconds
