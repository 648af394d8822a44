"""What validation photos decide: which weights are kept, and when training goes on or stops."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.training.conftest import CONFIG, figures

from agns.data.faces import FaceSet
from agns.models.recognizer import Recognizer
from agns.storage import load_tensors, read_json, under
from agns.training.parallel import Machines
from agns.training.recognizer import train_recognizer
from agns.types import Pixels

pytestmark = pytest.mark.usefixtures("small_openface")


def test_what_no_longer_learns_goes_on_to_the_next_size_and_then_stops(
    tmp_path: Path, faces: FaceSet, glasses: Pixels
) -> None:
    # Hardly any rate, so that the validation loss improves no more once averaging has settled.
    config = replace(CONFIG, epochs=12, sizes=(66, 96), patience=1, rate=1e-12, averaging=0.0)
    train_recognizer(faces, glasses, config, tmp_path / "run")
    epochs = [row["epoch"] for row in figures(tmp_path / "run")]
    assert epochs[0] == 1
    assert 7 in epochs, "the second size begins in the middle"
    assert len(epochs) < 12
    assert read_json(tmp_path / "run" / "scores.json")["epochs"] == len(epochs)


def test_without_validation_photos_the_last_weights_are_kept(
    tmp_path: Path, faces: FaceSet, glasses: Pixels
) -> None:
    config = replace(CONFIG, validation_fraction=0.0, epochs=3)
    recognizer, _ = train_recognizer(faces, glasses, config, tmp_path / "run")
    last = under(load_tensors(tmp_path / "run" / "checkpoint.safetensors")[0], "averaged")
    for name, tensor in recognizer.state_dict().items():
        assert torch.equal(tensor, last[name]), name


def test_whatever_follows_a_validation_loss_that_is_no_number_is_better(
    tmp_path: Path, faces: FaceSet, glasses: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = iter([math.nan, 2.0, math.nan])
    monkeypatch.setattr(
        "agns.training.recognizer.validate", lambda *_, **__: {"validation_loss": next(losses)}
    )
    recognizer, _ = train_recognizer(faces, glasses, replace(CONFIG, epochs=3), tmp_path / "run")
    best = Recognizer.read(tmp_path / "run" / "best.safetensors")
    about = best.record
    assert about["epoch"] == 2
    assert torch.equal(best.backbone.embed.weight, recognizer.backbone.embed.weight)


def test_validation_photos_are_judged_in_the_precision_of_the_steps(
    tmp_path: Path, faces: FaceSet, glasses: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounded: list[bool] = []

    def judge(*_: object, **__: object) -> dict[str, float]:
        rounded.append(torch.is_autocast_enabled("cpu"))
        return {"validation_loss": 1.0, "validation_accuracy": 0.0}

    monkeypatch.setattr("agns.training.recognizer.validate", judge)
    for precision in ("32", "bf16-mixed"):
        fabric = Machines(accelerator="cpu", precision=precision).open()
        train_recognizer(
            faces, glasses, replace(CONFIG, epochs=1), tmp_path / precision, fabric=fabric
        )
    assert rounded == [False, True]
