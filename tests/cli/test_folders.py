"""`agns glasses` and `agns faces`: folders written, read and refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as PilImage

from agns.accessory.frame import place
from agns.accessory.marks import MARKS
from agns.cli import face_options
from agns.data.face_folder import load_faces
from agns.data.marked_photos import load_marked_photos
from agns.data.simulation.drawn_frames import draw_frame, draw_frames
from agns.data.simulation.synthetic import draw_photo
from agns.decoding import read_pixels
from agns.geometry import transform_points
from agns.images import from_pixels, read_image, tile, to_pixels
from agns.models.dcgan import Generator, sample_latents
from agns.models.recognizer import build_recognizer

Run = Callable[..., Any]


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*"))


def test_glasses_are_drawn_as_the_set_has_them(agns: Run, tmp_path: Path) -> None:
    done = agns("glasses", "draw", "--out", tmp_path / "out", "--count", 3, "--seed", 5)
    assert (done.code, done.out) == (0, f"Wrote 3 frames to {tmp_path / 'out'}\n")
    assert names(tmp_path / "out") == [f"frame_0000{index}.png" for index in range(3)]
    for index in range(3):
        drawn = draw_frame(index, seed=5)
        assert np.array_equal(read_pixels(tmp_path / "out" / f"frame_0000{index}.png"), drawn)


def test_glasses_drawn_on_the_canvas_crop_back_to_the_frames(agns: Run, tmp_path: Path) -> None:
    canvases, crops = tmp_path / "canvases", tmp_path / "crops"
    agns("glasses", "draw", "--out", canvases, "--count", 2, "--canvas")
    canvas = read_image(canvases / "frame_00001.png", size=(224, 224))
    assert torch.equal(canvas, place(from_pixels(draw_frames(1, start=1)))[0])
    done = agns("glasses", "crop", canvases, crops)
    assert (done.code, done.out) == (0, f"Wrote 2 crops to {crops}\n")
    for index in range(2):
        crop = read_pixels(crops / f"frame_0000{index}.png")
        assert np.array_equal(crop, draw_frame(index))


def test_glasses_of_the_first_version_are_drawn_when_asked_for(agns: Run, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    done = agns(
        "glasses", "draw", "--out", tmp_path, "--count", 2, "--set-version", 1, "--sheet", sheet
    )
    assert done.code == 0
    drawn = draw_frame(1, version=1)
    assert np.array_equal(read_pixels(tmp_path / "frame_00001.png"), drawn)
    assert read_pixels(sheet).shape[1] > 2 * drawn.shape[1]
    done = agns("glasses", "draw", "--out", tmp_path, "--set-version", 3)
    assert (done.code, done.complaint) == (2, "the drawn frames have the versions 1 to 2, got 3")


def test_cropping_counts_what_it_skips(agns: Run, tmp_path: Path, shop: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "a.png").write_bytes((shop / "00.png").read_bytes())
    (source / "b.png").write_bytes(b"not a picture")
    done = agns("glasses", "crop", source, tmp_path / "crops")
    assert done.code == 1
    assert str(source / "b.png") in done.complaint
    done = agns("glasses", "crop", source, tmp_path / "others", "--skip-unreadable")
    assert (
        done.out == f"Wrote 1 crops to {tmp_path / 'others'}; 1 did not decode and were skipped\n"
    )


def test_cropping_over_crops_that_are_there_is_misuse(
    agns: Run, tmp_path: Path, shop: Path
) -> None:
    agns("glasses", "crop", shop, tmp_path / "crops")
    done = agns("glasses", "crop", shop, tmp_path / "crops")
    assert done.code == 2
    assert "already there" in done.complaint


def test_a_sheet_shows_what_the_generator_makes_of_the_seeds_latents(
    agns: Run, tmp_path: Path, weights: Any
) -> None:
    out = tmp_path / "deep" / "sheet.png"
    done = agns(
        "glasses", "generate", "--out", out, "--generator", weights.generator,
        "--count", 6, "--columns", 3, "--seed", 2,
    )  # fmt: skip
    assert (done.code, done.out) == (0, f"Wrote 6 frames to {out}\n")
    latents = sample_latents(6, rng=torch.Generator().manual_seed(2))
    with torch.no_grad():
        frames = Generator.read(weights.generator)(latents)
    sheet = to_pixels(tile(frames, columns=3)[None])[0].permute(1, 2, 0)
    # Numbers too small for normal form are 0 on the command line.
    assert np.abs(read_pixels(out).astype(int) - sheet.numpy()).max() <= 1


def test_a_folder_in_place_of_the_sheet_is_named(agns: Run, tmp_path: Path, weights: Any) -> None:
    done = agns("glasses", "generate", "--out", tmp_path, "--generator", weights.generator)
    assert done.code != 0
    assert str(tmp_path) in done.complaint
    assert ".tmp" not in done.complaint


def test_a_seed_that_no_generator_takes_is_misuse(agns: Run, tmp_path: Path, weights: Any) -> None:
    done = agns(
        "glasses", "generate", "--out", tmp_path / "a.png", "--generator", weights.generator,
        "--seed", 10**20,
    )  # fmt: skip
    assert (done.code, done.out) == (2, "")


def test_a_discriminator_does_not_draw(agns: Run, tmp_path: Path, weights: Any) -> None:
    done = agns(
        "glasses", "generate", "--out", tmp_path / "a.png", "--generator", weights.discriminator
    )
    assert done.code == 1
    assert done.complaint == f"{weights.discriminator} holds no generator written by agns"


def test_faces_are_drawn_as_a_folder_that_can_be_listed(agns: Run, tmp_path: Path) -> None:
    out = tmp_path / "faces"
    done = agns(
        "faces", "draw", "--out", out, "--identities", 2, "--photos", 2, "--first-photo", 3,
        "--seed", 4,
    )  # fmt: skip
    assert (done.code, done.out) == (0, f"Wrote 4 photos of 2 identities to {out}\n")
    photos = [f"Synthetic_00{i}/Synthetic_00{i}_000{n}" for i in (0, 1) for n in (4, 5)]
    assert names(out) == [f"{photo}.png" for photo in photos]
    assert names(tmp_path / "faces.landmarks") == [f"{photo}.csv" for photo in photos]
    assert np.array_equal(read_pixels(out / f"{photos[2]}.png"), draw_photo(4, 1, 3)[0])
    listed = agns("faces", "list", out)
    rows = [line.split() for line in listed.out.splitlines()[1:]]
    assert rows == [["0", "Synthetic_000", "2"], ["1", "Synthetic_001", "2"]]


def test_faces_are_not_drawn_over_what_is_there(agns: Run, folder: Path) -> None:
    before = names(folder)
    done = agns("faces", "draw", "--out", folder, "--identities", 1, "--photos", 1)
    assert done.code == 2
    assert "not an empty folder" in done.complaint
    assert names(folder) == before


def test_listing_writes_the_classes_and_a_row_for_each_identity(
    agns: Run, tmp_path: Path, folder: Path
) -> None:
    classes, sheet = tmp_path / "classes.json", tmp_path / "sheet.png"
    done = agns("faces", "list", folder, "--classes", classes, "--contact-sheet", sheet)
    assert done.code == 0
    assert json.loads(classes.read_text()) == {str(i): f"Synthetic_00{i}" for i in range(3)}
    pixels = read_pixels(sheet)
    assert pixels.shape == (3 * 226 + 2, 4 * 226 + 2, 3)
    photo = read_pixels(folder / "Synthetic_002" / "Synthetic_002_0002.png")
    assert np.array_equal(pixels[2 * 226 + 2 :, 228:][:224, :224], photo)


def test_listing_takes_the_identities_asked_for(agns: Run, folder: Path) -> None:
    done = agns("faces", "list", folder, "--name", "Synthetic_002", "--name", "Synthetic_000")
    rows = [line.split() for line in done.out.splitlines()[1:]]
    assert rows == [["0", "Synthetic_000", "4"], ["1", "Synthetic_002", "4"]]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--name", "Synthetic_00"), "did you mean"),
        (("--identities", "4"), "expected 4 identities"),
        (("--identities", "0"), "identities must be at least 1"),
        (("--center-crop", "0"), "center_crop must be at least 1"),
        (("--name", "Synthetic_000", "--identities", "1"), "not both"),
    ],
)
def test_choices_that_cannot_be_met_are_misuse(
    agns: Run, folder: Path, options: tuple[str, ...], complaint: str
) -> None:
    done = agns("faces", "list", folder, *options)
    assert (done.code, done.out) == (2, "")
    assert complaint in done.complaint


def test_a_folder_that_is_not_there_is_misuse(agns: Run, tmp_path: Path) -> None:
    done = agns("faces", "list", tmp_path / "none")
    assert done.code == 2
    assert str(tmp_path / "none") in done.complaint


def test_a_damaged_photo_fails_by_name_unless_it_is_to_be_skipped(
    agns: Run, tmp_path: Path
) -> None:
    for number in range(3):
        path = tmp_path / "root" / "Ann" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        PilImage.new("RGB", (224, 224), (number, 0, 0)).save(path)
    path.write_bytes(path.read_bytes()[:40])
    done = agns("faces", "list", tmp_path / "root")
    assert done.code == 1
    assert str(path) in done.complaint
    done = agns("faces", "list", tmp_path / "root", "--skip-unreadable")
    assert done.code == 0
    assert "Ann/2.png was left out: it does not decode" in done.out


def test_what_is_left_out_is_counted_and_named_on_demand(agns: Run, tmp_path: Path) -> None:
    root = tmp_path / "people"
    for number in range(3):
        path = root / "Ann" / f"{number}.webp"
        path.parent.mkdir(parents=True, exist_ok=True)
        PilImage.new("RGB", (224, 224), (number, 0, 0)).save(path)
    (root / "Ann" / "3.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    (root / "Ann" / "4.jpg").symlink_to("nowhere")
    (root / "__MACOSX").mkdir()
    done = agns("faces", "list", root)
    assert (done.code, done.out.split()[-3:]) == (0, ["0", "Ann", "3"])
    assert done.err.splitlines()[-1] == (
        f"2 files and 1 folder of {root} were left out, such as Ann/3.heic (HEIC, which agns does "
        f"not read: save it as JPEG or PNG); agns faces list {root} --left-out names all"
    )
    named = agns("faces", "list", root, "--left-out")
    assert named.code == 0
    assert [line.split()[0] for line in named.out.splitlines()[1:]] == [
        "Ann/3.heic", "Ann/4.jpg", "__MACOSX",
    ]  # fmt: skip


def test_what_is_left_out_of_eyeglasses_is_counted(agns: Run, shop: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "a").write_bytes((shop / "00.png").read_bytes())
    (source / "b.mp4").write_bytes(b"\0\0\0\x14ftypisom")
    done = agns("glasses", "crop", source, tmp_path / "crops")
    assert (done.code, names(tmp_path / "crops")) == (0, ["a.png"])
    assert done.err.splitlines()[-1].startswith(f"1 file of {source} was left out, such as b.mp4")


def test_the_mean_face_is_the_mean_of_all_photos(agns: Run, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "mean.png"
    done = agns("faces", "list", folder, "--mean-face", out)
    assert (done.code, done.out.splitlines()[-1]) == (0, f"Wrote {out}")
    photos = torch.stack([read_image(path) for path in sorted(folder.glob("*/*.png"))])
    torch.testing.assert_close(read_image(out), photos.mean(0), atol=0.6 / 255, rtol=0)


def test_a_wearer_is_photographed_ready_for_a_physical_attack(
    agns: Run, folder: Path, weights: Any, tmp_path: Path
) -> None:
    out = tmp_path / "wearer"
    done = agns(
        "faces", "photograph", "--faces", folder, "--subject", "Synthetic_001", "--out", out,
        "--photos", 3, "--unseen-by", weights.recognizer, "--seed", 4, "--strength", 0.5,
    )  # fmt: skip
    assert (done.code, done.out) == (
        0, f"Wrote 3 photos of Synthetic_001 wearing the marked frame to {out}\n"
    )  # fmt: skip
    told = json.loads((out / "photographs.json").read_text())["photographs"]
    assert [row["photo"] for row in told] == names(out)[:3]
    marked = load_marked_photos(out, "Synthetic_001")
    for found, row in zip(marked.marks, told, strict=True):
        expected = transform_points(torch.tensor(MARKS), torch.tensor(row["homography"]))
        assert float((found - expected).norm(dim=-1).max()) < 2
    again = agns("faces", "photograph", "--subject", "Synthetic_001", "--out", out)
    assert (again.code, "not an empty folder" in again.complaint) == (2, True)


def test_photos_that_the_recogniser_was_trained_on_are_not_photographed(
    agns: Run, folder: Path, tmp_path: Path
) -> None:
    faces = load_faces(folder, cache=tmp_path / "cache")
    own = faces.places_of("Synthetic_002")
    path = tmp_path / "seen.safetensors"
    victim = build_recognizer("tiny", faces.identities, rng=torch.Generator().manual_seed(0))
    victim.record = {"training_photos": [faces.digests[at] for at in own[:2]]}
    victim.write(path)
    common = ("--faces", folder, "--subject", "Synthetic_002", "--unseen-by", path)
    assert agns("faces", "photograph", *common, "--out", tmp_path / "two").code == 0
    told = json.loads((tmp_path / "two/photographs.json").read_text())["photographs"]
    assert [row["of"] for row in told] == [faces.photos[at] for at in own[2:]]
    victim.record = {"training_photos": [faces.digests[at] for at in own[:3]]}
    victim.write(path)
    few = agns("faces", "photograph", *common, "--out", tmp_path / "one")
    assert (few.code, "only 1 of 4 photos" in few.complaint) == (1, True)


def test_who_wears_the_marked_frame_can_be_enrolled(
    agns: Run, shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(face_options, "SYNTHETIC_FRESH_PHOTOS", 4)
    photos, out = tmp_path / "photos", tmp_path / "people/Anna"
    done = agns(
        "faces", "photograph", "--subject", "Synthetic_001", "--photos", 4, "--strength", 0.3,
        "--out", photos,
    )  # fmt: skip
    assert done.code == 0, done.err
    enrol = ("faces", "enrol", "--photos", photos, "--out", out, "--glasses", shop)
    done = agns(*enrol, "--frames", 2, "--seed", 3)
    assert done.code == 0, done.err
    assert done.out.startswith(f"Wrote 4 pictures of Anna to {out}, of the photos 0")
    assert done.out.endswith("; 2 were not taken\n")
    assert names(out) == ["001.png", "002.png", "003.png", "004.png", "photographs.json"]
    again = agns(*enrol)
    assert (again.code, "not an empty folder" in again.complaint) == (2, True)
    for folder, complaint in (
        ("many", "1000 frames each need 2000"), ("aligned", "no identity's folder"),
        ("Ren\udce9", "not UTF-8 text"),
        (".hidden", "no identity's folder"),
    ):  # fmt: skip
        wrong = agns(*enrol, "--frames", 1000, "--out", tmp_path / "people" / folder)
        assert (wrong.code, complaint in wrong.complaint) == (2, True)


def test_frames_are_generated_by_a_network_that_was_shared(
    agns: Run, weights: Any, tmp_path: Path
) -> None:
    Generator.read(weights.generator).save_pretrained(tmp_path / "saved")
    out = tmp_path / "sheet.png"
    done = agns(
        "glasses", "generate", "--out", out, "--count", 1, "--generator", tmp_path / "saved"
    )
    assert (done.code, out.is_file()) == (0, True)
    gone = agns("glasses", "generate", "--out", out, "--generator", tmp_path / "gone")
    assert (gone.code, "a name on the hub" in gone.complaint) == (2, True)


@pytest.mark.parametrize(
    "arguments",
    [
        ("glasses", "generate", "--generator", "gone", "--out"),
        ("faces", "list", "gone", "--contact-sheet"),
        ("faces", "list", "gone", "--mean-face"),
    ],
)
def test_pictures_of_kinds_that_are_not_written_are_refused_before_anything_is_read(
    agns: Run, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    done = agns(*arguments, tmp_path / "sheet.webp")
    assert (done.code, "ends in .jpg, .jpeg, .png, got" in done.complaint) == (2, True)
