"""Experiments on photos of a worn frame: where the crafted one is warped, and so scored."""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from tests.evaluation.conftest import without_pictures
from torch import Tensor

from agns.accessory.frame import place, silhouette
from agns.accessory.placement import FIXED, Placement
from agns.attack.agn import AGN
from agns.attack.goals import Impersonate
from agns.data.faces import FaceSet
from agns.errors import ConfigError
from agns.evaluation.attack_setup import AttackSetup
from agns.evaluation.attack_spec import AttackSpec
from agns.evaluation.controls import control_frames, logits_wearing
from agns.evaluation.metrics import measure_success
from agns.evaluation.prepared_attack import run_attack
from agns.evaluation.score import AttackScore
from agns.geometry import warp
from agns.images import read_image

WORN = AttackSpec(goal="impersonate", subject="Ann", target="Bob", control_frames=3, physical=True)
QUICK = AGN(batch=8, samples=4, generator_rate=5e-3)


@dataclass(frozen=True, kw_only=True)
class Worn:
    """A finished physical attack, its photos, and where each has the frame."""

    report: AttackScore
    out: Path
    photos: FaceSet
    homographies: Tensor


@pytest.fixture(scope="module")
def worn(setup: AttackSetup, crowd: FaceSet, tmp_path_factory: pytest.TempPathFactory) -> Worn:
    own = crowd.of("Ann")
    moved = torch.eye(3).repeat(len(own), 1, 1)
    moved[:, 0, 2] = 9 * torch.arange(len(own))
    moved[:, 1, 2] = 60 - 7 * torch.arange(len(own))
    out = tmp_path_factory.mktemp("worn")
    with without_pictures():
        report = run_attack(
            setup, own, WORN,
            replace(QUICK, jitter=2.0, brightness=0.3), out,
            placement=Placement(homographies=moved),
        )  # fmt: skip
    return Worn(report=report, out=out, photos=own, homographies=moved)


@pytest.mark.parametrize("side", ["craft", "held_out"])
def test_a_physical_score_is_that_of_the_frame_warped_onto_each_photo_undisturbed(
    worn: Worn, setup: AttackSetup, side: str
) -> None:
    own, moved = worn.photos, worn.homographies
    places = torch.tensor([own.photos.index(name) for name in worn.report.photos[side]])
    assert worn.report.result is not None
    frame = place(worn.report.result.frames[:1])[0] * silhouette()
    probabilities = []
    for at in places.tolist():
        layers = warp(torch.cat([frame, silhouette()[None]])[None], moved[at], (224, 224))
        face = own.faces(torch.tensor([at])) * (1 - layers[:, 3:]) + layers[:, :3]
        probabilities.append(float(setup.victim(face).detach().softmax(1)[0, 1]))
    found = worn.report.craft if side == "craft" else worn.report.held_out
    assert found.mean_probability == pytest.approx(sum(probabilities) / len(places), abs=4e-5)


def test_a_wrong_warp_would_change_the_score(worn: Worn, setup: AttackSetup) -> None:
    """What the test above rests on: neither the canvas' place nor another photo's will do."""
    own, moved = worn.photos, worn.homographies
    places = torch.tensor([own.photos.index(name) for name in worn.report.photos["held_out"]])
    frame = read_image(worn.out / "frame.png")[None]
    faces = own.faces(places)
    means = [
        float(
            logits_wearing(setup.victim, faces, frame, placement=placement)[0]
            .softmax(1)[:, 1].mean()
        )
        for placement in (
            Placement(homographies=moved[places]),
            Placement(homographies=moved[places.flip(0)]),
            FIXED,
        )
    ]  # fmt: skip
    assert abs(means[0] - means[1]) > 1e-4
    assert abs(means[0] - means[2]) > 1e-4


def test_physical_controls_are_warped_too(worn: Worn, setup: AttackSetup) -> None:
    own, moved = worn.photos, worn.homographies
    places = torch.tensor([own.photos.index(name) for name in worn.report.photos["held_out"]])
    benign = control_frames(setup.glasses, count=3, rng=torch.Generator().manual_seed(0))["benign"]
    logits = logits_wearing(
        setup.victim, own.faces(places), benign,
        placement=Placement(homographies=moved[places]),
    )  # fmt: skip
    expected = measure_success(Impersonate(subject=0, target=1), logits).mean_probability
    assert worn.report.controls["benign"].mean_probability == pytest.approx(expected, abs=1e-5)


def test_a_physical_experiment_needs_a_homography_for_each_photo(
    setup: AttackSetup, crowd: FaceSet, tmp_path: Path
) -> None:
    for physical, homographies in ((True, None), (False, 5), (True, 2)):
        where = None if homographies is None else torch.eye(3).repeat(homographies, 1, 1)
        with pytest.raises(ConfigError, match="homography for each"):
            run_attack(
                setup, crowd, replace(WORN, physical=physical), QUICK, tmp_path,
                placement=Placement(homographies=where),
            )  # fmt: skip
