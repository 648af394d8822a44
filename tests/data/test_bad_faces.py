import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image as PilImage

from agns.data.face_folder import FaceSelection, load_faces
from agns.data.listing import READ
from agns.errors import AgnsError, ConfigError, DataError, UnreadableImage

Album = Callable[..., Path]


def complaint(root: Path, selection: FaceSelection, kind: type[AgnsError]) -> str:
    """What loading raises, which must be one line."""
    with pytest.raises(kind) as caught:
        load_faces(root, selection)
    assert caught.type is kind
    assert "\n" not in str(caught.value)
    return str(caught.value)


def text(path: Path) -> None:
    path.write_text("not a picture", encoding="utf-8")


def cut_off(path: Path) -> None:
    PilImage.effect_noise((224, 224), 90).save(path)
    path.write_bytes(path.read_bytes()[:5000])


def small(path: Path) -> None:
    PilImage.new("RGB", (60, 40)).save(path)


def test_a_missing_root_is_refused(tmp_path: Path) -> None:
    said = complaint(tmp_path / "nowhere", FaceSelection(), ConfigError)
    assert said == f"there is no folder of faces {tmp_path / 'nowhere'}"


def test_a_root_without_identities_is_refused(tmp_path: Path) -> None:
    text(tmp_path / "photo.png")
    said = complaint(tmp_path, FaceSelection(), DataError)
    assert said == (
        f"expected a folder of pictures for each identity in {tmp_path}, found none; left out: "
        "photo.png (a picture in no identity's folder)"
    )


@pytest.mark.parametrize("inner", ["", "aligned"])
def test_an_identity_without_photos_is_refused_where_it_is_named(album: Album, inner: str) -> None:
    root = album(Ann=2, Bob=0 if not inner else 2)
    (root / "Bob" / inner).mkdir(exist_ok=True)
    said = complaint(root, FaceSelection(names=("Bob",)), DataError)
    assert said == f"expected pictures ({READ}) in {root / 'Bob' / inner}, found none"


def test_an_identity_with_a_single_photo_is_refused_with_a_way_out(album: Album) -> None:
    root = album(Ann=2, Bob=1)
    said = complaint(root, FaceSelection(), DataError)
    assert said.startswith(f"{root / 'Bob'} holds a single photo, fewer than the 2 that a split")
    assert "--minimum-photos 2" in said


@pytest.mark.parametrize("minimum", [None, 3])
def test_a_named_identity_with_too_few_photos_is_refused(album: Album, minimum: int | None) -> None:
    root = album(Ann=2, Bob=1)
    said = complaint(root, FaceSelection(names=("Bob",), minimum_photos=minimum), DataError)
    assert said.startswith(f"{root / 'Bob'} holds a single photo")
    assert said.endswith("name other identities")


@pytest.mark.parametrize(
    ("spoil", "kind", "said"),
    [
        (text, UnreadableImage, "does not decode as a picture"),
        (cut_off, UnreadableImage, "does not decode as a picture"),
        (small, DataError, "has 40x60 pixels, expected 224x224"),
    ],
)
def test_a_spoilt_photo_is_named_once(
    album: Album, spoil: Callable[[Path], None], kind: type[AgnsError], said: str
) -> None:
    root = album(Ann=3)
    spoil(root / "Ann" / "2.jpg")
    sentence = complaint(root, FaceSelection(), kind)
    assert sentence.startswith(f"{root / 'Ann' / '2.jpg'} {said}")
    assert sentence.count("2.jpg") == 1


def test_a_photo_smaller_than_the_crop_is_named(album: Album) -> None:
    root = album(Ann=2)
    small(root / "Ann" / "2.png")
    said = complaint(root, FaceSelection(center_crop=41), DataError)
    assert said == f"{root / 'Ann' / '2.png'} has 40x60 pixels, too few for --center-crop 41"


@pytest.mark.skipif(os.name != "posix", reason="file names are bytes only on POSIX systems")
def test_a_name_that_is_not_utf8_is_refused(album: Album) -> None:
    root = album(Ann=2)
    try:
        (root / "Ann" / "2.png").rename(root / "Ann" / os.fsdecode(b"caf\xe9.png"))
    except OSError:
        pytest.skip("this file system takes no such name")
    assert "is not UTF-8 text: rename it" in complaint(root, FaceSelection(), DataError)


def test_an_unknown_name_is_refused_with_the_nearest_one(album: Album) -> None:
    root = album(Ann=2, Bob=2)
    said = complaint(root, FaceSelection(names=("Anne",)), ConfigError)
    assert said == f"there is no identity 'Anne' in {root}: did you mean Ann?"


def test_more_identities_than_there_are_is_refused(album: Album) -> None:
    root = album(Ann=3, Bob=2, Cid=1)
    said = complaint(root, FaceSelection(identities=3), ConfigError)
    assert said == f"expected 3 identities with at least 2 photos in {root}, found 2"


def test_a_minimum_that_nobody_reaches_is_refused(album: Album) -> None:
    root = album(Ann=3)
    said = complaint(root, FaceSelection(minimum_photos=4), DataError)
    assert said == f"no identity in {root} has at least 4 photos"


@pytest.mark.parametrize(
    "change",
    [
        {"identities": 0},
        {"minimum_photos": 0},
        {"center_crop": -1},
        {"names": ("Ann", "Ann")},
        {"names": ("Ann",), "identities": 1},
    ],
)
def test_a_selection_that_cannot_be_is_refused(change: dict[str, int]) -> None:
    with pytest.raises(ConfigError):
        replace(FaceSelection(), **change)


def test_skipping_names_and_counts_what_does_not_decode(album: Album) -> None:
    root = album(Ann=2, Bob=2)
    text(root / "Ann" / "3.jpg")
    cut_off(root / "Bob" / "0.jpg")
    faces = load_faces(root, FaceSelection(skip_unreadable=True))
    assert faces.photos == ("Ann/1.png", "Ann/2.png", "Bob/1.png", "Bob/2.png")
    assert faces.labels.tolist() == [0, 0, 1, 1]
    assert len(faces.skipped) == 2
    assert faces.skipped[0].startswith("Ann/3.jpg was left out")
    assert faces.skipped[1].startswith("Bob/0.jpg was left out")


def test_skipping_does_not_pass_over_a_wrong_size(album: Album) -> None:
    root = album(Ann=2)
    small(root / "Ann" / "3.png")
    said = complaint(root, FaceSelection(skip_unreadable=True), DataError)
    assert "3.png has 40x60 pixels" in said


def test_skipping_down_to_a_single_photo_is_refused(album: Album) -> None:
    root = album(Ann=2, Bob=1)
    text(root / "Bob" / "2.png")
    said = complaint(root, FaceSelection(skip_unreadable=True), DataError)
    assert said.startswith(f"1 of the 2 pictures in {root / 'Bob'} decode")


def test_a_folder_where_nothing_decodes_is_refused(album: Album) -> None:
    root = album(Ann=0)
    text(root / "Ann" / "1.png")
    text(root / "Ann" / "2.png")
    said = complaint(root, FaceSelection(skip_unreadable=True), DataError)
    assert said == f"none of the 2 pictures in {root} decodes"
