"""Eyeglass pictures of a folder, for the generator to learn from."""

from collections.abc import Iterator
from pathlib import Path

import torch
from jaxtyping import Bool, UInt8
from torch import Tensor

from agns.accessory.frame import FRAME_COLUMNS, FRAME_ROWS, FRAME_SIZE
from agns.data.faces import composed
from agns.data.listing import READ, list_folder, without_ending
from agns.decoding import read_pixels
from agns.errors import ConfigError, DataError, UnreadableImage
from agns.images import from_pixels, write_image
from agns.types import CANVAS, Pixels, Progress, silent


def read_eyeglasses(
    root: Path,
    *,
    names: Path | None = None,
    mask: Path | None = None,
    skip_unreadable: bool = False,
    progress: Progress = silent,
) -> Pixels:
    """Read a folder of eyeglass pictures in the original data set's layout.

    Args:
        root: Folder of pictures (see `agns.data.listing`), each 224x224 with the glasses where a
            face would wear them, or already cropped to 64x176.
        names: Text file that lists the pictures to take, one name a line; all if left out.
        mask: Picture, 224x224 or 64x176; where it is black (at most 127), so is the result.
        skip_unreadable: Pass over pictures that do not decode.
        progress: Told the pictures gone through.

    Returns:
        (n, 3, 64, 176) RGB bytes, in the order of the list, or of the file names.

    Raises:
        ConfigError: The folder, the list or the mask is missing.
        DataError: The folder or list names no picture, a listed picture is missing, a picture
            has another size, or none decodes.
        UnreadableImage: A picture does not decode, and `skip_unreadable` is off; or the mask.
    """
    paths = _listed(root, names)
    frames = torch.empty(len(paths), 3, *FRAME_SIZE, dtype=torch.uint8)
    read = 0
    for _, frame in _crops(root, paths, mask, progress, skip_unreadable=skip_unreadable):
        frames[read] = frame
        read += 1
    return frames[:read]


def crop_eyeglasses(
    source: Path,
    destination: Path,
    *,
    names: Path | None = None,
    mask: Path | None = None,
    skip_unreadable: bool = False,
    progress: Progress = silent,
) -> int:
    """Write what `read_eyeglasses` reads as PNG files of the same stems, and count them.

    The destination is made if it is not there; nothing in it is replaced.

    Raises:
        ConfigError: As `read_eyeglasses`; or the destination is a file, or already holds a
            picture of one of the names.
        DataError: As `read_eyeglasses`; or two pictures share a stem.
        UnreadableImage: As `read_eyeglasses`.
    """
    paths = _listed(source, names)
    targets: dict[str, Path] = {}
    for path in paths:
        stem = without_ending(path.name)
        if stem in targets:
            raise DataError(f"{targets[stem]} and {path} would both become {stem}.png")
        targets[stem] = path
    if destination.exists() and not destination.is_dir():
        raise ConfigError(f"{destination} is a file, not a folder to write crops to")
    for target in (destination / f"{stem}.png" for stem in targets):
        if target.exists():
            raise ConfigError(f"{target} is already there: name another folder for the crops")
    written = 0
    for path, frame in _crops(source, paths, mask, progress, skip_unreadable=skip_unreadable):
        write_image(destination / f"{without_ending(path.name)}.png", from_pixels(frame[None])[0])
        written += 1
    return written


def _listed(root: Path, names: Path | None) -> list[Path]:
    """The pictures to take, in order."""
    if not root.is_dir():
        raise ConfigError(f"there is no folder {root} of eyeglass pictures")
    if names is None:
        paths = list(list_folder(root).pictures)
    else:
        there = {composed(path.name): path for path in root.iterdir()}
        paths = [there.get(composed(name), root / name) for name in _lines(names)]
        for path in paths:
            if not path.is_file():
                raise DataError(f"{names} lists {path.name}, but there is no file {path}")
    if not paths:
        raise DataError(f"expected pictures ({READ}) in {names or root}, found none")
    return paths


def _lines(names: Path) -> list[str]:
    """The lines of a list that are not blank."""
    try:
        text = names.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise ConfigError(f"there is no list of names {names}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{names} cannot be read as a list of names: {error}") from error
    return [line.strip() for line in text.splitlines() if line.strip()]


def _crops(
    root: Path, paths: list[Path], mask: Path | None, progress: Progress, *, skip_unreadable: bool
) -> Iterator[tuple[Path, UInt8[Tensor, "3 64 176"]]]:
    """Each picture that decodes, one at least, cropped and masked."""
    some = False
    kept: Bool[Tensor, "3 64 176"] | None = None
    if mask is not None:
        kept = _cropped(mask).amax(0, keepdim=True) > 127
    for done, path in enumerate(paths, 1):
        try:
            frame = _cropped(path)
        except UnreadableImage:
            if not skip_unreadable:
                raise
        else:
            some = True
            yield path, frame if kept is None else frame * kept
        progress(done, len(paths), {})
    if not some:
        raise DataError(f"none of the {len(paths)} pictures in {root} decodes")


def _cropped(path: Path) -> UInt8[Tensor, "3 64 176"]:
    """Read a picture of the whole canvas, or of the crop alone, as the crop."""

    def check(height: int, width: int) -> None:
        if (height, width) not in ((CANVAS, CANVAS), FRAME_SIZE):
            raise DataError(
                f"expected {path} to be {CANVAS}x{CANVAS} or {FRAME_SIZE[0]}x{FRAME_SIZE[1]} "
                f"pixels, got {height}x{width}"
            )

    pixels = read_pixels(path, check)
    if pixels.shape[:2] == (CANVAS, CANVAS):
        pixels = pixels[slice(*FRAME_ROWS), slice(*FRAME_COLUMNS)]
    return torch.from_numpy(pixels.transpose(2, 0, 1).copy())
