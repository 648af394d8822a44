"""Frames as an attack of ART."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.attack.conftest import accustom, build_narrow_gan, measure_briefly
from torch import nn

from agns.accessory.frame import silhouette
from agns.attack import agn
from agns.attack.agn import AGN
from agns.attack.pixel_descent import CCS16
from agns.data.simulation.drawn_frames import draw_frames
from agns.errors import ConfigError, ImageContractError
from agns.types import Faces, Labels

pytest.importorskip("art.attacks", reason="the extra interop is not installed")

from art.attacks import EvasionAttack
from art.attacks.evasion import ProjectedGradientDescent
from art.estimators.classification import PyTorchClassifier

from agns.interop.art import EyeglassesAttack, face_mask

QUICK = CCS16(steps=3, step=0.5)


@pytest.fixture
def classifier(network: nn.Module) -> Callable[..., PyTorchClassifier]:
    def build(**given: object) -> PyTorchClassifier:
        usual = {"clip_values": (0, 1), "input_shape": (3, 224, 224), "device_type": "cpu"}
        return PyTorchClassifier(network, nn.CrossEntropyLoss(), nb_classes=3, **{**usual, **given})

    return build


def test_the_photos_of_each_class_wear_one_frame_and_are_taken_for_others(
    classifier: Callable[..., PyTorchClassifier], faces: Faces, classes: Labels
) -> None:
    estimator, x = classifier(), faces.numpy()
    attack = EyeglassesAttack(estimator, QUICK)
    assert isinstance(attack, EvasionAttack)
    worn = attack.generate(x, classes.numpy())
    assert (worn.dtype, worn.shape) == (x.dtype, x.shape)
    assert (estimator.predict(x).argmax(1) == classes.numpy()).all()
    assert (estimator.predict(worn).argmax(1) != classes.numpy()).all()
    on = silhouette().bool().numpy()
    assert (worn[:, :, ~on] == x[:, :, ~on]).all()
    assert (worn[0][:, on] == worn[3][:, on]).all()
    assert not (worn[0][:, on] == worn[1][:, on]).all()
    assert sorted(attack.results) == [0, 1, 2]


@pytest.mark.parametrize("form", ["numbers", "one-hot"])
def test_a_targeted_attack_goes_for_the_classes_it_is_given(
    classifier: Callable[..., PyTorchClassifier], faces: Faces, classes: Labels, form: str
) -> None:
    estimator, wanted = classifier(), (classes.numpy() + 1) % 3
    y = np.eye(3)[wanted] if form == "one-hot" else wanted
    attack = EyeglassesAttack(estimator, QUICK, targeted=True)
    assert (estimator.predict(attack.generate(faces.numpy(), y)).argmax(1) == wanted).all()
    with pytest.raises(ConfigError, match="needs y"):
        attack.generate(faces.numpy())


def test_without_classes_it_is_what_the_classifier_says(
    classifier: Callable[..., PyTorchClassifier], faces: Faces, classes: Labels
) -> None:
    attack = EyeglassesAttack(classifier(), replace(QUICK, steps=1))
    told, untold = (attack.generate(faces.numpy(), y) for y in (classes.numpy(), None))
    assert (told == untold).all()


def test_a_generative_net_attacks_through_the_classifiers_preprocessing(
    classifier: Callable[..., PyTorchClassifier], faces: Faces, classes: Labels,
    generator: torch.Generator, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    glasses = draw_frames(4)
    nets = accustom(build_narrow_gan(rng=generator), glasses, generator)
    measure_briefly(monkeypatch)
    monkeypatch.setattr(agn, "shipped_nets", lambda: nets)
    monkeypatch.setattr(agn, "frames_of", lambda frames: glasses)
    estimator = classifier(preprocessing=(np.full(3, 0.5), np.full(3, 0.25)))
    x, one = faces[classes == 0].numpy(), np.zeros(2, dtype=int)
    attack = EyeglassesAttack(estimator, AGN(samples=2, batch=2))
    p = np.exp(estimator.predict(attack.generate(x, one)))
    assert (p[:, 0] / p.sum(1)).mean() == pytest.approx(attack.results[0].probability, abs=1e-4)


def test_arts_own_attacks_keep_to_the_frame_by_the_mask(
    classifier: Callable[..., PyTorchClassifier], faces: Faces, classes: Labels
) -> None:
    own = ProjectedGradientDescent(classifier(), eps=1.0, eps_step=0.3, max_iter=2, verbose=False)
    found = own.generate(faces.numpy(), classes.numpy(), mask=face_mask())
    changed = torch.from_numpy(found != faces.numpy()).any(1).any(0)
    assert 0.9 * silhouette().sum() < changed.sum()
    assert not (changed & ~silhouette().bool()).any()


def test_what_cannot_be_attacked_is_refused_in_a_sentence(
    classifier: Callable[..., PyTorchClassifier], network: nn.Module, faces: Faces,
    classes: Labels,
) -> None:  # fmt: skip
    with pytest.raises(ConfigError, match=r"clip_values should be \(0, 1\), got \(0, 255\)"):
        EyeglassesAttack(classifier(clip_values=(0, 255)))
    attack = EyeglassesAttack(classifier(), QUICK)
    with pytest.raises(ConfigError, match=r"a class for each of 5 faces, got \(2,\)"):
        attack.generate(faces.numpy(), np.zeros(2))
    with pytest.raises(ConfigError, match="classes from 0 to 2, got 3"):
        attack.generate(faces.numpy(), classes.numpy() + 1)
    with pytest.raises(ImageContractError, match="224x224 pixels"):
        attack.generate(faces[:, :, :96, :96].numpy(), classes.numpy())
    soft = nn.Sequential(network, nn.Softmax(1))
    estimator = PyTorchClassifier(
        soft, nn.CrossEntropyLoss(), nb_classes=3, input_shape=(3, 224, 224), device_type="cpu"
    )
    with pytest.raises(ConfigError, match="gives probabilities"):
        EyeglassesAttack(estimator, QUICK).generate(faces.numpy(), classes.numpy())
