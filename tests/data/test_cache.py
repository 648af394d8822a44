import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as PilImage

from agns.data import cache as pictures
from agns.data.cache import STALE_SECONDS, cache_directory, content_key
from agns.data.face_folder import FaceSelection, load_faces
from agns.errors import ConfigError, DataError, UnreadableImage

Album = Callable[..., Path]


def forbid_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, *, center_crop: int | None) -> np.ndarray:
        pytest.fail(f"{path} was decoded once more")

    monkeypatch.setattr(pictures, "decode_face", refuse)


def only(directory: Path, ending: str) -> Path:
    (entry,) = directory.glob(f"*{ending}")
    return entry


def names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def test_a_second_load_decodes_nothing_and_gives_the_same(
    album: Album, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = album(Ann=3, Bob=2)
    (root / "Ann" / "4.png").write_text("not a picture")
    selection = FaceSelection(skip_unreadable=True)
    first = load_faces(root, selection)
    forbid_decoding(monkeypatch)
    reports: list[tuple[int, int]] = []
    second = load_faces(
        root, selection, progress=lambda done, total, figures: reports.append((done, total))
    )
    assert torch.equal(second.pixels, first.pixels)
    assert torch.equal(second.labels, first.labels)
    assert (second.photos, second.digests) == (first.photos, first.digests)
    assert second.skipped == first.skipped
    assert reports == [(6, 6)]


def test_a_moved_folder_needs_no_decoding(album: Album, monkeypatch: pytest.MonkeyPatch) -> None:
    root = album(Ann=2)
    before = load_faces(root).pixels
    forbid_decoding(monkeypatch)
    assert torch.equal(load_faces(root.rename(root.with_name("elsewhere"))).pixels, before)


def test_a_changed_file_is_decoded_anew(album: Album) -> None:
    root = album(Ann=2)
    before = load_faces(root)
    photo = root / "Ann" / "1.png"
    dated = photo.stat()
    PilImage.new("RGB", (224, 224), (9, 9, 9)).save(photo)
    os.utime(photo, ns=(dated.st_atime_ns, dated.st_mtime_ns))
    after = load_faces(root)
    assert (after.pixels[0] == 9).all()
    assert after.digests[0] != before.digests[0]
    assert after.digests[1] == before.digests[1]


def cut_pixels(cache: Path) -> None:
    entry = only(cache, ".pixels")
    entry.write_bytes(entry.read_bytes()[:-1])


def flip_a_bit(cache: Path) -> None:
    entry = only(cache, ".pixels")
    content = bytearray(entry.read_bytes())
    content[len(content) // 3] ^= 1
    entry.write_bytes(content)


def lose_pixels(cache: Path) -> None:
    only(cache, ".pixels").unlink()


def lose_record(cache: Path) -> None:
    only(cache, ".json").unlink()


def cut_record(cache: Path) -> None:
    entry = only(cache, ".json")
    entry.write_bytes(entry.read_bytes()[:-20])


def empty_record(cache: Path) -> None:
    only(cache, ".json").write_text('{"photos": [], "digests": [1], "skipped": null}')


@pytest.mark.parametrize(
    "damage", [cut_pixels, flip_a_bit, lose_pixels, lose_record, cut_record, empty_record]
)
def test_a_damaged_entry_is_made_again(
    album: Album, cache: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[[Path], None]
) -> None:
    root = album(Ann=2)
    before = load_faces(root).pixels.clone()
    damage(cache)
    assert torch.equal(load_faces(root).pixels, before)
    forbid_decoding(monkeypatch)
    assert torch.equal(load_faces(root).pixels, before)


def test_writing_to_the_pixels_does_not_reach_the_file(album: Album, cache: Path) -> None:
    root = album(Ann=2)
    faces = load_faces(root)
    content = only(cache, ".pixels").read_bytes()
    faces.pixels.fill_(3)
    assert only(cache, ".pixels").read_bytes() == content
    assert int(load_faces(root).pixels[0, 2, 0, 0]) == 255


def test_what_was_skipped_before_is_an_error_once_it_may_not_be(album: Album) -> None:
    root = album(Ann=2)
    (root / "Ann" / "3.png").write_text("not a picture")
    load_faces(root, FaceSelection(skip_unreadable=True))
    with pytest.raises(UnreadableImage, match=r"3\.png"):
        load_faces(root)


def test_a_load_says_how_many_pictures_do_not_decode(album: Album) -> None:
    root = album(Ann=2)
    for name in ("3.png", "4.png", "5.png"):
        (root / "Ann" / name).write_text("not a picture")
    with pytest.raises(UnreadableImage, match=r"3\.png .*; 2 others do not decode either: --skip"):
        load_faces(root)


def test_pictures_replaced_while_they_are_read_are_not_kept_as_those_before(
    album: Album, cache: Path
) -> None:
    root = album(Ann=2)

    def replace_one(done: int, total: int, figures: object) -> None:
        PilImage.new("RGB", (224, 224), (9, 9, 9)).save(root / "Ann" / "1.png")

    with pytest.raises(DataError, match="replaced while they were read"):
        load_faces(root, progress=replace_one)
    assert names(cache) == set()


def test_a_failed_load_leaves_nothing_behind(album: Album, cache: Path) -> None:
    root = album(Ann=2)
    (root / "Ann" / "3.png").write_text("not a picture")
    with pytest.raises(UnreadableImage):
        load_faces(root)
    assert names(cache) == set()


def test_a_load_sweeps_what_killed_runs_left_but_not_what_is_being_written(
    album: Album, cache: Path
) -> None:
    cache.mkdir()
    for name in (".old.tmp", ".fresh.tmp", "mine.tmp"):
        (cache / name).write_text("unfinished")
    for name in (".old.tmp", "mine.tmp"):
        long_ago = (cache / name).stat().st_mtime - STALE_SECONDS - 60
        os.utime(cache / name, (long_ago, long_ago))
    load_faces(album(Ann=2))
    assert {name for name in names(cache) if name.endswith(".tmp")} == {".fresh.tmp", "mine.tmp"}


def test_a_cache_that_cannot_be_written_to_is_refused_with_a_way_out(album: Album) -> None:
    root = album(Ann=2)
    with pytest.raises(ConfigError, match=r"1\.png.*set AGNS_CACHE to a folder"):
        load_faces(root, cache=root / "Ann" / "1.png")


@pytest.mark.parametrize("change", ["order", "name", "content", "crop"])
def test_the_key_changes_with(album: Album, change: str) -> None:
    root = album(Ann=2)
    photos = ["Ann/1.png", "Ann/2.png"]
    before = content_key(root, photos, center_crop=None)
    assert content_key(root, photos, center_crop=None) == before
    if change == "order":
        photos.reverse()
    elif change == "name":
        photos[0] = (root / photos[0]).rename(root / "Ann" / "0.png").relative_to(root).as_posix()
    elif change == "content":
        with (root / photos[0]).open("ab") as file:
            file.write(b"more")
    assert content_key(root, photos, center_crop=9 if change == "crop" else None) != before


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"AGNS_CACHE": "own", "XDG_CACHE_HOME": "desktop"}, "own"),
        ({"AGNS_CACHE": "", "XDG_CACHE_HOME": "desktop"}, "desktop/agns"),
        ({"AGNS_CACHE": "", "XDG_CACHE_HOME": "", "HOME": "home"}, "home/.cache/agns"),
    ],
)
def test_the_environment_says_where_decoded_pictures_go(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], expected: str
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert cache_directory() == Path(expected)


def test_what_another_process_has_stored_meanwhile_is_not_replaced(
    album: Album, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = album(Ann=2)
    load_faces(root)
    # Another machine may have mapped it.
    stored = only(cache, ".pixels").stat().st_ino
    away = cache.rename(tmp_path / "away")
    decode = pictures.decode_face

    def decode_meanwhile(path: Path, *, center_crop: int | None) -> np.ndarray:
        if away.is_dir():
            for entry in list(away.iterdir()):
                entry.rename(cache / entry.name)
            away.rmdir()
        return decode(path, center_crop=center_crop)

    monkeypatch.setattr(pictures, "decode_face", decode_meanwhile)
    monkeypatch.setattr(pictures, "WORKERS", 1)
    assert len(load_faces(root)) == 2
    assert only(cache, ".pixels").stat().st_ino == stored
    assert len(names(cache)) == 2


def test_a_cache_whose_path_is_no_text_is_read_back(
    album: Album, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, root = tmp_path / os.fsdecode(b"\xe9"), album(Ann=2, Bob=2)
    decoded = load_faces(root, cache=cache).pixels
    forbid_decoding(monkeypatch)
    assert torch.equal(load_faces(root, cache=cache).pixels, decoded)
