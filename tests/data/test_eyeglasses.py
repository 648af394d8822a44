from pathlib import Path

import pytest
import torch

from agns.accessory.frame import place
from agns.data.eyeglasses import crop_eyeglasses, read_eyeglasses
from agns.data.simulation.drawn_frames import draw_frames
from agns.errors import ConfigError, DataError, UnreadableImage
from agns.images import from_pixels, write_image
from agns.types import Pixels


@pytest.fixture(scope="module")
def drawn() -> Pixels:
    return draw_frames(100)


@pytest.fixture
def shop(tmp_path: Path, drawn: Pixels) -> Path:
    """Three pictures on the whole canvas: b.png, a.png, c.png in the order drawn."""
    root = tmp_path / "shop"
    for name, canvas in zip("bac", place(from_pixels(drawn[:3])), strict=True):
        write_image(root / f"{name}.png", canvas)
    return root


def listed(path: Path, *names: str) -> Path:
    path.write_text("\n".join(names) + "\n\n", encoding="utf-8")
    return path


def test_a_folder_is_read_in_the_order_of_its_names(shop: Path, drawn: Pixels) -> None:
    assert torch.equal(read_eyeglasses(shop), drawn[[1, 0, 2]])


def test_a_list_chooses_pictures_and_their_order(shop: Path, drawn: Pixels, tmp_path: Path) -> None:
    names = listed(tmp_path / "names.txt", "c.png", " a.png ")
    assert torch.equal(read_eyeglasses(shop, names=names), drawn[[2, 1]])


def test_a_folder_of_crops_is_read_as_it_is(tmp_path: Path, drawn: Pixels) -> None:
    write_image(tmp_path / "crop.png", from_pixels(drawn[:1])[0])
    assert torch.equal(read_eyeglasses(tmp_path), drawn[:1])


def test_other_files_in_a_folder_are_passed_over(shop: Path) -> None:
    (shop / "readme.txt").write_text("none")
    (shop / "._a.png").write_bytes(b"none")
    assert len(read_eyeglasses(shop)) == 3


def test_a_mask_blackens_what_it_leaves_out(shop: Path, drawn: Pixels, tmp_path: Path) -> None:
    mask = torch.ones(3, 224, 224)
    mask[..., :112] = 0
    write_image(tmp_path / "mask.png", mask)
    frames = read_eyeglasses(shop, mask=tmp_path / "mask.png")
    assert not frames[..., : 112 - 25].any()
    assert torch.equal(frames[..., 112 - 25 :], drawn[[1, 0, 2]][..., 112 - 25 :])


def test_reading_reports_its_progress(shop: Path) -> None:
    reports: list[tuple[int, int]] = []
    read_eyeglasses(shop, progress=lambda done, total, figures: reports.append((done, total)))
    assert reports == [(1, 3), (2, 3), (3, 3)]


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no folder"):
        read_eyeglasses(tmp_path / "nowhere")


def test_a_missing_list_is_refused(shop: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no list of names"):
        read_eyeglasses(shop, names=tmp_path / "names.txt")


def test_a_list_that_is_not_text_is_refused(shop: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read as a list"):
        read_eyeglasses(shop, names=shop / "a.png")


def test_a_missing_mask_is_refused(shop: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"mask\.png"):
        read_eyeglasses(shop, mask=tmp_path / "mask.png")


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="found none"):
        read_eyeglasses(tmp_path)


def test_an_empty_list_is_refused(shop: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="found none"):
        read_eyeglasses(shop, names=listed(tmp_path / "names.txt"))


def test_a_listed_picture_that_is_missing_is_named(shop: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"lists d\.png"):
        read_eyeglasses(shop, names=listed(tmp_path / "names.txt", "a.png", "d.png"))


def test_a_picture_of_another_size_is_named(shop: Path) -> None:
    write_image(shop / "small.png", torch.zeros(3, 32, 32))
    with pytest.raises(DataError, match=r"small\.png to be 224x224 or 64x176 pixels, got 32x32"):
        read_eyeglasses(shop)


def test_a_picture_that_does_not_decode_is_refused(shop: Path) -> None:
    (shop / "broken.png").write_bytes(b"none")
    with pytest.raises(UnreadableImage, match=r"broken\.png"):
        read_eyeglasses(shop)


def test_a_picture_that_does_not_decode_is_skipped_when_asked(shop: Path) -> None:
    (shop / "broken.png").write_bytes(b"none")
    assert len(read_eyeglasses(shop, skip_unreadable=True)) == 3


def test_a_folder_where_nothing_decodes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"none")
    with pytest.raises(DataError, match="none of the 1 pictures"):
        read_eyeglasses(tmp_path, skip_unreadable=True)


def test_crops_written_read_back_the_same(shop: Path, drawn: Pixels, tmp_path: Path) -> None:
    assert crop_eyeglasses(shop, tmp_path / "crops") == 3
    assert {path.name for path in (tmp_path / "crops").iterdir()} == {"a.png", "b.png", "c.png"}
    assert torch.equal(read_eyeglasses(tmp_path / "crops"), drawn[[1, 0, 2]])


def test_cropping_leaves_other_files_alone(shop: Path, tmp_path: Path) -> None:
    kept = listed(tmp_path / "crops.txt", "kept").rename(tmp_path / "kept.txt")
    crop_eyeglasses(shop, tmp_path)
    assert kept.read_text().strip() == "kept"


def test_cropping_does_not_replace_pictures(shop: Path) -> None:
    before = (shop / "a.png").read_bytes()
    with pytest.raises(ConfigError, match="already there"):
        crop_eyeglasses(shop, shop)
    assert (shop / "a.png").read_bytes() == before


def test_cropping_refuses_two_pictures_of_one_stem(shop: Path, tmp_path: Path) -> None:
    write_image(shop / "a.jpg", torch.zeros(3, 224, 224))
    with pytest.raises(DataError, match=r"both become a\.png"):
        crop_eyeglasses(shop, tmp_path / "crops")


def test_cropping_refuses_a_file_as_its_destination(shop: Path) -> None:
    with pytest.raises(ConfigError, match="is a file"):
        crop_eyeglasses(shop, shop / "a.png")


def test_listed_names_match_however_their_accents_are_encoded(shop: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "e\u0301.png").write_bytes((shop / "a.png").read_bytes())
    names = listed(tmp_path / "names.txt", "\u00e9.png")
    assert len(read_eyeglasses(own, names=names)) == 1
