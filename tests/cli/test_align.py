"""`agns align`: photos to the canonical pose."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from agns.data import landmark_finding
from agns.data.alignment import POSES
from agns.data.landmarks import read_landmarks, write_landmarks
from agns.images import read_image, write_image

Run = Callable[..., Any]


@pytest.fixture(autouse=True)
def only_dlib(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where MediaPipe is not installed."""
    monkeypatch.setitem(sys.modules, "mediapipe", None)
    monkeypatch.setattr("agns.cli.align.workers", lambda: 1)


@pytest.fixture
def photo(tmp_path: Path, portrait: torch.Tensor) -> Path:
    write_image(tmp_path / "collins.png", portrait)
    return tmp_path / "collins.png"


@pytest.fixture
def photos(tmp_path: Path, portrait: torch.Tensor) -> Path:
    root = tmp_path / "photos"
    for name in ("Ada/1.png", "Ada/2.png", "Ben/1.png"):
        write_image(root / name, portrait)
    write_image(root / "Ben/wall.png", torch.full((3, 50, 70), 0.4))
    return root


def test_a_folder_is_aligned_and_summed_up(agns: Run, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "aligned"
    done = agns("align", photos, out)
    assert done.code == 0
    assert done.out.splitlines() == [
        "3 of 4 photos are aligned; 0 of them show several faces; 1 shows no face that was found; "
        "0 do not decode",
        f"Wrote {out / 'alignment.csv'}",
    ]
    listed = agns("faces", "list", out, "--minimum-photos", 1)
    assert (listed.code, "Ada" in listed.out) == (0, True)


def test_what_is_left_out_is_counted_and_on_record(agns: Run, tmp_path: Path) -> None:
    source, marks, out = tmp_path / "photos", tmp_path / "marks", tmp_path / "aligned"
    write_image(source / "a.png", torch.full((3, 224, 224), 0.4))
    # The content counts, not the name; the landmarks' file is called as the whole name.
    (source / "a.png").rename(source / "subject01.happy")
    write_landmarks(marks / "subject01.happy.csv", POSES["canonical"].points)
    (source / "b.HEIC").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    (source / "@eaDir").mkdir()
    for _ in range(2):
        done = agns("align", source, out, "--landmarks", marks)
        assert done.code == 0
        assert "1 of 1 photos are aligned" in done.out
        assert f"2 left out, such as {source / '@eaDir'} (a folder that a system" in done.out
    record = (out / "alignment.csv").read_text()
    assert "b.HEIC" in record
    assert "left out" in record
    assert (out / "subject01.happy.png").is_file()


def test_a_single_photo_becomes_a_single_picture(agns: Run, photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "face.png"
    done = agns("align", photo, out, "--export-landmarks", tmp_path / "marks")
    assert (done.code, done.out) == (0, f"Wrote {out}\n")
    assert read_image(out, size=(224, 224)) is not None
    found = read_landmarks(tmp_path / "marks/collins.csv")
    again = agns(
        "align", photo, tmp_path / "again.png", "--landmarks", tmp_path / "marks/collins.csv"
    )
    assert again.code == 0
    apart = (read_image(tmp_path / "again.png") - read_image(out)).abs()
    assert float(apart.max()) <= 1.01 / 255
    assert 80 < float(found[30, 0]) < 120


def test_landmarks_counted_from_1_are_shifted(agns: Run, tmp_path: Path) -> None:
    write_image(tmp_path / "face.png", torch.rand(3, 224, 224))
    for first in (0, 1):
        write_landmarks(tmp_path / f"{first}.csv", POSES["canonical"].points + first)
        done = agns(
            "align", tmp_path / "face.png", tmp_path / f"out{first}.png",
            "--landmarks", tmp_path / f"{first}.csv", "--first-pixel", first,
        )  # fmt: skip
        assert done.code == 0
    assert torch.equal(read_image(tmp_path / "out0.png"), read_image(tmp_path / "out1.png"))


def test_openfaces_pose_is_asked_for_by_name(agns: Run, photo: Path, tmp_path: Path) -> None:
    assert agns("align", photo, tmp_path / "face.png", "--pose", "openface").code == 0
    assert read_image(tmp_path / "face.png", size=(96, 96)) is not None


def test_photos_without_any_face_are_a_failure(agns: Run, tmp_path: Path) -> None:
    write_image(tmp_path / "photos/wall.png", torch.full((3, 50, 70), 0.4))
    done = agns("align", tmp_path / "photos", tmp_path / "out")
    assert done.code == 1
    assert "no face to be found in" in done.complaint
    single = agns("align", tmp_path / "photos/wall.png", tmp_path / "out.png")
    assert (single.code, "wall.png" in single.complaint) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["{photos}"], "name what to align"),
        (["{photos}/gone", "{out}"], "there is no picture or folder"),
        (["{photos}", "{out}", "--landmarks", "{out}"], "there is no file or folder of landmarks"),
        (["{photos}", "{out}", "--first-pixel", "1"], "belongs to --landmarks"),
        (["{photos}", "{out}", "--first-pixel", "0"], "belongs to --landmarks"),
        (["{photos}", "{out}.png"], "one photo alone"),
        (["{photos}/Ada/1.png", "{out}.webp"], "ends in .jpg, .jpeg, .png, got"),
        (["{photos}", "{out}", "--all-faces", "--central"], "not both"),
        (["{photos}", "{out}", "--landmarker", "{photos}/none.task"], "no landmarker model"),
        (["{photos}", "{out}", "--workers", "-1"], "at least 0"),
        (["{photos}/Ada/1.png", "{photos}/Ada/1.png"], "is already there"),
        (["{photos}/Ada/1.png", "{photos}/Ada"], "lies in"),
        (["{photos}", ""], "not the current folder"),
        (["{photos}", "{out}", "--landmarks", "{photos}", "--central"], "leave out"),
        (["{photos}", "{out}", "--landmarks", "{photos}", "--finder", "dlib"], "leave out"),
        (["{photos}", "{out}", "--export-landmarks", "{photos}/Ada/1.png"], "is a file"),
    ],
)
def test_misuse_is_one_sentence(
    arguments: list[str], complaint: str, agns: Run, photos: Path, tmp_path: Path
) -> None:
    done = agns("align", *(part.format(photos=photos, out=tmp_path / "out") for part in arguments))
    assert done.code == 2
    assert complaint in done.complaint


def test_inputs_are_looked_at_before_a_model_is_fetched(
    agns: Run, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(landmark_finding, "landmarker_model", None)
    for source, out in (("gone", "out"), ("gone.png", "out.png"), ("Ada", "out.png")):
        done = agns("align", photos / source, tmp_path / out)
        assert done.code == 2, done.err


def test_the_finder_can_be_named_with_its_model(
    agns: Run, photo: Path, tmp_path: Path, dlib_model: Path
) -> None:
    for name, options in (("one", ()), ("two", ("--finder", "dlib", "--landmarker", dlib_model))):
        assert agns("align", photo, tmp_path / f"{name}.png", *options).code == 0
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


def test_a_finder_that_is_not_installed_says_what_to_install(
    agns: Run, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = agns("align", photo, tmp_path / "face.png", "--finder", "mediapipe")
    assert (done.code, 'pip install "agns[align]"' in done.complaint) == (2, True)
    monkeypatch.setitem(sys.modules, "dlib", None)
    done = agns("align", photo, tmp_path / "face.png")
    assert (done.code, '"agns[align]" or "agns[dlib]"' in done.complaint) == (2, True)


@pytest.mark.parametrize("content", [b"", b"no model", bytes(range(256)) * 10])
def test_a_model_that_is_damaged_is_a_failure_in_words(
    content: bytes, agns: Run, photo: Path, tmp_path: Path
) -> None:
    (tmp_path / "model.dat").write_bytes(content)
    done = agns("align", photo, tmp_path / "out", "--landmarker", tmp_path / "model.dat")
    assert (done.code, "model.dat is not a shape predictor" in done.complaint) == (1, True)
    assert not (tmp_path / "out").exists()
