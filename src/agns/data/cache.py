"""Pictures decoded once into a memory-mapped file, keyed by the content of their sources."""

import contextlib
import errno
import hashlib
import os
import time
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image as PilImage
from torch import Tensor

from agns.decoding import read_pixels
from agns.errors import AgnsError, ConfigError, DataError, UnreadableImage
from agns.storage import file_digest, named_in_utf8, read_json, write_json
from agns.types import CANVAS, Progress
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


@dataclass(frozen=True, eq=False, kw_only=True)
class CachedPictures:
    """What one cache entry holds."""

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


def content_key(root: Path, photos: Sequence[str], *, center_crop: int | None) -> str:
    """A name for decoded pictures that changes with any path, any byte and the crop.

    Args:
        root: The folder that the paths start from.
        photos: Paths relative to `root`.
        center_crop: As `decode_face` takes it.

    Returns:
        64 hex digits.

    Raises:
        DataError: A path is not UTF-8 text.
    """
    whole = hashlib.sha256(f"{FORMAT}\0{center_crop}\0".encode())
    with ThreadPoolExecutor(WORKERS) as pool:
        for photo, content in zip(
            photos, pool.map(lambda photo: digest_if_readable(root / photo), photos), strict=True
        ):
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


def read_pictures(directory: Path, key: str) -> CachedPictures | None:
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
    with ThreadPoolExecutor(WORKERS) as pool:
        if tuple(pool.map(digest, pixels.numpy())) != digests:
            return None
    return CachedPictures(pixels=pixels, photos=photos, digests=digests, skipped=skipped)


def _strings(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
        raise DataError(f"expected a list of strings, got {type(value).__name__}")
    return tuple(value)


def store_pictures(
    directory: Path,
    key: str,
    root: Path,
    photos: Sequence[str],
    *,
    center_crop: int | None,
    skip_unreadable: bool,
    workers: int,
    progress: Progress,
) -> None:
    """Decode pictures into the entry of that key, which appears only once it is whole.

    Args:
        directory: The cache directory; made if it is not there.
        key: From `content_key`.
        root: The folder that the paths start from.
        photos: Paths relative to `root`, in the order they are stored in.
        center_crop: As `decode_face` takes it.
        skip_unreadable: Leave out what does not decode, and note it.
        workers: Threads that decode, 0 for the default.
        progress: Told after each picture.

    Raises:
        ConfigError: The cache directory cannot be written to.
        DataError: A picture has the wrong size, none is left, or a file was replaced meanwhile.
        UnreadableImage: A picture does not decode, and these are not to be skipped.
    """
    unreadable: list[UnreadableImage] = []
    kept: list[str] = []
    digests: list[str] = []
    skipped: list[str] = []
    record = directory / f"{key}.json"
    damaged = record.is_file()
    with writable(directory), contextlib.suppress(_ThereByNow):
        _sweep(directory)
        with (
            replacing(directory / f"{key}.pixels") as temporary,
            temporary.open("wb") as file,
            contextlib.closing(_decoded(root, photos, center_crop, workers)) as outcomes,
        ):
            for done, (photo, outcome) in enumerate(zip(photos, outcomes, strict=True), 1):
                if not isinstance(outcome, UnreadableImage):
                    file.write(outcome[0].data)
                    kept.append(photo)
                    digests.append(outcome[1])
                elif skip_unreadable:
                    skipped.append(photo)
                else:
                    unreadable.append(outcome)
                progress(done, len(photos), {})
            if unreadable:
                raise UnreadableImage.together(unreadable)
            if not kept:
                raise DataError(f"none of the {len(photos)} pictures in {root} decodes")
            if content_key(root, photos, center_crop=center_crop) != key:
                raise DataError(
                    f"pictures in {root} were replaced while they were read: run the command again"
                )
            if record.is_file() and not damaged:
                raise _ThereByNow
        # Written last, so that pixels without their record count as absent.
        write_json(record, {"photos": kept, "digests": digests, "skipped": skipped})


class _ThereByNow(Exception):
    """Another process has stored the same pictures meanwhile.

    It may have mapped them already: on a disk that machines share, a file that is replaced is gone.
    """


def _decoded(
    root: Path, photos: Sequence[str], center_crop: int | None, workers: int
) -> Generator[tuple[Picture, str] | UnreadableImage, None, None]:
    """Each picture with its digest, or what was wrong with it, in order."""

    def outcome(photo: str) -> tuple[Picture, str] | UnreadableImage:
        try:
            picture = decode_face(root / photo, center_crop=center_crop)
        except UnreadableImage as error:
            return error
        return picture, digest(picture)

    with ThreadPoolExecutor(workers or WORKERS) as pool:
        yield from pool.map(outcome, photos)


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
