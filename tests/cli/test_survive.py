"""`agns survive`: an attack's frame before the camera."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from agns.cli.attack_folder import _places
from agns.data.face_folder import load_faces
from agns.data.simulation.camera import AXES
from agns.images import write_image
from agns.models.recognizer import build_recognizer
from agns.storage import read_json, write_json

Run = Callable[..., Any]


@pytest.fixture
def result(tmp_path: Path) -> Path:
    """What `survive` reads of an attack's results."""
    out = tmp_path / "attack"
    write_image(out / "frame.png", torch.full((3, 64, 176), 0.3))
    held_out = [f"Synthetic_001/Synthetic_001_000{number}.png" for number in (2, 4)]
    write_json(
        out / "result.json",
        {
            "goal": "impersonate",
            "subject": "Synthetic_001",
            "target": "Synthetic_002",
            "photos": {"craft": [], "held_out": held_out},
        },
    )
    return out


def test_success_over_each_axis_is_written_drawn_and_told(
    agns: Run, result: Path, folder: Path, weights: Any, shop: Path
) -> None:
    done = agns(
        "survive", result, "--recognizer", weights.recognizer, "--faces", folder,
        "--glasses", shop, "--benign-frames", 1, "--axis", "quality", "--axis", "light",
    )  # fmt: skip
    assert done.code == 0, done.err
    rows = [line.split() for line in done.out.splitlines()[1:-1]]
    expected = [(name, f"{value:g}") for name in ("quality", "light") for value in AXES[name]]
    assert [tuple(row[:2]) for row in rows] == expected
    told = json.loads((result / "survival.json").read_text(encoding="utf-8"))
    assert [point["worn"]["images"] for point in told["points"]] == [2] * len(rows)
    assert (result / "survival.png").stat().st_size > 5000


def test_an_attack_behind_a_defence_is_photographed_behind_it(
    agns: Run, result: Path, folder: Path, weights: Any, shop: Path
) -> None:
    told = json.loads((result / "result.json").read_text(encoding="utf-8"))
    name = f"{weights.recognizer} behind masking"
    write_json(result / "result.json", {**told, "recognizer": name})
    given = ("survive", result, "--recognizer", weights.recognizer, "--faces", folder,
             "--glasses", shop, "--benign-frames", 1, "--axis", "light")  # fmt: skip
    done = agns(*given, "--defence", "masking")
    assert done.code == 0, done.err
    assert "Warning: the attack was made on" not in done.out + done.err
    # What is behind the mask cannot be told from no frame at all.
    points = json.loads((result / "survival.json").read_text(encoding="utf-8"))["points"]
    again = agns(*given)
    assert again.code == 2
    assert again.complaint.endswith("already holds survival.json: move it away to measure anew")
    (result / "survival.json").unlink()
    assert "Warning: the attack was made on" in (done := agns(*given)).out + done.err
    assert points != json.loads((result / "survival.json").read_text(encoding="utf-8"))["points"]


def test_other_faces_than_the_attacks_are_refused(
    agns: Run, result: Path, weights: Any, folder: Path
) -> None:
    report = read_json(result / "result.json")
    write_json(result / "result.json", {**report, "photos": {"held_out": ["gone.png"]}})
    done = agns("survive", result, "--recognizer", weights.recognizer, "--faces", folder)
    assert (done.code, "gone.png being one" in done.complaint) == (2, True)


def test_held_out_photos_are_found_again_whatever_their_files_are_called(
    agns: Run, result: Path, weights: Any, folder: Path, shop: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    # How the others are photographed is all the same.
    monkeypatch.setitem(AXES, "light", AXES["light"][:1])
    faces = load_faces(folder)
    report = read_json(result / "result.json")
    names = report["photos"]["held_out"]
    digests = [faces.digests[faces.photos.index(name)] for name in names]
    write_json(result / "result.json", {**report, "held_out_digests": digests})
    own = tmp_path / "moved" / "Synthetic_001"
    own.mkdir(parents=True)
    # Each photo bears the name of another, and one that was crafted on is gone.
    for number in (2, 3, 4):
        shutil.copy(
            folder / "Synthetic_001" / f"Synthetic_001_000{number}.png",
            own / f"Synthetic_001_000{number - 1}.png",
        )
    done = agns(
        "survive", result, "--recognizer", weights.recognizer, "--faces", own.parent,
        "--glasses", shop, "--benign-frames", 1, "--axis", "light",
    )  # fmt: skip
    assert done.code == 0, done.err


def test_pictures_of_one_photo_are_told_apart_by_their_names(folder: Path, result: Path) -> None:
    faces = load_faces(folder)
    own = replace(faces.of("Synthetic_001"), digests=("a", "a", "a", "b"))
    report = {"held_out_digests": ["a", "b"]}
    assert _places(own, [own.photos[1], "gone.png"], report, result) == [1, 3]


def test_photos_are_cut_as_the_attack_was_told(
    agns: Run, result: Path, weights: Any, folder: Path
) -> None:
    report = read_json(result / "result.json")
    write_json(result / "result.json", {**report, "config": {"center_crop": 10**4}})
    done = agns("survive", result, "--recognizer", weights.recognizer, "--faces", folder)
    assert done.code == 1
    assert "10000" in done.complaint


@pytest.mark.parametrize(
    ("change", "code", "complaint"),
    [
        ({"physical": True}, 2, "needs bare faces"),
        ({"target": "Nobody"}, 2, "does not know 'Nobody'"),
        ({"photos": {"held_out": []}}, 1, "lists no held-out photos"),
        ({"photos": {}}, 1, "lists no held-out photos"),
        ({"photos": {"held_out": [["a"]]}}, 1, "lists no held-out photos"),
    ],
)
def test_results_that_cannot_be_photographed_are_refused(
    change: dict[str, object], code: int, complaint: str, agns: Run, result: Path, weights: Any,
    folder: Path,
) -> None:  # fmt: skip
    report = read_json(result / "result.json")
    write_json(result / "result.json", {**report, **change})
    done = agns("survive", result, "--recognizer", weights.recognizer, "--faces", folder)
    assert (done.code, complaint in done.complaint) == (code, True)


def test_an_axis_that_there_is_not_is_refused(agns: Run, result: Path) -> None:
    done = agns("survive", result, "--axis", "depth")
    assert (done.code, "no axis 'depth'" in done.complaint) == (2, True)


def test_a_directory_without_results_is_refused(agns: Run, tmp_path: Path) -> None:
    done = agns("survive", tmp_path)
    assert (done.code, "holds no result.json" in done.complaint) == (2, True)
    write_json(tmp_path / "result.json", {"something": "else"})
    done = agns("survive", tmp_path)
    assert (done.code, "not the result of an attack" in done.complaint) == (1, True)


def test_a_recogniser_that_was_trained_on_the_held_out_photos_is_refused(
    agns: Run, result: Path, folder: Path, tmp_path: Path
) -> None:
    faces = load_faces(folder, cache=tmp_path / "cache")
    victim = build_recognizer("tiny", faces.identities, rng=torch.Generator().manual_seed(0))
    victim.record = {"training_photos": faces.digests}
    victim.write(tmp_path / "seen.safetensors")
    done = agns("survive", result, "--recognizer", tmp_path / "seen.safetensors", "--faces", folder)
    assert (done.code, "which the attack held out" in done.complaint) == (2, True)
