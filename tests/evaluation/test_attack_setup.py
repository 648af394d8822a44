"""What attacks share: controls that are judged once."""

import pytest
import torch

from agns.accessory.placement import FIXED, Placement
from agns.data.faces import FaceSet
from agns.evaluation import attack_setup as module
from agns.evaluation.attack_setup import AttackSetup
from agns.types import Faces


def faces_of(photos: FaceSet) -> Faces:
    return photos.faces(torch.arange(len(photos)))


def test_controls_are_judged_once_for_all_attacks_on_the_same_photos(
    setup: AttackSetup, crowd: FaceSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = crowd.of("Ann")
    first = setup.control_logits(faces_of(own), FIXED, count=2, seed=3)
    monkeypatch.setattr(module, "logits_wearing", lambda *_, **__: pytest.fail("judged again"))
    assert setup.control_logits(faces_of(own), FIXED, count=2, seed=3) is first


@pytest.mark.parametrize("other", ["photos", "count", "seed", "marks"])
def test_controls_of_other_photos_are_judged_anew(
    setup: AttackSetup, crowd: FaceSet, other: str
) -> None:
    own = crowd.of("Ann")
    first = setup.control_logits(faces_of(own), FIXED, count=2, seed=3)["noise"]
    photos = own.subset(torch.arange(len(own) - 1)) if other == "photos" else own
    moved = torch.eye(3).expand(len(own), 3, 3).clone()
    moved[:, 1, 2] = 20
    again = setup.control_logits(
        faces_of(photos),
        Placement(homographies=moved) if other == "marks" else FIXED,
        count=3 if other == "count" else 2,
        seed=4 if other == "seed" else 3,
    )["noise"]
    assert first.shape != again.shape or not torch.equal(first, again)
