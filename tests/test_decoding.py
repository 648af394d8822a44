import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PilImage
from PIL.PngImagePlugin import PngInfo

from agns.decoding import read_pixels
from agns.errors import ImageContractError, UnreadableImage
from agns.file_kinds import picture_format, read_head
from agns.images import (
    read_image,
    to_pixels,
)

ORIENTATION = 274


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_as_its_exif_data_says(tmp_path: Path, orientation: int) -> None:
    upright = np.zeros((2, 3, 3), dtype=np.uint8)
    upright[0, 0] = 255
    # How the camera stored the upright picture (EXIF 2.32, tag 0x0112).
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = PilImage.Exif()
    exif[ORIENTATION] = orientation
    PilImage.fromarray(np.ascontiguousarray(stored)).save(tmp_path / "turned.png", exif=exif)
    assert np.array_equal(read_pixels(tmp_path / "turned.png"), upright)


UPRIGHT = np.zeros((2, 3, 3), dtype=np.uint8)
UPRIGHT[0] = 250


def exif(orientation: int) -> PilImage.Exif:
    made = PilImage.Exif()
    made[ORIENTATION] = orientation
    return made


def raw_profile(kind: str, content: bytes) -> PngInfo:
    """EXIF data as ImageMagick writes them into a PNG."""
    text = PngInfo()
    lines = "\n".join(content.hex()[at : at + 72] for at in range(0, 2 * len(content), 72))
    text.add_text(f"Raw profile type {kind}", f"\n{kind}\n{len(content):8}\n{lines}\n", zip=True)
    return text


XMP = '<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'


def xmp() -> PngInfo:
    text = PngInfo()
    text.add_itxt("XML:com.adobe.xmp", XMP)
    return text


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {"exif": exif(6), "quality": 95}),
        ("PNG", {"exif": exif(6)}),
        ("PNG", {"pnginfo": raw_profile("exif", exif(6).tobytes())}),
        ("PNG", {"pnginfo": raw_profile("APP1", exif(6).tobytes())}),
        ("PNG", {"pnginfo": xmp()}),
        ("JPEG", {"xmp": XMP.encode(), "quality": 95}),
        ("WEBP", {"exif": exif(6), "lossless": True}),
        ("WEBP", {"xmp": XMP.encode(), "lossless": True}),
        ("AVIF", {"exif": exif(6), "quality": 100}),
        ("TIFF", {"tiffinfo": {ORIENTATION: 6}}),
        ("TIFF", {"tiffinfo": {ORIENTATION: 6}, "compression": "tiff_lzw"}),
    ],
)
def test_a_picture_is_turned_wherever_its_orientation_is_written(
    tmp_path: Path, kind: str, options: dict[str, Any]
) -> None:
    stored = np.ascontiguousarray(np.rot90(UPRIGHT.repeat(8, 0).repeat(8, 1), 1))
    # The name says nothing about the format.
    PilImage.fromarray(stored).save(tmp_path / "photo", format=kind, **options)
    read = read_pixels(tmp_path / "photo")
    assert read.shape == (16, 24, 3)
    assert (read[:7] > 200).all()
    assert (read[9:] < 50).all()
    assert read_image(tmp_path / "photo", size=(16, 24)).shape == (3, 16, 24)


def test_metadata_after_the_pixels_turn_a_png_too(tmp_path: Path) -> None:
    path = tmp_path / "late.png"
    PilImage.fromarray(np.ascontiguousarray(np.rot90(UPRIGHT, 1))).save(path)
    body = exif(6).tobytes().removeprefix(b"Exif\0\0")
    check = zlib.crc32(b"eXIf" + body).to_bytes(4, "big")
    whole = path.read_bytes()
    path.write_bytes(
        whole[:-12] + len(body).to_bytes(4, "big") + b"eXIf" + body + check + whole[-12:]
    )
    assert np.array_equal(
        to_pixels(read_image(path, size=(2, 3))[None])[0].permute(1, 2, 0), UPRIGHT
    )


@pytest.mark.parametrize(
    "text",
    ["", "\nexif\n 8\nzz", "\nexif\n 8\n45786", "\nexif\n 20\n45786966000049492a00ffffffff", "x"],
)
def test_a_damaged_raw_profile_leaves_the_picture_as_it_is(tmp_path: Path, text: str) -> None:
    profile = PngInfo()
    profile.add_text("Raw profile type exif", text)
    PilImage.fromarray(UPRIGHT).save(tmp_path / "odd.png", pnginfo=profile)
    assert np.array_equal(read_pixels(tmp_path / "odd.png"), UPRIGHT)


def test_a_damaged_tag_beside_the_orientation_does_not_keep_a_picture_from_being_turned(
    tmp_path: Path,
) -> None:
    damaged = exif(6)
    damaged[305] = "name of the software"
    content = damaged.tobytes()
    # The place of that name lies beyond the end.
    content = content.replace((38).to_bytes(4, "big"), b"\0\xff\xff\xff")
    assert content != damaged.tobytes()
    stored = np.ascontiguousarray(np.rot90(UPRIGHT, 1))
    PilImage.fromarray(stored).save(tmp_path / "odd.png", exif=content)
    assert np.array_equal(read_pixels(tmp_path / "odd.png"), UPRIGHT)


@pytest.mark.parametrize("kind", ["WEBP", "AVIF", "TIFF", "BMP", "GIF", "PPM", "JPEG2000", "PNG"])
def test_the_content_tells_the_format_whatever_the_name(tmp_path: Path, kind: str) -> None:
    PilImage.new("RGB", (16, 16), (200, 200, 200)).save(tmp_path / "photo.jpg", format=kind)
    assert abs(read_pixels(tmp_path / "photo.jpg").astype(int) - 200).max() <= 3
    assert picture_format(read_head(tmp_path / "photo.jpg")) is not None


def test_of_a_moving_picture_the_first_frame_is_read(tmp_path: Path) -> None:
    frames = [PilImage.new("RGB", (4, 4), color) for color in ("white", "black")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert (read_pixels(tmp_path / "a.gif") == 255).all()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it is an empty file"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "it is HEIC, which agns does not read: save it as"),
        (b"\0\0\0\x14ftypisom\0\0\2\0mp41", "it is a video"),
        (
            b"\n<!DOCTYPE html><html><body>sign in</body></html>",
            "it is a web page: download the",
        ),
        (b"%PDF-1.7\n", "it is a PDF file"),
        (b"PK\3\4zip", "it is a packed archive: unpack it"),
        (b"\xff\x0acodestream", "it is JPEG XL"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (bytes(600), "it is a file of zeros"),
        (b"hello", "it is a text file, no picture"),
        (bytes(range(256)), "of no format that agns reads"),
    ],
)
def test_a_file_that_is_no_picture_is_called_what_it_is(
    tmp_path: Path, content: bytes, said: str
) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    with pytest.raises(UnreadableImage) as caught:
        read_pixels(path)
    assert str(caught.value).startswith(f"{path} does not decode as a picture: it is ")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("place", "said"),
    [(20, "the checksum of its IHDR part is wrong"), (None, "it ends too early")],
)
def test_a_damaged_png_says_what_is_wrong(tmp_path: Path, place: int | None, said: str) -> None:
    path = tmp_path / "photo.jpg"
    PilImage.effect_noise((32, 32), 90).save(path, format="PNG")
    whole = bytearray(path.read_bytes())
    if place is not None:
        whole[place] ^= 1
    path.write_bytes(whole[: None if place is not None else 200])
    with pytest.raises(UnreadableImage) as caught:
        read_pixels(path)
    assert str(caught.value) == (
        f"{path} does not decode as a picture: it is a PNG file that is damaged ({said}): copy or "
        "save it anew"
    )


@pytest.fixture
def huge(tmp_path: Path) -> Callable[[int], Path]:
    """Writes a PNG of so many pixels square whose head alone is whole."""

    def write(side: int) -> Path:
        path = tmp_path / "huge.png"
        PilImage.new("L", (1, 1)).save(path)
        whole = bytearray(path.read_bytes())
        whole[16:24] = struct.pack(">II", side, side)
        whole[29:33] = zlib.crc32(whole[12:29]).to_bytes(4, "big")
        path.write_bytes(whole)
        return path

    return write


@pytest.mark.parametrize("side", [9460, 13_300, 40_000])
def test_a_huge_picture_is_refused_by_its_head(huge: Callable[[int], Path], side: int) -> None:
    path = huge(side)
    with pytest.raises(UnreadableImage, match=r"huge\.png has more than 89 million pixels"):
        read_image(path)


def test_another_size_than_asked_for_is_refused_by_the_head(huge: Callable[[int], Path]) -> None:
    path = huge(9000)
    with pytest.raises(ImageContractError, match="to be 4x4 pixels, got 9000x9000"):
        read_image(path, size=(4, 4))


def test_a_palette_with_transparency_draws_no_warning(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    picture = PilImage.new("P", (2, 2), 1)
    picture.putpalette([0, 0, 0, 10, 20, 30])
    picture.save(tmp_path / "palette.png", transparency=bytes([0, 128]))
    assert read_pixels(tmp_path / "palette.png")[0, 0].tolist() == [10, 20, 30]
    assert not recwarn.list


def test_grey_becomes_three_equal_channels(tmp_path: Path) -> None:
    PilImage.new("L", (2, 2), 77).save(tmp_path / "grey.png")
    assert (read_pixels(tmp_path / "grey.png") == 77).all()


def test_sixteen_bit_grey_is_scaled_and_not_cut_off(tmp_path: Path) -> None:
    levels = np.array([[0, 257 * 10], [257 * 200, 65535]], dtype=np.uint16)
    PilImage.fromarray(levels).save(tmp_path / "deep.png")
    assert read_pixels(tmp_path / "deep.png")[..., 0].tolist() == [[0, 10], [200, 255]]


def test_transparency_is_dropped(tmp_path: Path) -> None:
    PilImage.new("RGBA", (2, 2), (9, 8, 7, 100)).save(tmp_path / "clear.png")
    assert read_pixels(tmp_path / "clear.png")[0, 0].tolist() == [9, 8, 7]


def test_text_called_jpg_is_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "text.jpg"
    path.write_text("not a picture", encoding="utf-8")
    with pytest.raises(UnreadableImage, match=r"text\.jpg does not decode as a picture") as caught:
        read_image(path)
    assert str(caught.value).count(str(path)) == 1


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_cut_off_picture_is_unreadable(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "cut.jpg"
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    PilImage.fromarray(noise).save(path, format=kind)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UnreadableImage, match=r"cut\.jpg"):
        read_pixels(path)


def test_damaged_exif_data_raises_nothing_but_unreadable_image(tmp_path: Path) -> None:
    path = tmp_path / "odd.jpg"
    exif = PilImage.Exif()
    exif[ORIENTATION], exif[270] = 6, "title"
    PilImage.new("RGB", (8, 8)).save(path, exif=exif)
    whole = path.read_bytes()
    random = np.random.default_rng(0)
    for _ in range(300):
        damaged = bytearray(whole)
        for place in random.integers(20, 100, 3):
            damaged[place] = random.integers(256)
        path.write_bytes(damaged)
        try:
            read_pixels(path)
        except UnreadableImage:
            continue


def test_a_tile_far_larger_than_its_picture_is_refused_by_the_head(tmp_path: Path) -> None:
    tags = {
        256: 16, 257: 16, 258: 8, 259: 8, 262: 1, 277: 1,
        322: 32768, 323: 32768, 324: 200, 325: 9,
    }  # fmt: skip
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    head = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)
    (tmp_path / "tile.tif").write_bytes(head.ljust(200, b"\0") + zlib.compress(bytes(9)))
    with pytest.raises(UnreadableImage, match=r"tile\.tif says that its tiles are 32768x32768"):
        read_pixels(tmp_path / "tile.tif")
