"""Files that come through the page: limited, held against their content, and removed once read."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from agns.data.alignment import POSES, align, alignment
from agns.data.assets import fetch
from agns.data.cache import LFW_SIZE, decode_face
from agns.data.landmark_finding import FINDERS, Finder, choose_finder, landmarker_model
from agns.data.landmark_finding import load_landmarker as load
from agns.data.landmarks import Landmarker
from agns.errors import AgnsError, ConfigError, DataError, FaceNotFound
from agns.file_kinds import SAFETENSORS, file_kind
from agns.geometry import transform_points
from agns.images import from_pixels, read_image
from agns.types import CANVAS, Image, Points

MOST_PHOTOS = 12
"""Photos at once."""

MOST_BYTES = 20 * 2**20
"""Of one photo."""

MOST_WEIGHTS = 600 * 2**20
"""Bytes of a recogniser's file: VGG-Face with ten identities has 540 MB."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Face:
    """A face that somebody uploaded."""

    name: str
    """Of the file, for captions."""
    image: Image
    """Canonical, (3, 224, 224), in [0, 1]."""
    landmarks: Points | None
    """(68, 2) in the aligned picture's pixels; None of a photo that came aligned."""


@contextlib.contextmanager
def removed_after(paths: Sequence[str]) -> Iterator[list[Path]]:
    """The files that the browser sent; they are removed, whatever comes of them."""
    files = [Path(path) for path in paths]
    try:
        yield files
    finally:
        for file in files:
            file.unlink(missing_ok=True)


def read_faces(paths: Sequence[str], *, crop: int | None) -> tuple[list[Face], list[str]]:
    """Read and align photos, and remove them.

    Photos of 224x224 and of 250x250 pixels are taken for faces aligned already, as the command line
    takes them; in others the largest face is found and aligned.

    Args:
        paths: What the browser sent.
        crop: As for `agns.loading.attacked_crop`.

    Returns:
        The faces, and a sentence for each photo that cannot be used.

    Raises:
        ConfigError: There are none, or more than `MOST_PHOTOS`.
    """
    with removed_after(paths) as files:
        if not files:
            raise ConfigError("choose a photo first")
        if len(files) > MOST_PHOTOS:
            raise ConfigError(f"{len(files)} photos came at once, and {MOST_PHOTOS} are taken")
        faces, sentences = [], []
        for file in files:
            try:
                faces.append(_read_face(file, crop))
            except AgnsError as error:
                # Where it lay on this machine is nobody's business.
                sentences.append(str(error).replace(str(file), file.name))
    return faces, sentences


def _read_face(file: Path, crop: int | None) -> Face:
    check_size(file, MOST_BYTES)
    image = read_image(file)
    size = tuple(image.shape[1:])
    if size in ((CANVAS, CANVAS), LFW_SIZE):
        face = from_pixels(torch.from_numpy(decode_face(file, center_crop=crop))[None])[0]
        return Face(name=file.name, image=face, landmarks=None)
    found = landmarker()(image)
    if not len(found):
        raise FaceNotFound(f"there is no face to be found in {file}")
    aligned = transform_points(found[0], alignment(found[0]))
    return Face(name=file.name, image=align(image, found[0], POSES["canonical"]), landmarks=aligned)


def check_size(file: Path, most: int) -> None:
    """Refuse a file that is too large.

    Raises:
        DataError: It is.
    """
    size = file.stat().st_size
    if size > most:
        raise DataError(
            f"{file} has {size / 2**20:.0f} MB, and {most // 2**20} MB are taken: shrink it first"
        )


def check_weights(file: Path) -> None:
    """Refuse what is no file of weights that agns wrote; its content tells, not its name.

    Raises:
        DataError: It is too large, or something else.
    """
    check_size(file, MOST_WEIGHTS)
    kind = file_kind(file)
    if kind != SAFETENSORS:
        what = f"is {kind}" if kind else "is of no kind that agns knows"
        raise DataError(
            f"{file} {what}: a recogniser or a gallery is a .safetensors file that agns wrote"
        )


def landmarker(*, fetching: Callable[..., Path] | None = None) -> Landmarker:
    """The first finder of landmarks whose model is on this machine: the page downloads nothing.

    Raises:
        ConfigError: There is none.
    """
    finders: list[Finder] = [*FINDERS]
    for finder in finders:
        with contextlib.suppress(AgnsError):
            return load(choose_finder(finder), landmarker_model(finder, fetching=fetching or _here))
    raise ConfigError(
        "finding faces needs dlib, or MediaPipe and its model, on this machine: pip install "
        '"agns[dlib]", or upload aligned faces of 224x224 pixels (agns align makes them)'
    )


def _here(name: str, **_: object) -> Path:
    """A model that was downloaded before."""
    import httpx2

    return fetch(name, transport=httpx2.MockTransport(lambda _: httpx2.Response(404)))
