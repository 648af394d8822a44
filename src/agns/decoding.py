"""Picture files to RGB bytes: told by their content, held against their heads, turned."""

import contextlib
import logging
import threading
import warnings
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TypeAlias

import numpy as np
from jaxtyping import UInt8
from PIL import ExifTags, UnidentifiedImageError
from PIL import Image as PilImage

from agns.errors import AgnsError, ConfigError, UnreadableImage
from agns.file_kinds import FORMATS, HEAD, describe, picture_format, png_damage

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


def read_pixels(path: Path, check: SizeCheck | None = None) -> UInt8[np.ndarray, "height width 3"]:
    """Decode a picture, turned as its metadata say, as RGB bytes.

    The content tells the format, one of `agns.file_kinds.FORMATS`, whatever the file is called. Of
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
