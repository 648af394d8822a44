"""Files to [0, 1] tensors and back: the only home of uint8 pictures."""

import contextlib
import io
import logging
import threading
import warnings
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import ExifTags, UnidentifiedImageError
from PIL import Image as PilImage

from agns.errors import AgnsError, ConfigError, ImageContractError, UnreadableImage
from agns.formats import FORMATS, HEAD, describe, picture_format, png_damage
from agns.storage import replacing
from agns.types import Image, Images, Pixels

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
"""File endings, in lower case, of pictures that are written; `agns.formats` has those read."""

MOST_PIXELS = 89_478_485
"""Pixels of the largest picture that is decoded: where Pillow begins to suspect an attack."""

SizeCheck: TypeAlias = Callable[[int, int], None]
"""Given a height and a width in pixels, raises what is wrong with them."""

_TOO_LARGE = f"has more than {MOST_PIXELS // 10**6} million pixels: shrink it first"
_TURN = PilImage.Transpose
_TURNS = {
    2: _TURN.FLIP_LEFT_RIGHT, 3: _TURN.ROTATE_180, 4: _TURN.FLIP_TOP_BOTTOM, 5: _TURN.TRANSPOSE,
    6: _TURN.ROTATE_270, 7: _TURN.TRANSVERSE, 8: _TURN.ROTATE_90,
}  # fmt: skip
# Pillow reads AVIF from 11.3 on.
_FORMATS = [name for name in FORMATS if name != "AVIF" or find_spec("PIL.AvifImagePlugin")]
_FILTERS = threading.Lock()
# Pillow logs what it cannot make sense of, which would reach the terminal.
logging.getLogger("PIL").addHandler(logging.NullHandler())


def check_images(images: torch.Tensor, *, size: tuple[int, int] | None = None) -> None:
    """Hold a batch against the image contract.

    Args:
        images: What claims to be float32 RGB, (batch, 3, height, width), in [0, 1].
        size: (height, width) in pixels that the batch must have, if any.

    Raises:
        ImageContractError: The dtype, layout, channel count, size or range is another.
    """
    if images.ndim != 4 or images.shape[1] != 3:
        raise ImageContractError(
            f"expected images shaped (batch, 3, height, width), got {tuple(images.shape)}"
        )
    if images.dtype != torch.float32:
        raise ImageContractError(f"expected float32 images, got {images.dtype}")
    if size is not None and tuple(images.shape[2:]) != size:
        raise ImageContractError(
            f"expected images of {size[0]}x{size[1]} pixels, "
            f"got {images.shape[2]}x{images.shape[3]}"
        )
    if images.numel() == 0:
        return
    low, high = (float(bound) for bound in torch.aminmax(images.detach()))
    # Written so that NaN fails too; warping and resizing may overshoot by a rounding error.
    if not (low >= -1e-4 and high <= 1 + 1e-4):
        raise ImageContractError(f"expected values in [0, 1], got [{low:.4g}, {high:.4g}]")


def read_pixels(path: Path, check: SizeCheck | None = None) -> UInt8[np.ndarray, "height width 3"]:
    """Decode a picture, turned as its metadata say, as RGB bytes.

    The content tells the format, one of `agns.formats.FORMATS`, whatever the file is called. Of
    several pictures in a file the first is taken; transparency is dropped. Metadata that are
    damaged do not turn a picture.

    Args:
        path: The file.
        check: Given the height and the width in pixels, raises what is to be raised; called before
            anything is decoded, so that a huge picture costs nothing.

    Raises:
        ConfigError: There is no such file.
        UnreadableImage: The file does not decode as a picture, or has more than `MOST_PIXELS`.
    """
    with _opened(path) as picture:
        _check_head(picture, path, check)
        with _decoding(path):
            # Only TIFF's reader turns pictures and warns of metadata while it decodes. What libtiff
            # itself writes to standard error stays: descriptor 2 belongs to the process, so that
            # turning it away here would swallow what other threads say meanwhile.
            with _pillow_quiet() if picture.format == "TIFF" else contextlib.nullcontext():
                picture.load()
            turned = _turned(picture)
            if turned.mode.startswith("F"):
                raise UnreadableImage(
                    f"{path} holds numbers with a fraction: save it with 8 or 16 bits a channel"
                )
            if turned.mode.startswith("I"):
                # Pillow would cut 16-bit grey off at 255 in place of scaling it.
                scaled = (np.asarray(turned) / 257).clip(0, 255).round().astype(np.uint8)
                turned = PilImage.fromarray(scaled)
            # Dropped here, because Pillow warns of dropping some.
            turned.info.pop("transparency", None)
            pixels = np.asarray(turned.convert("RGB"))
    if check is not None:
        check(*pixels.shape[:2])
    return pixels


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[PilImage.Image]:
    """A picture whose head has been read; its pixels have not."""
    with _decoding(path):
        if path.exists() and not path.is_file():
            # A pipe would be waited for.
            raise UnreadableImage(f"{path} is no file, but a folder or a device")
        with _pillow_quiet():
            picture = PilImage.open(path, formats=_FORMATS)
    with picture:
        yield picture


@contextlib.contextmanager
def _decoding(path: Path) -> Iterator[None]:
    """Turn what Pillow raises into a sentence.

    Raises:
        ConfigError: There is no such file.
        UnreadableImage: Anything else went wrong.
    """
    try:
        yield
    except AgnsError:
        raise
    except FileNotFoundError as error:
        raise ConfigError(f"there is no picture {path}") from error
    except PilImage.DecompressionBombError as error:
        raise UnreadableImage(f"{path} {_TOO_LARGE}") from error
    # Damaged files make decoders raise nearly anything.
    except Exception as error:
        if isinstance(error, OSError) and error.strerror is not None:
            raise UnreadableImage(f"{path} cannot be read: {error.strerror}") from error
        raise UnreadableImage(
            f"{path} does not decode as a picture: it is {_found(path, error)}"
        ) from error


def _found(path: Path, error: Exception) -> str:
    """What a file is that does not decode."""
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
            kind = picture_format(head, path.name)
            if kind is None:
                return describe(head, path.name)
            wrong = png_damage(file) if kind == "PNG" else None
    except OSError as unread:
        return f"unreadable ({unread.strerror})"
    if wrong is None:
        # Pillow's own words for a head that it cannot read name the file once more.
        unknown = isinstance(error, UnidentifiedImageError) or not str(error)
        wrong = "its head cannot be read" if unknown else str(error)
    article = "an" if kind == "AVIF" else "a"
    return f"{article} {kind} file that is damaged ({wrong}): copy or save it anew"


def _check_head(picture: PilImage.Image, path: Path, check: SizeCheck | None) -> None:
    """Hold the size that a picture's head tells against what is expected."""
    width, height = picture.size
    tags = getattr(picture, "tag_v2", {})
    # A TIFF's tiles are decoded whole, however small the picture is that they cover.
    across, down = (int(tags.get(number) or 0) for number in (322, 323))
    if across * down > max(4 * width * height, 2**22):
        raise UnreadableImage(
            f"{path} says that its tiles are {down}x{across} pixels, far more than the picture: "
            "save it anew"
        )
    if width * height > MOST_PIXELS:
        raise UnreadableImage(f"{path} {_TOO_LARGE}")
    if check is None:
        return
    # A PNG may say at its end that it lies on its side; some releases of Pillow give a TIFF's size
    # as it is stored, some as it is turned.
    late = picture.format == "TIFF" or (picture.format == "PNG" and "exif" not in picture.info)
    if not late and _orientation(picture) >= 5:
        height, width = width, height
    try:
        check(height, width)
    except AgnsError as error:
        if not late:
            raise
        try:
            check(width, height)
        except AgnsError:
            raise error from None


def _turned(picture: PilImage.Image) -> PilImage.Image:
    """A decoded picture as it is to be looked at."""
    turn = _TURNS.get(_orientation(picture))
    return picture if turn is None else picture.transpose(turn)


def _orientation(picture: PilImage.Image) -> int:
    """How a picture lies, from 1 to 8 as in EXIF (tag 274), 1 where nothing can be read of it."""
    # ImageMagick keeps EXIF data in a PNG as text: a line of the kind, one of the length, hex.
    for kind in (None, "exif", "APP1"):
        # Damaged metadata make Pillow raise nearly anything.
        with contextlib.suppress(Exception), _pillow_quiet():
            if kind is None:
                exif = picture.getexif()
            else:
                lines = str(picture.info[f"Raw profile type {kind}"]).split()
                exif = PilImage.Exif()
                exif.load(bytes.fromhex("".join(lines[2:])))
            if (found := exif.get(ExifTags.Base.Orientation)) is not None:
                return int(found)
    return 1


@contextlib.contextmanager
def _pillow_quiet() -> Iterator[None]:
    """Keep Pillow from warning of damaged metadata, which it reads as far as it can."""
    # Filters for warnings belong to the process, and pictures are read by several threads.
    with _FILTERS, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def read_image(path: Path, *, size: tuple[int, int] | None = None) -> Image:
    """Read one picture as float32 RGB in [0, 1].

    Args:
        path: A picture, as `read_pixels` takes it.
        size: (height, width) in pixels that the picture must have, if any.

    Raises:
        ConfigError: There is no such file.
        UnreadableImage: The file does not decode.
        ImageContractError: The picture has another size than asked for.
    """

    def check(height: int, width: int) -> None:
        if size is not None and (height, width) != size:
            raise ImageContractError(
                f"expected {path} to be {size[0]}x{size[1]} pixels, got {height}x{width}"
            )

    pixels = read_pixels(path, check).transpose(2, 0, 1).copy()
    return torch.from_numpy(pixels).to(torch.float32).div_(255)


def from_pixels(pixels: Pixels) -> Images:
    """Bytes to float32 in [0, 1]."""
    return pixels.to(torch.float32) / 255


def to_pixels(images: Images) -> Pixels:
    """Float32 in [0, 1] to the nearest bytes; what lies outside is clipped."""
    return (images.detach().cpu().clamp(0, 1) * 255).round().to(torch.uint8)


def to_picture(image: Image) -> PilImage.Image:
    """One [0, 1] tensor as a Pillow picture."""
    return PilImage.fromarray(to_pixels(image[None])[0].permute(1, 2, 0).contiguous().numpy())


def check_picture_name(path: Path) -> None:
    """Complain early of a picture that cannot be written.

    Raises:
        ConfigError: The name ends otherwise than `IMAGE_SUFFIXES`.
    """
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        raise ConfigError(f"a picture's name ends in {', '.join(IMAGE_SUFFIXES)}, got {path}")


def write_image(path: Path, image: Image, *, quick: bool = False) -> None:
    """Write one [0, 1] tensor as a PNG or JPEG file (by its ending), atomically.

    Args:
        path: The file.
        image: The picture.
        quick: Pack PNGs less, in a quarter of the time; they are a little larger.

    Raises:
        ConfigError: As `check_picture_name`.
    """
    check_picture_name(path)
    packed = io.BytesIO()
    kind = "PNG" if path.suffix.lower() == ".png" else "JPEG"
    to_picture(image).save(packed, format=kind, compress_level=1 if quick else 6)
    with replacing(path) as temporary:
        # Pillow itself says nothing of a JPEG that a full disk cuts short.
        temporary.write_bytes(packed.getbuffer())


def tile(
    images: Images, *, columns: int, gap: int = 2, background: float = 1.0
) -> Float[torch.Tensor, "3 sheet_height sheet_width"]:
    """Lay a batch out row by row as one picture.

    Args:
        images: Pictures of one size, in [0, 1].
        columns: Pictures in a row, at least 1.
        gap: Pixels between and around the pictures.
        background: Grey level between them, in [0, 1].

    Returns:
        The sheet, in [0, 1].
    """
    count, _, height, width = images.shape
    columns = min(columns, count)
    rows = -(-count // columns)
    sheet = images.new_full(
        (3, gap + rows * (height + gap), gap + columns * (width + gap)), background
    )
    for index, image in enumerate(images):
        top = gap + (index // columns) * (height + gap)
        left = gap + (index % columns) * (width + gap)
        sheet[:, top : top + height, left : left + width] = image
    return sheet
