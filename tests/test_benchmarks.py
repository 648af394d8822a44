"""What the benchmarks time still runs, and what they tell is what runs wrote."""

import runpy
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from tests.training.small_openface import SmallOpenFace

from agns.models.recognizer import build_recognizer
from agns.models.victim import freeze
from agns.storage import write_json
from agns.training.recipe import RECIPES
from agns.training.triplets import MetricTraining

BENCHMARKS = sorted((Path(__file__).parents[1] / "benchmarks").glob("*.py"))
RECOGNIZERS = runpy.run_path(str(Path(__file__).parents[1] / "benchmarks" / "recognizers.py"))
SPEED = runpy.run_path(str(Path(__file__).parents[1] / "benchmarks" / "speed.py"))


@pytest.mark.parametrize("half", [False, True])
def test_a_timed_attack_gradient_is_one_for_each_frame(half: bool) -> None:
    identities = tuple("abcdefghij")
    victim = build_recognizer("of10", identities, rng=torch.Generator().manual_seed(0))
    gradients = SPEED["attack_gradient"](freeze(victim), 2, half)()
    assert gradients.shape == (2, 3, 64, 176)
    assert bool((gradients.flatten(1).norm(dim=1) > 0).all())
    assert bool(gradients.isfinite().all())


def test_a_timed_look_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agns.models.families.OpenFace", SmallOpenFace)
    victim = freeze(build_recognizer("of", ("a", "b"), rng=torch.Generator().manual_seed(0)))
    found = SPEED["check"](victim, False)()
    assert found.frames.shape[1:] == (3, 64, 176)


@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda path: path.stem)
def test_a_benchmark_says_what_it_takes(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [str(path), "--help"])
    with pytest.raises(SystemExit) as left:
        runpy.run_path(str(path), run_name="__main__")
    assert left.value.code == 0


def test_runs_stand_side_by_side_with_their_commands(tmp_path: Path) -> None:
    versions = {"torch": "2.13.0"}
    machine = {"processor": "Abacus", "cores": 2, "gpu": None}
    about = {"source": "lfw143", "precision": "32", "start": "emb/backbone.safetensors"}
    recipe = replace(RECIPES["of143"], epochs=7, seed=3, sizes=(66, 96), validation_fraction=0.0)
    small, embedding = tmp_path / "small", tmp_path / "embedding"
    config = {**asdict(recipe), **about, "identities": ["a", "b"]}
    write_json(small / "config.json", {"config": config, "versions": versions, "machine": machine})
    scores = {
        "photos": 826, "accuracy": 0.7512, "balanced_accuracy": 0.65, "naive_dodging": 0.25,
        "training_seconds": 90.0, "epochs": 5.0,
    }  # fmt: skip
    write_json(small / "scores.json", scores)
    config = {**asdict(MetricTraining(margin=0.3)), **about}
    write_json(embedding / "config.json", {"config": config, "versions": versions})
    scores = {
        "accuracy": 0.8, "standard_error": 0.012, "eer": 0.21, "auc": 0.9, "pairs": 600,
        "training_seconds": 600.0,
    }  # fmt: skip
    write_json(embedding / "scores.json", scores)
    text = RECOGNIZERS["tell"]([small, embedding])
    assert (
        "| small | 75.1% | 65.0% | 25.0% | 826 | 5 of 7 | 2 min | 2 cores of Abacus, 32 |" in text
    )
    assert "| embedding | 80.0% | 1.2% | 21.0% | 0.900 | 600 | 10 min | not recorded |" in text
    assert (
        "- `small`: `agns train recognizer --arch of143 --faces lfw143 "
        "--init emb/backbone.safetensors --sizes 66,96 --epochs 7 --seed 3 "
        "--validation-fraction 0.0 --out RUN`" in text
    )
    assert "- `embedding`: `agns train metric --faces lfw143 --margin 0.3 --out RUN`" in text
