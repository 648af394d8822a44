import os
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image as PilImage

from agns.data.eyeglasses import crop_eyeglasses, read_eyeglasses
from agns.data.face_folder import FaceSelection, list_identities, list_left_out, load_faces
from agns.data.listing import SYSTEM_FOLDERS, list_folder, without_ending
from agns.data.marked_photos import load_marked_photos
from agns.errors import DataError

Album = Callable[..., Path]

PICTURE = PilImage.new("RGB", (224, 224), "grey")


def save(path: Path, kind: str = "PNG") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    PICTURE.save(path, format=kind)
    return path


def test_pictures_are_known_by_their_ending_or_their_content(tmp_path: Path) -> None:
    names = ["a.jpg", "b.JFIF", "c.webp", "d.tiff", "e", "f.happy", "g.JPEG_", "h.txt", "i.avif"]
    kinds = ["JPEG", "JPEG", "WEBP", "TIFF", "GIF", "GIF", "JPEG", "PNG", "AVIF"]
    for name, kind in zip(names, kinds, strict=True):
        save(tmp_path / name, kind)
    listing = list_folder(tmp_path)
    assert [path.name for path in listing.pictures] == names
    assert listing.left_out == ()


def test_what_is_no_picture_is_named_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "a.HEIC").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    (tmp_path / "b").write_bytes(b"")
    (tmp_path / "c.mp4").write_bytes(b"\0\0\0\x14ftypisom\0\0\2\0mp41")
    (tmp_path / "d.NEF").write_bytes(b"II*\0" + bytes(90))
    (tmp_path / "e.jpg").symlink_to("nowhere.jpg")
    told = {one.name: one.why for one in list_folder(tmp_path).left_out}
    assert told == {
        "a.HEIC": "HEIC, which agns does not read: save it as JPEG or PNG",
        "b": "an empty file: download or write it anew",
        "c.mp4": "a video, which agns does not read: save single pictures of it as JPEG or PNG",
        "d.NEF": "a camera's raw file, which agns does not read: develop it to JPEG or PNG",
        "e.jpg": "a link to nothing",
    }


def test_what_lies_beside_pictures_for_a_reason_and_hidden_things_draw_no_word(
    tmp_path: Path,
) -> None:
    for name in ("photographs.json", "marks.csv", "Thumbs.db", ".DS_Store", "._a.jpg", "notes.txt"):
        (tmp_path / name).write_bytes(b"\0\5\x16\7")
    (tmp_path / ".AppleDouble").mkdir()
    listing = list_folder(tmp_path)
    assert (listing.pictures, listing.folders, listing.left_out) == ((), (), ())


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes here")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    assert [one.name for one in list_folder(tmp_path).left_out] == ["pipe.jpg"]


@pytest.mark.parametrize("name", ["__MACOSX", "@eaDir", "lost+found", "$RECYCLE.BIN", "Thumbs"])
def test_a_folder_that_a_system_keeps_is_no_identity(album: Album, name: str) -> None:
    root = album(Ann=2)
    save(root / name / "1.png")
    assert list(list_identities(root)) == ["Ann"]
    assert [(one.name, one.folder) for one in load_faces(root).left_out] == [(name, True)]
    assert name.casefold() in SYSTEM_FOLDERS


def test_a_folder_without_pictures_is_passed_over_and_told(album: Album) -> None:
    root = album(Ann=2, Bob=0)
    faces = load_faces(root)
    assert faces.identities == ("Ann",)
    assert [tuple(one) for one in faces.left_out] == [("Bob", "a folder without pictures", True)]


def test_pictures_that_no_identity_has_are_told(album: Album) -> None:
    root = album(Ann=2)
    save(root / "stray.png")
    save(root / "Ann" / "2019" / "1.png")
    told = [(one.name, one.folder) for one in list_left_out(root)]
    assert told == [("Ann/2019", True), ("stray.png", False)]


def test_what_is_left_out_of_others_is_not_told_of_those_named(album: Album) -> None:
    root = album(Ann=2, Bob=2)
    (root / "Ann" / "x.heic").write_bytes(b"")
    assert load_faces(root, FaceSelection(names=("Bob",))).left_out == ()
    assert len(load_faces(root, FaceSelection(names=("Ann",))).left_out) == 1


def test_eyeglasses_and_photos_are_read_by_their_content(tmp_path: Path) -> None:
    save(tmp_path / "shop" / "frame.a", "WEBP")
    save(tmp_path / "shop" / "frame.b", "GIF")
    assert len(read_eyeglasses(tmp_path / "shop")) == 2
    assert crop_eyeglasses(tmp_path / "shop", tmp_path / "crops") == 2
    assert sorted(path.name for path in (tmp_path / "crops").iterdir()) == [
        "frame.a.png", "frame.b.png",
    ]  # fmt: skip
    (tmp_path / "shop" / "frame.b").write_bytes(b"")
    with pytest.raises(DataError, match=r"found 1; left out: frame\.b \(an empty file: download"):
        load_marked_photos(tmp_path / "shop", "Ann")


@pytest.mark.parametrize(
    ("name", "stem"),
    [("a.jpg", "a"), ("a.b.TIFF", "a.b"), ("subject01.happy", "subject01.happy"), ("a", "a")],
)
def test_an_ending_is_one_of_pictures(name: str, stem: str) -> None:
    assert without_ending(name) == stem


def test_a_folder_without_pictures_may_be_excluded(album: Album) -> None:
    root = album(Ann=2, Bob=0)
    assert load_faces(root, FaceSelection(exclude=("Bob",))).identities == ("Ann",)
