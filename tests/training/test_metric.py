"""The loop of metric pretraining: what a run leaves, resuming, learning, who is left out."""

import json
import statistics
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.training.conftest import BrokenOff

from agns.data.faces import FaceSet
from agns.data.simulation.synthetic import SyntheticConfig, synthetic_faces
from agns.errors import ConfigError
from agns.models.backbone import Backbone
from agns.storage import load_tensors, read_json
from agns.training.metric import train_metric
from agns.training.run import Provenance
from agns.training.training_data import TrainingData, split_glasses, split_photos
from agns.training.triplets import MetricTraining
from agns.types import Pixels

pytestmark = pytest.mark.usefixtures("small_openface")

CONFIG = MetricTraining(epochs=2, identities=3, photos=2)
ABOUT = Provenance(source="drawn")


@pytest.fixture(scope="module")
def people() -> FaceSet:
    """Five photos of each of eight people who do not exist."""
    return synthetic_faces(SyntheticConfig(identities=8, photos=5))


@pytest.fixture(scope="module")
def whole(
    small_openface: None, tmp_path_factory: pytest.TempPathFactory, people: FaceSet, glasses: Pixels
) -> Path:
    """An unbroken run."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    train_metric(people, glasses, CONFIG, out, about=ABOUT)
    return out


def test_a_run_leaves_figures_of_each_epoch_and_of_the_end(whole: Path) -> None:
    rows = [json.loads(line) for line in (whole / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2]
    assert all({"loss", "verification_accuracy", "auc", "eer"} <= row.keys() for row in rows)
    scores = read_json(whole / "scores.json")
    assert scores["accuracy"] == pytest.approx(rows[-1]["verification_accuracy"])
    assert scores["identities"] == 4
    assert read_json(whole / "roc.json").keys() == {"false_acceptance", "true_acceptance"}


def test_neither_test_photos_nor_verified_identities_are_trained_on(
    whole: Path, people: FaceSet
) -> None:
    metadata = Backbone.read(whole / "backbone.safetensors").record
    trained = set(metadata["training_photos"])
    split = split_photos(people, held_fraction=0.2, validation_fraction=0.1, seed=0)
    left_out = torch.cat([split.validation, split.test]).tolist()
    held = {people.digests[place] for place in left_out}
    verified = read_json(whole / "config.json")["config"]["identities_verified"]
    theirs = {people.digests[i] for name in verified for i in people.places_of(name).tolist()}
    assert len(verified) == 4
    assert trained
    assert trained & (held | theirs) == set()


def test_frames_that_recognisers_are_tested_with_are_not_trained_with(
    tmp_path: Path, people: FaceSet, glasses: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    worn = []

    def note(data: TrainingData, *arguments: object, **rest: object) -> None:
        worn.append((data.glasses, data.frame_choices))
        raise ConfigError("far enough")

    monkeypatch.setattr("agns.training.metric.augment", note)
    with pytest.raises(ConfigError, match="far enough"):
        train_metric(people, glasses, CONFIG, tmp_path / "run", about=ABOUT)
    ((own, choices),) = worn
    assert torch.equal(own, split_glasses(glasses)[0])
    assert len(own) == 29
    assert int(choices.max()) == 28


@pytest.mark.parametrize("interruption", [BrokenOff, KeyboardInterrupt])
def test_a_run_broken_off_and_resumed_ends_bit_for_bit_as_an_unbroken_one(
    whole: Path,
    tmp_path: Path,
    people: FaceSet,
    glasses: Pixels,
    interruption: type[BaseException],
) -> None:
    steps: list[int] = []

    def break_off(done: int, total: int, figures: Mapping[str, float]) -> None:
        if done == total // 2 + 1:
            raise interruption

    out = tmp_path / "broken"
    with pytest.raises(interruption):
        train_metric(people, glasses, CONFIG, out, about=ABOUT, progress=break_off)
    train_metric(
        people, glasses, CONFIG, out, about=ABOUT, resume=True,
        progress=lambda done, *_: steps.append(done),
    )  # fmt: skip
    # Only what interrupts between steps leaves them.
    of_epoch = steps[-1] // 2
    assert steps[0] == of_epoch + (2 if interruption is KeyboardInterrupt else 1)
    expected, found = (load_tensors(run / "backbone.safetensors")[0] for run in (whole, out))
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name
    assert (out / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()


def test_resuming_on_other_pictures_of_the_same_names_is_refused(
    whole: Path, people: FaceSet, glasses: Pixels
) -> None:
    others = replace(people, pixels=people.pixels.flip(2))
    with pytest.raises(ConfigError, match="40 of its 40 are not among these, and 40 of these"):
        train_metric(others, glasses, CONFIG, whole, about=ABOUT, resume=True)


def test_the_loss_falls(tmp_path: Path, people: FaceSet, glasses: Pixels) -> None:
    config = replace(CONFIG, epochs=10, glasses_share=0.0, erased_share=0.0, seed=1)
    train_metric(people, glasses, config, tmp_path / "run", about=ABOUT)
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    losses = [json.loads(line)["loss"] for line in lines]
    # Its few triplets differ from epoch to epoch: the middle of several tells.
    assert statistics.median(losses[2:]) < 0.8 * statistics.mean(losses[:2])


def test_more_identities_in_a_step_than_there_are_is_misuse(
    tmp_path: Path, people: FaceSet, glasses: Pixels
) -> None:
    config = replace(CONFIG, identities=5)
    with pytest.raises(ConfigError, match="a step takes 5 identities, and 4 are left"):
        train_metric(people, glasses, config, tmp_path / "run", about=ABOUT)
