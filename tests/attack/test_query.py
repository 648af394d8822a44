"""What attacks ask of their victim."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch

from agns.attack.agn import AGN
from agns.attack.attack import FrameAttack
from agns.attack.goals import Dodge
from agns.attack.pixel_descent import CCS16, PGD
from agns.attack.pixels import FreePixels
from agns.attack.query import query_gradient, query_logits
from agns.errors import AttackError, ConfigError
from agns.models.dcgan import Discriminator, Generator
from agns.models.recognizer import Recognizer
from agns.types import Faces, Logits, Pixels

METHODS: Mapping[str, FrameAttack] = {
    "agn": AGN(batch=4, samples=4, check_every=2, precision="fp32"),
    "ccs16": replace(CCS16(), steps=3),
    "pgd": replace(PGD(), steps=4),
    "pixels": FreePixels(steps=4),
}


def a_loss(logits: Logits) -> torch.Tensor:
    return (logits[:, 0] - logits[:, 1]) ** 2


def test_a_gradient_is_that_of_the_summed_loss_and_leaves_the_faces_alone(
    frozen: Recognizer, photos: Faces
) -> None:
    leaf = photos[:2].clone().requires_grad_()
    (expected,) = torch.autograd.grad(a_loss(frozen(leaf)).sum(), leaf)
    drawn = leaf * 1.0
    logits, gradient = query_gradient(frozen, drawn, a_loss)
    torch.testing.assert_close(gradient, expected)
    assert not logits.requires_grad
    assert leaf.grad is None
    assert torch.equal(logits, query_logits(frozen, photos[:2]))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_victim_computes_in_the_precision_asked_for(
    frozen: Recognizer, photos: Faces, precision: str
) -> None:
    cast, grad = list[bool](), list[bool]()

    def note(*_: object) -> None:
        cast.append(torch.is_autocast_enabled("cpu"))
        grad.append(torch.is_grad_enabled())

    frozen.register_forward_pre_hook(note)
    logits = query_logits(frozen, photos[:1], precision=precision)
    with torch.no_grad():
        query_gradient(frozen, photos[:1], a_loss, precision=precision)
    assert logits.dtype == torch.float32
    assert cast == [precision == "bf16"] * 2
    assert grad == [False, True]


@pytest.mark.parametrize("name", METHODS)
def test_ctrl_c_while_the_victim_answers_leaves_what_there_is(
    frozen: Recognizer, photos: Faces, gan: tuple[Generator, Discriminator], glasses: Pixels,
    name: str,
) -> None:  # fmt: skip
    asked = 0

    def press(*_: object) -> None:
        nonlocal asked
        asked += 1
        if asked == 3:
            raise KeyboardInterrupt

    frozen.register_forward_pre_hook(press)
    found = METHODS[name].run(
        frozen, photos, Dodge(subject=1, stop=1e-6), frames=glasses[:8], nets=gan
    )
    assert found.stopped_because == "interrupted"
    assert found.frames.shape[1:] == (3, 64, 176)


class Answering:
    """A victim that does whatever it is told."""

    identities = ("Ann", "Bob")

    def __init__(self, answer: Callable[[Faces], object]) -> None:
        self.answer = answer

    def __call__(self, faces: Faces) -> Any:
        return self.answer(faces)


def logits_of(faces: Faces) -> Logits:
    return faces.mean((2, 3))[:, :2]


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (lambda faces: faces.mean((2, 3)), r"should give \(\d+, 2\) logits, got \(\d+, 3\)"),
        (lambda faces: list(logits_of(faces)), "got list"),
        (lambda faces: logits_of(faces).numpy(force=True), "got ndarray"),
        (lambda faces: logits_of(faces)[0], r"got \(2,\)"),
        (lambda faces: logits_of(faces).detach(), "gives no gradient"),
        (lambda faces: logits_of(faces.mul_(0.5)), "let it work on a copy"),
    ],
)
def test_victims_that_no_attack_can_follow_are_refused(
    answer: Callable[[Faces], object], sentence: str, photos: Faces
) -> None:
    for attack in (PGD(steps=2), METHODS["agn"]):
        with pytest.raises(AttackError, match=sentence):
            attack.run(Answering(answer), photos[:2], Dodge("Ann", stop=1e-9))


@pytest.mark.parametrize(
    ("names", "sentence"),
    [(("Ann", "Ann"), "each another"), ((), "at least one"), ({"Ann": 0}, "tuple of names")],
)
def test_victims_without_names_of_their_own_for_each_class_are_refused(
    names: Any, sentence: str, photos: Faces
) -> None:
    victim = Answering(logits_of)
    victim.identities = names
    with pytest.raises(ConfigError, match=sentence):
        PGD(steps=1).run(victim, photos[:1], Dodge(0))


def test_a_task_that_there_is_not_is_refused(photos: Faces) -> None:
    victim: Any = Answering(logits_of)
    victim.task = "closed_set"
    with pytest.raises(ConfigError, match="a victim's task is closed-set, open-set, verification"):
        PGD(steps=1).run(victim, photos[:1], Dodge(0))


def test_true_and_false_are_no_classes(photos: Faces) -> None:
    with pytest.raises(ConfigError, match="by name or class, got True"):
        PGD(steps=1).run(Answering(logits_of), photos[:1], Dodge(True, stop=1e-9))
