from pathlib import Path

import pytest
import torch
from PIL import Image as PilImage

from agns.errors import ConfigError, ImageContractError
from agns.images import (
    check_images,
    from_pixels,
    read_image,
    tile,
    to_picture,
    to_pixels,
    write_image,
)


@pytest.mark.parametrize(
    ("images", "size", "complaint"),
    [
        (torch.zeros(3, 4, 4), None, r"\(batch, 3, height, width\), got \(3, 4, 4\)"),
        (torch.zeros(1, 1, 4, 4), None, r"got \(1, 1, 4, 4\)"),
        (torch.zeros(1, 4, 4, 3), None, r"got \(1, 4, 4, 3\)"),
        (torch.zeros(1, 3, 4, 4, dtype=torch.float64), None, "float32 images, got torch.float64"),
        (torch.zeros(1, 3, 4, 4, dtype=torch.uint8), None, "got torch.uint8"),
        (torch.zeros(1, 3, 4, 5), (4, 4), "4x4 pixels, got 4x5"),
        (torch.full((1, 3, 4, 4), 255.0), None, r"in \[0, 1\], got \[255, 255\]"),
        (torch.full((1, 3, 4, 4), -1.0), None, r"got \[-1, -1\]"),
        (torch.full((1, 3, 4, 4), torch.nan), None, "got .nan, nan."),
    ],
)
def test_what_breaks_the_contract_is_refused(
    images: torch.Tensor, size: tuple[int, int] | None, complaint: str
) -> None:
    with pytest.raises(ImageContractError, match=complaint):
        check_images(images, size=size)


def test_images_in_range_pass_and_so_does_a_rounding_error() -> None:
    check_images(torch.full((2, 3, 4, 5), 1 + 5e-5), size=(4, 5))
    check_images(torch.zeros(0, 3, 4, 5))


def test_every_byte_survives_the_way_to_float_and_back() -> None:
    pixels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand(1, 3, 16, 16)
    images = from_pixels(pixels)
    check_images(images)
    assert torch.equal(to_pixels(images), pixels)


def test_to_pixels_clips_and_rounds_to_the_nearest_byte() -> None:
    values = torch.tensor([-0.2, 0.6 / 255, 1.4 / 255, 1.7]).view(1, 1, 1, 4).expand(1, 3, 1, 4)
    assert to_pixels(values)[0, 0, 0].tolist() == [0, 1, 1, 255]


def test_a_png_reads_back_as_it_was_written(tmp_path: Path, generator: torch.Generator) -> None:
    image = from_pixels(
        torch.randint(0, 256, (1, 3, 5, 7), generator=generator, dtype=torch.uint8)
    )[0]
    write_image(tmp_path / "inner" / "image.png", image)
    read = read_image(tmp_path / "inner" / "image.png", size=(5, 7))
    assert torch.equal(read, image)
    assert [path.name for path in (tmp_path / "inner").iterdir()] == ["image.png"]


@pytest.mark.parametrize("name", ["a.webp", "a.tif", "a"])
def test_pictures_of_other_kinds_are_not_written_as_png(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"name ends in \.jpg, \.jpeg, \.png, got .*/a"):
        write_image(tmp_path / name, torch.rand(3, 8, 8))
    assert list(tmp_path.iterdir()) == []


def test_the_ending_decides_the_format(tmp_path: Path) -> None:
    for name, kind in (("a.jpg", "JPEG"), ("a.JPEG", "JPEG"), ("a.png", "PNG")):
        write_image(tmp_path / name, torch.rand(3, 8, 8))
        with PilImage.open(tmp_path / name) as picture:
            assert picture.format == kind


def test_red_is_the_first_channel(tmp_path: Path) -> None:
    PilImage.new("RGB", (3, 2), (255, 128, 0)).save(tmp_path / "red.png")
    image = read_image(tmp_path / "red.png")
    assert image.shape == (3, 2, 3)
    assert image[:, 0, 0].tolist() == pytest.approx([1, 128 / 255, 0])
    assert to_picture(image).getpixel((0, 0)) == (255, 128, 0)


def test_a_missing_picture_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no picture .*nowhere\.png"):
        read_image(tmp_path / "nowhere.png")


def test_a_picture_of_another_size_is_refused(tmp_path: Path) -> None:
    PilImage.new("RGB", (3, 2)).save(tmp_path / "small.png")
    with pytest.raises(ImageContractError, match=r"small\.png to be 4x4 pixels, got 2x3"):
        read_image(tmp_path / "small.png", size=(4, 4))


def test_tile_lays_pictures_out_row_by_row(generator: torch.Generator) -> None:
    images = torch.rand(3, 3, 4, 5, generator=generator)
    sheet = tile(images, columns=2, gap=1, background=0.5)
    assert sheet.shape == (3, 1 + 2 * 5, 1 + 2 * 6)
    assert torch.equal(sheet[:, 1:5, 1:6], images[0])
    assert torch.equal(sheet[:, 1:5, 7:12], images[1])
    assert torch.equal(sheet[:, 6:10, 1:6], images[2])
    assert (sheet[:, 6:10, 7:12] == 0.5).all()


def test_tile_is_no_wider_than_the_batch() -> None:
    assert tile(torch.zeros(2, 3, 4, 4), columns=9, gap=0).shape == (3, 4, 8)
