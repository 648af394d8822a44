"""Frames as an attack of foolbox."""

import pytest
import torch
from torch import nn

from agns.accessory.frame import silhouette
from agns.attack.pixel_descent import CCS16
from agns.errors import ConfigError
from agns.types import Faces, Labels

pytest.importorskip("foolbox", reason="the extra interop is not installed")

import foolbox
from foolbox.criteria import Misclassification, TargetedMisclassification

from agns.interop.foolbox import EyeglassesAttack

QUICK = CCS16(steps=3, step=0.5)


@pytest.fixture
def model(network: nn.Module) -> foolbox.PyTorchModel:
    return foolbox.PyTorchModel(network, bounds=(0, 1), device="cpu")


@pytest.mark.parametrize("targeted", [False, True])
def test_it_is_called_as_foolbox_calls_attacks(
    model: foolbox.PyTorchModel, faces: Faces, classes: Labels, targeted: bool
) -> None:
    wanted = (classes + 1) % 3
    criterion = TargetedMisclassification(wanted) if targeted else Misclassification(classes)
    attack = EyeglassesAttack(QUICK)
    assert isinstance(attack, foolbox.attacks.base.Attack)
    raw, clipped, is_adv = attack(model, faces, criterion, epsilons=None)
    assert torch.equal(raw, clipped)
    assert is_adv.tolist() == [True] * 5
    found = model(raw).argmax(1)
    assert (found == wanted).all() if targeted else (found != classes).all()
    on = silhouette().bool()
    assert torch.equal(raw[:, :, ~on], faces[:, :, ~on])
    assert sorted(attack.results) == [0, 1, 2]


def test_labels_stand_for_misclassification_and_a_distance_may_clip(
    model: foolbox.PyTorchModel, faces: Faces, classes: Labels
) -> None:
    attack = EyeglassesAttack(QUICK, distance=foolbox.distances.linf)
    raw, clipped, is_adv = attack(model, faces, classes, epsilons=[0.01, 1.0])
    assert is_adv[1].all()
    assert not is_adv[0].any()
    assert float((clipped[0] - faces).abs().max()) == pytest.approx(0.01, abs=1e-6)
    assert torch.equal(clipped[1], raw[1])


def test_what_cannot_be_attacked_is_refused_in_a_sentence(
    model: foolbox.PyTorchModel, faces: Faces, classes: Labels
) -> None:
    attack = EyeglassesAttack(QUICK)
    with pytest.raises(ConfigError, match=r"bounds should be \(0, 1\), got \(-1, 1\)"):
        attack(model.transform_bounds((-1, 1)), faces, classes, epsilons=None)
    with pytest.raises(ConfigError, match="PyTorch tensor, got NumPyTensor"):
        attack(model, faces.numpy(), classes.numpy(), epsilons=None)
    both = Misclassification(classes) & Misclassification(classes)
    with pytest.raises(ConfigError, match="should be Misclassification or Targeted"):
        attack(model, faces, both, epsilons=None)
