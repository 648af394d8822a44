"""Signs that a recogniser is not what it should be."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from agns.data.faces import FaceSet
from agns.evaluation.sanity import examine
from agns.models.black_box import BlackBox
from agns.models.families import InputContract
from agns.models.recognizer import Recognizer


class Changed(nn.Module):
    """A head whose logits go through something else."""

    def __init__(self, head: nn.Module, change: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.inner, self.change = head, change

    def forward(self, descriptors: Tensor) -> Tensor:
        return self.change(self.inner(descriptors))


def doubts(recognizer: Recognizer, crowd: FaceSet) -> list[str]:
    return examine(recognizer, crowd.faces(torch.arange(len(crowd))), crowd.labels)


@pytest.fixture
def changed(recognizer: Recognizer) -> Recognizer:
    return copy.deepcopy(recognizer).eval()


def test_a_sound_recogniser_raises_no_doubt(recognizer: Recognizer, crowd: FaceSet) -> None:
    assert doubts(recognizer, crowd) == []


def test_training_mode_is_told(changed: Recognizer, crowd: FaceSet) -> None:
    changed.head.train()
    assert "training mode" in doubts(changed, crowd)[0]


def test_answers_that_change_are_told(changed: Recognizer, crowd: FaceSet) -> None:
    draws = torch.Generator().manual_seed(0)
    changed.head = Changed(changed.head, lambda x: x + torch.randn(x.shape, generator=draws))
    changed.eval()
    assert any("same photos again" in doubt for doubt in doubts(changed, crowd))


def test_probabilities_in_place_of_logits_are_told(changed: Recognizer, crowd: FaceSet) -> None:
    changed.head = Changed(changed.head, lambda x: x.softmax(1))
    changed.eval()
    assert any("are probabilities" in doubt for doubt in doubts(changed, crowd))


def test_photos_that_are_not_recognised_are_told(changed: Recognizer, crowd: FaceSet) -> None:
    changed.head = Changed(changed.head, lambda x: x.roll(1, 1))
    changed.eval()
    assert "it recognises only 0%" in doubts(changed, crowd)[0]


def test_a_backbone_that_brings_faces_to_its_range_itself_is_examined(crowd: FaceSet) -> None:
    recognizer = Recognizer("dlib", crowd.identities).eval()
    some = torch.arange(4)
    found = examine(recognizer, crowd.faces(some), crowd.labels[some])
    assert not any("its range is off" in doubt for doubt in found)


def test_another_range_is_told(changed: Recognizer, crowd: FaceSet) -> None:
    own = changed.contract
    other = (0.0, 1.0) if own.low < 0 else (-1.0, 1.0)
    changed.contract = InputContract(size=own.size, low=other[0], high=other[1])
    found = doubts(changed, crowd)
    assert any(f"when faces are put in [{own.low:g}, {own.high:g}]" in doubt for doubt in found)


def test_another_order_of_colours_is_told(changed: Recognizer, crowd: FaceSet) -> None:
    class Backwards(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, faces: Tensor) -> Tensor:
            descriptor: Tensor = self.inner(faces.flip(1))
            return descriptor

    changed.backbone = Backwards(changed.backbone)
    changed.eval()
    assert any("red and blue exchanged" in doubt for doubt in doubts(changed, crowd))


def test_gradients_that_vanish_are_told(changed: Recognizer, crowd: FaceSet) -> None:
    changed.head = Changed(changed.head, lambda x: x.round() + 0 * x)
    changed.eval()
    assert any("gradient vanishes on 100%" in doubt for doubt in doubts(changed, crowd))


def test_answers_that_hang_on_the_photos_beside_are_told(
    changed: Recognizer, crowd: FaceSet
) -> None:
    changed.head = Changed(changed.head, lambda x: x + x.mean(0))
    changed.eval()
    assert any("same photos again" in doubt for doubt in doubts(changed, crowd))


def test_logits_that_are_not_finite_are_told(changed: Recognizer, crowd: FaceSet) -> None:
    changed.head = Changed(changed.head, lambda x: x * torch.nan)
    changed.eval()
    assert doubts(changed, crowd) == ["its logits are not finite"]


def test_who_gives_no_gradient_is_told_and_asked_beyond_its_budget(
    recognizer: Recognizer, crowd: FaceSet
) -> None:
    class Remote:
        identities = recognizer.identities

        def __call__(self, faces: Tensor) -> Tensor:
            return recognizer(faces).detach()

    box = BlackBox(recognizer, budget=1, decisions_only=True)
    for victim in (Remote(), box):
        (doubt,) = examine(victim, crowd.faces(torch.arange(len(crowd))), crowd.labels)
        assert doubt == "it gives no gradient: attacks that follow one cannot be made on it"
    assert box.queries == 0
