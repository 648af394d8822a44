"""`agns recognize`: whom a recogniser sees in photos and folders."""

import functools
import io
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image as PilImage

from agns.data.cache import decode_face
from agns.data.face_folder import load_faces
from agns.images import from_pixels
from agns.models.recognizer import Recognizer, build_recognizer

Run = Callable[..., Any]


@functools.cache
def opened(path: Path) -> Recognizer:
    return Recognizer.read(path)


def likely(weights: Any, path: Path) -> dict[str, float]:
    """Probability of each identity, computed here."""
    recognizer = opened(weights.recognizer)
    face = from_pixels(torch.from_numpy(decode_face(path, center_crop=None))[None])
    with torch.no_grad():
        row = recognizer(face).softmax(1)[0].tolist()
    return dict(zip(recognizer.identities, row, strict=True))


@functools.cache
def accuracies(weights: Any, folder: Path) -> dict[str, float]:
    """Share of each identity's photos recognised, computed here."""
    return {
        person.name: sum(
            max(found := likely(weights, photo), key=found.__getitem__) == person.name
            for photo in person.iterdir()
        )
        / len(list(person.iterdir()))
        for person in folder.iterdir()
    }


def test_a_photo_gets_its_likeliest_identities_in_order(
    agns: Run, weights: Any, folder: Path
) -> None:
    photo = folder / "Synthetic_001" / "Synthetic_001_0001.png"
    done = agns("recognize", photo, "--recognizer", weights.recognizer, "--json", "--top", 2)
    assert done.code == 0
    (found,) = json.loads(done.out)
    assert found["path"] == str(photo)
    expected = sorted(likely(weights, photo).items(), key=lambda pair: -pair[1])[:2]
    assert [choice["identity"] for choice in found["top"]] == [name for name, _ in expected]
    for choice, (_, probability) in zip(found["top"], expected, strict=True):
        assert choice["probability"] == pytest.approx(probability, abs=1e-4)


def test_a_photo_gets_a_table_without_json(agns: Run, weights: Any, folder: Path) -> None:
    photo = folder / "Synthetic_001" / "Synthetic_001_0001.png"
    done = agns("recognize", photo, "--recognizer", weights.recognizer)
    path, _, *rows = done.out.splitlines()
    assert path == str(photo)
    assert {row.split()[0] for row in rows} == {f"Synthetic_00{i}" for i in range(3)}


def test_a_folder_gets_its_accuracies(agns: Run, weights: Any, folder: Path) -> None:
    done = agns("recognize", folder, "--recognizer", weights.recognizer, "--json")
    assert done.code == 0
    (found,) = json.loads(done.out)
    mean = sum(accuracies(weights, folder).values()) / 3
    assert (found["path"], found["photos"]) == (str(folder), 12)
    assert found["accuracy"] == pytest.approx(mean)
    assert found["balanced_accuracy"] == pytest.approx(mean)
    # Its file does not say what it was trained on.
    assert found["not_trained_on"] is None
    assert (found["photos_of_unknown_identities"], found["skipped"]) == (0, 0)


def test_photos_that_training_saw_are_set_apart(
    agns: Run, tmp_path: Path, weights: Any, folder: Path
) -> None:
    faces = load_faces(folder)
    path = tmp_path / "victim.safetensors"
    recognizer = Recognizer.read(weights.recognizer)
    # All but the last identity's.
    recognizer.record = {"training_photos": list(faces.digests[:8])}
    recognizer.write(path)
    done = agns("recognize", folder, "--recognizer", path, "--json")
    (found,) = json.loads(done.out)
    last = accuracies(weights, folder)["Synthetic_002"]
    assert found["photos"] == 12
    assert found["not_trained_on"] == {"photos": 4, "accuracy": last, "balanced_accuracy": last}


def test_photos_of_unknown_identities_are_left_out_and_counted(
    agns: Run, tmp_path: Path, weights: Any, folder: Path
) -> None:
    root = tmp_path / "faces"
    shutil.copytree(folder / "Synthetic_001", root / "Synthetic_001")
    shutil.copytree(folder / "Synthetic_002", root / "Ann")
    done = agns("recognize", root, "--recognizer", weights.recognizer, "--json")
    (found,) = json.loads(done.out)
    assert (found["photos"], found["photos_of_unknown_identities"]) == (4, 4)
    assert found["accuracy"] == accuracies(weights, folder)["Synthetic_001"]


def test_a_folder_of_strangers_alone_is_a_failure(
    agns: Run, tmp_path: Path, weights: Any, folder: Path
) -> None:
    shutil.copytree(folder / "Synthetic_002", tmp_path / "faces" / "Ann")
    done = agns("recognize", tmp_path / "faces", "--recognizer", weights.recognizer)
    assert (done.code, done.out) == (1, "")
    assert "none of the identities" in done.complaint


def test_photos_and_folders_can_be_mixed(agns: Run, weights: Any, folder: Path) -> None:
    photo = folder / "Synthetic_001" / "Synthetic_001_0001.png"
    done = agns("recognize", photo, folder, "--recognizer", weights.recognizer, "--json")
    first, second = json.loads(done.out)
    assert ("top" in first, "accuracy" in second) == (True, True)


def test_the_crop_recorded_in_the_recogniser_is_the_one_taken(
    agns: Run, tmp_path: Path, weights: Any, folder: Path
) -> None:
    photo, large = folder / "Synthetic_001" / "Synthetic_001_0001.png", tmp_path / "large.png"
    canvas = PilImage.new("RGB", (300, 300), (9, 99, 9))
    with PilImage.open(photo) as opened:
        canvas.paste(opened, (38, 38))
    canvas.save(large)
    path = tmp_path / "victim.safetensors"
    network = Recognizer.read(weights.recognizer)
    network.record = {"center_crop": 224}
    network.write(path)
    found = json.loads(agns("recognize", large, photo, "--recognizer", path, "--json").out)
    assert found[0]["top"] == found[1]["top"]


@pytest.mark.parametrize("crop", [0, -5])
def test_a_crop_of_no_size_is_misuse(agns: Run, weights: Any, folder: Path, crop: int) -> None:
    photo = folder / "Synthetic_001" / "Synthetic_001_0001.png"
    done = agns("recognize", photo, "--recognizer", weights.recognizer, "--center-crop", crop)
    assert (done.code, done.out) == (2, "")


def test_a_photo_that_is_not_there_is_misuse(agns: Run, tmp_path: Path, weights: Any) -> None:
    done = agns("recognize", tmp_path / "none.png", "--recognizer", weights.recognizer)
    assert (done.code, done.out) == (2, "")
    assert done.complaint == f"there is no picture {tmp_path / 'none.png'}"


def test_a_photo_of_another_size_fails_with_a_way_out(
    agns: Run, tmp_path: Path, weights: Any
) -> None:
    PilImage.new("RGB", (300, 200)).save(tmp_path / "a.png")
    done = agns("recognize", tmp_path / "a.png", "--recognizer", weights.recognizer)
    assert (done.code, done.out) == (1, "")
    assert "--center-crop" in done.complaint


def test_a_generator_does_not_recognise(agns: Run, weights: Any, folder: Path) -> None:
    done = agns("recognize", folder, "--recognizer", weights.generator)
    assert done.code == 1
    assert done.complaint == f"{weights.generator} holds no recogniser written by agns"


@pytest.fixture
def partly_broken(tmp_path: Path, folder: Path) -> Path:
    """A face folder with two pictures that do not decode."""
    root = tmp_path / "faces"
    shutil.copytree(folder, root)
    for name in ("Synthetic_000/a.png", "Synthetic_001/b [red].jpg"):
        (root / name).write_text("not a picture", encoding="utf-8")
    return root


def test_json_is_alone_and_names_every_picture_left_out(
    agns: Run, weights: Any, partly_broken: Path
) -> None:
    done = agns(
        "recognize", partly_broken, "--recognizer", weights.recognizer, "--skip-unreadable",
        "--json",
    )  # fmt: skip
    (found,) = json.loads(done.out)
    assert (done.code, found["skipped"], len(found["left_out"])) == (0, 2, 2)
    for sentence, name in zip(found["left_out"], ("a.png", "b [red].jpg"), strict=True):
        assert name in sentence


def test_every_picture_left_out_is_named_without_json_too(
    agns: Run, weights: Any, partly_broken: Path
) -> None:
    done = agns("recognize", partly_broken, "--recognizer", weights.recognizer, "--skip-unreadable")
    assert sum(name in done.out for name in ("a.png", "b [red].jpg")) == 2


def test_a_photo_that_does_not_decode_is_left_out_like_those_of_folders(
    agns: Run, weights: Any, partly_broken: Path
) -> None:
    good = partly_broken / "Synthetic_000/Synthetic_000_0001.png"
    bad = partly_broken / "Synthetic_000/a.png"
    call = ("recognize", "--recognizer", weights.recognizer, "--skip-unreadable", "--json")
    first, second = json.loads(agns(*call, bad, good).out)
    assert (first["path"], str(bad) in first["left_out"]) == (str(bad), True)
    assert second["path"] == str(good)
    alone = agns(*call, bad)
    assert (alone.code, alone.out, str(bad) in alone.complaint) == (1, "", True)


def test_output_that_lacks_a_names_letters_gets_escapes(
    agns: Run, tmp_path: Path, weights: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = tmp_path / "\u5f35 \xe9.png"
    shutil.copy(folder / "Synthetic_001" / "Synthetic_001_0001.png", photo)
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="latin-1"))
    done = agns("recognize", photo, "--recognizer", weights.recognizer)
    sys.stdout.flush()
    assert done.code == 0
    assert written.getvalue().splitlines()[0].endswith(b"\\u5f35 \xe9.png")


def test_a_single_photo_is_recognised_and_an_empty_folder_is_passed_over(
    agns: Run, tmp_path: Path, weights: Any, folder: Path
) -> None:
    root = tmp_path / "faces"
    (root / "Synthetic_000").mkdir(parents=True)
    (root / "Synthetic_001").mkdir()
    shutil.copy(folder / "Synthetic_001" / "Synthetic_001_0001.png", root / "Synthetic_001")
    done = agns("recognize", root, "--recognizer", weights.recognizer, "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)[0]["photos"] == 1
    assert "Synthetic_000 (a folder without pictures)" in done.err


def test_a_photo_saved_anew_of_one_trained_on_counts_as_trained_on(
    agns: Run, tmp_path: Path, weights: Any, folder: Path
) -> None:
    root = tmp_path / "faces"
    shutil.copytree(folder / "Synthetic_001", root / "Synthetic_001")
    trained = root / "Synthetic_001" / "Synthetic_001_0001.png"
    with PilImage.open(trained) as picture:
        picture.convert("RGB").save(trained.with_name("again.jpg"), quality=70)
    faces = load_faces(root)
    path = tmp_path / "victim.safetensors"
    seen = faces.digests[faces.photos.index("Synthetic_001/Synthetic_001_0001.png")]
    recognizer = Recognizer.read(weights.recognizer)
    recognizer.record = {"training_photos": [seen]}
    recognizer.write(path)
    done = agns("recognize", root, "--recognizer", path, "--json")
    (found,) = json.loads(done.out)
    assert (found["photos"], found["not_trained_on"]["photos"]) == (5, 3)


def test_photos_cut_otherwise_than_those_trained_on_are_misuse(
    agns: Run, tmp_path: Path, weights: Any, folder: Path
) -> None:
    path = tmp_path / "victim.safetensors"
    network = Recognizer.read(weights.recognizer)
    network.record = {"training_photos": ["some"]}
    network.write(path)
    done = agns("recognize", folder, "--recognizer", path, "--center-crop", 200)
    assert (done.code, "nobody could tell which it has seen" in done.complaint) == (2, True)


def test_a_folder_from_a_mac_is_recognised(
    agns: Run, tmp_path: Path, folder: Path, generator: torch.Generator
) -> None:
    root, path = tmp_path / "faces", tmp_path / "victim.safetensors"
    shutil.copytree(folder / "Synthetic_001", root / "Jose\u0301")
    build_recognizer("tiny", ("Ann", "Jos\u00e9"), rng=generator).write(path)
    done = agns("recognize", root, "--recognizer", path, "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)[0]["photos"] == 4


def test_photos_that_do_not_decode_are_counted(agns: Run, weights: Any, tmp_path: Path) -> None:
    photos = [tmp_path / f"{number}.png" for number in range(2)]
    for photo in photos:
        photo.write_text("not a picture")
    done = agns("recognize", *photos, "--recognizer", weights.recognizer)
    assert done.code == 1
    assert f"{photos[0]} does not decode" in done.complaint
    assert "another does not decode either: --skip-unreadable" in done.complaint
