"""Pictures decoded once into a memory-mapped file, keyed by the content of their sources."""

import contextlib
import errno
import hashlib
import os
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image as PilImage
from torch import Tensor

from agns.decoding import read_pixels
from agns.errors import AgnsError, ConfigError, DataError, UnreadableImage
from agns.storage import file_digest, named_in_utf8, read_json, write_json
from agns.types import CANVAS, Progress, silent
from agns.writing import is_text, replacing

LFW_SIZE = (250, 250)
LFW_CENTER = 120
"""Labeled Faces in the Wild come at 250x250, deep-funneled: the face fills the central 120."""

FORMAT = "agns-pixels-2"
"""Raises with every change of what the cache files hold, so that older ones are not read."""

PICTURE_BYTES = 3 * CANVAS * CANVAS
WORKERS = 2
STALE_SECONDS = 3600.0

Picture = UInt8[np.ndarray, "3 224 224"]
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class CachedPictures(NamedTuple):
    """Decoded pictures, and those that do not decode."""

    pixels: UInt8[Tensor, "photos 3 224 224"]
    """A private map of the cache file: writing to it changes the copy in memory alone."""

    photos: tuple[str, ...]
    """Paths relative to the root, in the order of the pixels."""

    digests: tuple[str, ...]
    """`digest` of each picture."""

    skipped: tuple[str, ...]
    """Paths relative to the root of the pictures left out because they do not decode."""


def cache_directory() -> Path:
    """Where decoded pictures go: $AGNS_CACHE, else $XDG_CACHE_HOME/agns, else ~/.cache/agns."""
    if chosen := os.environ.get("AGNS_CACHE"):
        return Path(chosen)
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "agns"
    return Path.home() / ".cache" / "agns"


def digest(picture: UInt8[np.ndarray, "3 height width"]) -> str:
    """The first 16 hex digits of the SHA-256 of a picture's bytes, channel by channel."""
    return hashlib.sha256(np.ascontiguousarray(picture).data).hexdigest()[:16]


def in_threads(
    work: Callable[[_Item], _Result], items: Iterable[_Item], workers: int = 0
) -> Generator[_Result, None, None]:
    """Do some work on each item in threads, `WORKERS` by default; give the results in order."""
    with ThreadPoolExecutor(workers or WORKERS) as pool:
        yield from pool.map(work, items)


def content_key(root: Path, photos: Sequence[str], *, center_crop: int | None) -> str:
    """A name for decoded pictures, 64 hex digits, that changes with any path, byte and the crop.

    Raises:
        DataError: A path is not UTF-8 text.
    """
    whole = hashlib.sha256(f"{FORMAT}\0{center_crop}\0".encode())
    contents = in_threads(lambda photo: digest_if_readable(root / photo), photos)
    for photo, content in zip(photos, contents, strict=True):
        if not is_text(photo):
            # Neither the cache's record nor a report could hold it.
            raise DataError(f"the name of {str(root / photo)!r} is not UTF-8 text: rename it")
        whole.update(f"{photo}\0{content}\0".encode())
    return whole.hexdigest()


def digest_if_readable(path: Path) -> str:
    """A file's digest, or `unreadable`."""
    try:
        return file_digest(path)
    except OSError:
        # Decoding the file names it and says what is wrong.
        return "unreadable"


def decoded_pictures(
    root: Path,
    photos: Sequence[str],
    *,
    center_crop: int | None = None,
    skip_unreadable: bool = False,
    cache: Path | None = None,
    workers: int = 0,
    progress: Progress = silent,
) -> CachedPictures:
    """Decode pictures, or map those that an earlier call has decoded.

    Args:
        root: The folder that the paths start from.
        photos: Paths relative to `root`, in the order the pictures are given in.
        center_crop: As `decode_face` takes it.
        skip_unreadable: Leave out what does not decode, and note it.
        cache: Where they are kept, in `cache_directory` by default; made if it is not there.
        workers: Threads that decode, 0 for the default.
        progress: Told after each picture.

    Raises:
        ConfigError: The cache cannot be written to.
        DataError: A picture has the wrong size, none is left, or a file was replaced meanwhile.
        UnreadableImage: A picture does not decode, and these are not to be skipped.
    """
    directory = cache_directory() if cache is None else cache
    key = content_key(root, photos, center_crop=center_crop)
    found = _read(directory, key)
    # Decoding once more where an earlier run skipped pictures names the first of them.
    if found is not None and (skip_unreadable or not found.skipped):
        progress(len(photos), len(photos), {})
        return found

    def decoded(photo: str) -> tuple[str, Picture | UnreadableImage]:
        try:
            return photo, decode_face(root / photo, center_crop=center_crop)
        except UnreadableImage as error:
            return photo, error

    record = directory / f"{key}.json"
    damaged = record.is_file()
    unreadable: dict[str, UnreadableImage] = {}
    kept: dict[str, str] = {}
    with writable(directory), contextlib.suppress(_ThereByNow):
        _sweep(directory)
        with (
            replacing(directory / f"{key}.pixels") as temporary,
            temporary.open("wb") as file,
            contextlib.closing(in_threads(decoded, photos, workers)) as pictures,
        ):
            for done, (photo, picture) in enumerate(pictures, 1):
                if isinstance(picture, UnreadableImage):
                    unreadable[photo] = picture
                else:
                    file.write(picture.data)
                    kept[photo] = digest(picture)
                progress(done, len(photos), {})
            if unreadable and not skip_unreadable:
                raise UnreadableImage.together([*unreadable.values()])
            if not kept:
                raise DataError(f"none of the {len(photos)} pictures in {root} decodes")
            if content_key(root, photos, center_crop=center_crop) != key:
                raise DataError(
                    f"pictures in {root} were replaced while they were read: run the command again"
                )
            if record.is_file() and not damaged:
                raise _ThereByNow
        # Written last, so that pixels without their record count as absent.
        listed = {"photos": [*kept], "digests": [*kept.values()], "skipped": [*unreadable]}
        write_json(record, listed)
    if (found := _read(directory, key)) is None:
        raise DataError(f"decoded pictures written to {directory} do not read back")
    return found


class _ThereByNow(Exception):
    """Another process has stored the same pictures meanwhile.

    It may have mapped them already: on a disk that machines share, a file that is replaced is gone.
    """


def _read(directory: Path, key: str) -> CachedPictures | None:
    """Map the entry of that key; None if there is none, or if it is damaged."""
    path = directory / f"{key}.pixels"
    try:
        record = read_json(directory / f"{key}.json")
        photos, digests, skipped = (
            _strings(record.get(name)) for name in ("photos", "digests", "skipped")
        )
        if not len(photos) == len(digests) == path.stat().st_size / PICTURE_BYTES:
            return None
        # A private map: read-only memory would make torch warn, and writing must not reach the
        # file.
        with named_in_utf8(path) as name:
            flat = torch.from_file(
                name, shared=False, size=len(photos) * PICTURE_BYTES, dtype=torch.uint8
            )
    except (DataError, OSError, RuntimeError):
        return None
    pixels = flat.view(len(photos), 3, CANVAS, CANVAS)
    if tuple(in_threads(digest, pixels.numpy())) != digests:
        return None
    return CachedPictures(pixels=pixels, photos=photos, digests=digests, skipped=skipped)


def _strings(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
        raise DataError(f"expected a list of strings, got {type(value).__name__}")
    return tuple(value)


def decode_face(path: Path, *, center_crop: int | None) -> Picture:
    """Decode one picture onto the face canvas.

    Args:
        path: A picture, as `agns.decoding.read_pixels` takes it.
        center_crop: Side in pixels of the central square that is resized to the canvas. Without
            it a picture of the canvas' size is taken as it is, one of 250x250 pixels as a
            deep-funneled photo of Labeled Faces in the Wild, of which the central 120 are
            taken, and any other is refused.

    Returns:
        RGB bytes, channel by channel.

    Raises:
        ConfigError: There is no such file, or the crop has no size.
        DataError: The picture has none of these sizes, or is smaller than the crop.
        UnreadableImage: The file does not decode.
    """
    if center_crop is not None and center_crop < 1:
        raise ConfigError(f"center_crop must be at least 1, got {center_crop}")

    def check(height: int, width: int) -> None:
        if center_crop is None and (height, width) not in (LFW_SIZE, (CANVAS, CANVAS)):
            raise DataError(
                f"{path} has {height}x{width} pixels, expected {CANVAS}x{CANVAS}: "
                "align the faces first, or take the centre with --center-crop SIDE"
            )
        if min(height, width) < (center_crop or 1):
            raise DataError(
                f"{path} has {height}x{width} pixels, too few for --center-crop {center_crop}"
            )

    pixels = read_pixels(path, check)
    height, width = pixels.shape[:2]
    side = LFW_CENTER if center_crop is None and (height, width) == LFW_SIZE else center_crop
    if side is not None:
        top, left = (height - side) // 2, (width - side) // 2
        square = PilImage.fromarray(pixels[top : top + side, left : left + side])
        pixels = np.asarray(square.resize((CANVAS, CANVAS), PilImage.Resampling.BICUBIC))
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


@contextlib.contextmanager
def writable(directory: Path, what: str = "decoded pictures") -> Iterator[None]:
    """Turn what goes wrong while writing there into a sentence with a way out.

    Args:
        directory: In the cache.
        what: Is kept there.

    Raises:
        ConfigError: The directory cannot be written to.
        DataError: It could be, until the disk or a quota was full.
    """
    try:
        yield
    except AgnsError:
        raise
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        raise (DataError if full else ConfigError)(
            f"{what} cannot be kept in {directory}: {error} "
            "(set AGNS_CACHE to a folder with room that can be written to)"
        ) from error


def _sweep(directory: Path) -> None:
    """Remove what killed runs left unfinished; a run at work keeps its file fresh."""
    for temporary in directory.glob(".*.tmp"):
        with contextlib.suppress(OSError):
            if time.time() - temporary.stat().st_mtime > STALE_SECONDS:
                temporary.unlink()
