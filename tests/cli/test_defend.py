"""`agns defend`: what is written is a recogniser to every other command."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.cli.conftest import Run
from tests.training.small_openface import SmallOpenFace

import agns as package
from agns.attack import methods
from agns.campaign.plan import PlanVictim
from agns.cli.loading import known_identities
from agns.data.face_folder import list_identities
from agns.defence.detector import Detected
from agns.defence.masking import Masked
from agns.errors import WeightsError
from agns.models.recognizer import Recognizer
from agns.storage import read_json

PEOPLE = ("Synthetic_000", "Synthetic_001", "Synthetic_002")


@pytest.mark.usefixtures("few_controls", "no_pictures")
def test_masking_is_certified_written_and_attacked(
    agns: Run, weights: Any, folder: Path, shop: Path, tmp_path: Path
) -> None:
    done = agns(
        "defend", "masking", "--recognizer", weights.recognizer, "--faces", folder,
        "--shift", 1, "--filling", "mean", "--out", tmp_path / "run",
    )  # fmt: skip
    assert done.code == 0, done.err
    told = read_json(tmp_path / "run" / "masking.json")
    scores: Any = told["scores"]
    # One region: what is recognised is certified.
    assert scores["photos"] == 12
    assert scores["certified"] == scores["accuracy"]
    assert "stay recognised, whatever a frame" in done.out
    file = tmp_path / "run" / "defence.safetensors"
    victim = package.load(file)
    assert isinstance(victim, Masked)
    assert victim.identities == PEOPLE
    out = tmp_path / "attack"
    done = agns(
        "attack", "impersonate", "--subject", PEOPLE[0], "--target", PEOPLE[1],
        "--recognizer", weights.recognizer, "--defence", file, "--faces", folder,
        "--glasses", shop, "--method", "solid", "--count", 2, "--craft", 2, "--out", out,
        *weights.options[2:],
    )  # fmt: skip
    assert done.code == 0, done.err
    result: Any = read_json(out / "result.json")
    # The frame changes nothing.
    with_frame, without = result["held_out"], result["held_out_without_frame"]
    assert with_frame["mean_probability"] == without["mean_probability"]
    done = agns(
        "defend", "masking", "--recognizer", weights.recognizer, "--faces", folder,
        "--shift", 1, "--out", tmp_path / "run",
    )  # fmt: skip
    assert done.code == 2
    assert "already holds a run" in done.complaint


def test_a_detector_is_trained_on_some_subjects_and_tested_on_others(
    agns: Run, weights: Any, folder: Path, shop: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setitem(methods.METHODS, "pgd", package.PGD(steps=3))  # type: ignore[arg-type]
    given = (
        "defend", "detector", "--recognizer", weights.recognizer, "--faces", folder,
        "--glasses", shop, "--method", "pgd", "--tap", "backbone.0", "--epochs", 2,
        "--batch", 8, "--out", tmp_path / "run",
    )  # fmt: skip
    done = agns(*given, "--tap", "nowhere")
    assert (done.code, "no layer 'nowhere'" in done.complaint) == (2, True)
    done = agns(*given, "--identities", 40)
    sentence = "--identities asks for 40 people, and 3 that the recogniser knows have two photos"
    assert (done.code, sentence in done.complaint) == (2, True)
    for asked, got in ((1, 1), (-1, 0)):
        done = agns(*given, "--identities", asked)
        sentence = f"needs two subjects with photos, got {got}"
        assert (done.code, sentence in done.complaint) == (2, True)
    assert not (tmp_path / "run").exists()
    done = agns(*given, "--identities", 2, "--out", tmp_path / "two")
    assert sorted(one.name for one in (tmp_path / "two" / "frames").iterdir()) == [
        "000.safetensors", "001.safetensors"
    ]  # fmt: skip
    done = agns(*given)
    if "nothing to detect" in done.err:
        pytest.skip("three steps fooled nobody")
    assert done.code == 0, done.err
    told: Any = read_json(tmp_path / "run" / "detector.json")
    assert sorted((*told["training"], *told["held_out"])) == list(PEOPLE)
    assert told["tried"] == 12
    file = tmp_path / "run" / "defence.safetensors"
    victim = package.load(file)
    assert isinstance(victim, Detected)
    with pytest.raises(package.AgnsError, match=r"no model\.safetensors: name .* defence\.safet"):
        package.load(tmp_path / "run")
    folder_for_file = (
        "attack", "dodge", "--subject", PEOPLE[0], "--recognizer", weights.recognizer,
        "--defence", tmp_path / "run", "--faces", folder, "--out", tmp_path / "attack",
    )  # fmt: skip
    done = agns(*folder_for_file)
    assert (done.code, f"name {file}" in done.complaint) == (2, True)
    # Nobody is called so, and nobody is attacked as if.
    assert known_identities(PlanVictim(name="detected", file=str(file))) == PEOPLE
    other = tmp_path / "other.safetensors"
    Recognizer.read(weights.recognizer).write(other)
    assert isinstance(package.load(file), Detected)
    done = agns(
        "attack", "dodge", "--subject", PEOPLE[0], "--recognizer", file, "--defence",
        tmp_path / "nothing", "--faces", folder, "--out", tmp_path / "attack",
    )  # fmt: skip
    assert done.code == 2


def test_occlusion_training_goes_on_from_a_recogniser(
    agns: Run, folder: Path, shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agns.models.families.OpenFace", SmallOpenFace)
    names = tuple(sorted(list_identities(folder)))
    begun = tmp_path / "begun.safetensors"
    Recognizer("of", names).eval().write(begun)
    done = agns(
        "defend", "occlusion", "--recognizer", begun, "--faces", folder, "--glasses", shop,
        "--epochs", 1, "--batch", 4, "--steps", 1, "--stride", 70, "--candidates", 1,
        "--accelerator", "cpu", "--precision", "32", "--out", tmp_path / "run",
    )  # fmt: skip
    assert done.code == 0, done.err
    made = package.load(tmp_path / "run" / "recognizer.safetensors")
    assert isinstance(made, Recognizer)
    assert made.identities == names
    assert made.record["challenge"]["height"] == 70  # type: ignore[index]


def test_a_recogniser_that_went_is_missed(
    agns: Run, weights: Any, folder: Path, tmp_path: Path, write_plan: Callable[[str], Path]
) -> None:
    own = tmp_path / "own.safetensors"
    own.write_bytes(weights.recognizer.read_bytes())
    done = agns(
        "defend", "masking", "--recognizer", own, "--faces", folder, "--filling", "grey",
        "--out", tmp_path / "run",
    )  # fmt: skip
    assert done.code == 0, done.err
    network = Recognizer.read(own)
    with torch.no_grad():
        network.head.weight.add_(1)
    network.write(own)
    with pytest.raises(WeightsError, match="made for another own"):
        package.load(tmp_path / "run" / "defence.safetensors")
