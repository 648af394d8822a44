"""Finding a face's 68 landmarks in a picture, by MediaPipe or by dlib.

MediaPipe's Face Landmarker finds 478 points, of which `MEDIAPIPE_POINTS` picks those nearest to
the usual 68. The jaw of the 68 follows the outline that is seen, that of MediaPipe the head, so
that these agree least (about 8 % of the distance between the eyes, 3 % elsewhere). dlib's shape
predictor finds the 68 themselves, to whole pixels.
"""

import contextlib
import functools
import importlib.util
import os
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional

from agns.data.alignment import LANDMARK_COUNT
from agns.data.assets import fetch, packaged_model
from agns.data.landmarks import Landmarker, largest_first
from agns.errors import ConfigError, DataError
from agns.images import to_pixels
from agns.types import Image, Progress, silent

Finder: TypeAlias = Literal["mediapipe", "dlib"]
"""The packages that find landmarks, by their modules' names."""

LANDMARKER_VARIABLE = "AGNS_LANDMARKER"
"""Environment variable that names MediaPipe's model file."""

DLIB_MODEL = "shape_predictor_68_face_landmarks.dat"
"""Among the models of the package face-recognition-models."""

LONGEST = 1600
"""Sides in pixels above which a picture is shrunk before faces are looked for."""

MEDIAPIPE_POINTS = (
    # Jaw, from the left of the picture down to the chin and up again.
    127, 234, 93, 132, 172, 136, 149, 176, 152, 400, 378, 365, 397, 361, 323, 454, 356,
    # Brows, from the left; nose, down its ridge and then along its base.
    156, 63, 105, 66, 107, 336, 296, 334, 293, 383,
    168, 197, 195, 4, 75, 99, 2, 328, 305,
    # Eyes: the corner, the upper lid, the corner, the lower lid back.
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,
    # Mouth: around the lips from the left corner, then around the opening.
    61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181,
    78, 82, 13, 312, 308, 317, 14, 87,
)  # fmt: skip
"""For each of the 68 landmarks, MediaPipe's point; chosen by place on the face, mirrored for the
right half, and held against the portrait that the original code supplies with landmarks."""


class MediaPipeLandmarker:
    """MediaPipe's Face Landmarker, through its tasks interface."""

    title = "MediaPipe"
    extra = "align"

    def __init__(self, model: Path, *, most: int = 16) -> None:
        """Load the model, the file `face_landmarker.task`, to look for `most` faces in a picture.

        Raises:
            ConfigError: MediaPipe is not installed, or there is no such file.
            DataError: The file is not a landmarker's.
        """
        _check_there(model)
        try:
            from mediapipe.tasks.python import BaseOptions, vision
        except ImportError as error:
            raise _not_installed(type(self), error) from error
        options = vision.FaceLandmarkerOptions(
            base_options=BaseOptions(model_asset_buffer=model.read_bytes()), num_faces=most
        )
        try:
            with _native_silence():
                self._task = vision.FaceLandmarker.create_from_options(options)
                # The first picture makes MediaPipe talk too.
                self._detect(torch.zeros(3, 64, 64))
        except (RuntimeError, ValueError) as error:
            raise DataError(f"{model} is not a face landmarker's model for MediaPipe") from error
        # Left to the interpreter's end, MediaPipe complains that its own modules are gone.
        weakref.finalize(self, self._task.close)

    def __call__(self, image: Image) -> Float[Tensor, "faces 68 2"]:
        """Find every face's landmarks, as `Landmarker` says."""
        return _search(image, self._detect)

    def _detect(self, image: Image) -> Float[Tensor, "faces 68 2"]:
        from mediapipe import Image as MediaPipeImage
        from mediapipe import ImageFormat

        pixels = _rows_of_pixels(image)
        picture = MediaPipeImage(image_format=ImageFormat.SRGB, data=pixels)
        height, width = image.shape[1:]
        faces = [
            [(face[point].x * width - 0.5, face[point].y * height - 0.5)
             for point in MEDIAPIPE_POINTS]
            for face in self._task.detect(picture).face_landmarks
        ]  # fmt: skip
        return largest_first(torch.tensor(faces, dtype=torch.float32).reshape(-1, 68, 2))


class DlibLandmarker:
    """dlib's detector of frontal faces, and a shape predictor on the rectangles that it finds.

    The picture is doubled once for the detector, which then sees faces from about 40 pixels on.
    """

    title = "dlib"
    extra = "dlib"

    def __init__(self, model: Path) -> None:
        """Load the model, a shape predictor of 68 points such as `DLIB_MODEL`.

        Raises:
            ConfigError: dlib is not installed, or there is no such file.
            DataError: The file is not such a predictor's.
        """
        _check_there(model)
        try:
            import dlib
        except ImportError as error:
            raise _not_installed(type(self), error) from error
        self._detector = dlib.get_frontal_face_detector()
        try:
            # As bytes, since a file's name need not be text.
            self._predictor = dlib.shape_predictor(os.fsencode(model))
            blank = np.zeros((8, 8, 3), np.uint8)
            points = self._predictor(blank, dlib.rectangle(0, 0, 7, 7)).num_parts
        except (RuntimeError, ValueError, MemoryError) as error:
            raise DataError(f"{model} is not a shape predictor for dlib, or is damaged") from error
        if points != LANDMARK_COUNT:
            raise DataError(
                f"{model} should predict {LANDMARK_COUNT} landmarks, but predicts {points}"
            )

    def __call__(self, image: Image) -> Float[Tensor, "faces 68 2"]:
        """Find every face's landmarks, as `Landmarker` says."""
        return _search(image, self._detect)

    def _detect(self, image: Image) -> Float[Tensor, "faces 68 2"]:
        pixels = _rows_of_pixels(image)
        # Like agns, dlib puts the centre of the top-left pixel at (0, 0).
        faces = [
            [(point.x, point.y) for point in self._predictor(pixels, rectangle).parts()]
            for rectangle in self._detector(pixels, 1)
        ]
        return largest_first(torch.tensor(faces, dtype=torch.float32).reshape(-1, 68, 2))


FINDERS: dict[Finder, type[MediaPipeLandmarker] | type[DlibLandmarker]] = {
    "mediapipe": MediaPipeLandmarker,
    "dlib": DlibLandmarker,
}
"""Whoever is installed and comes first finds landmarks by default."""


@functools.lru_cache(maxsize=len(FINDERS))
def load_landmarker(finder: Finder, model: Path) -> Landmarker:
    """A finder with its model, loaded once in each process.

    Raises:
        ConfigError: It is not installed, or there is no such file.
        DataError: The file is not its model.
    """
    return FINDERS[finder](model)


def _search(
    image: Image, detect: Callable[[Image], Float[Tensor, "faces 68 2"]]
) -> Float[Tensor, "faces 68 2"]:
    """Look for faces in a smaller copy of a large picture, and again with a margin about it."""
    # Faces in larger pictures are found as well from smaller copies, in far less memory.
    shrink = max(1.0, max(image.shape[1:]) / LONGEST)
    if shrink > 1:
        size = [max(1, round(side / shrink)) for side in image.shape[1:]]
        scaled = functional.interpolate(image[None], size=size, mode="area")[0]
        scale = torch.tensor([image.shape[2] / size[1], image.shape[1] / size[0]])
        # Pixel centres lie on whole numbers, so that edges lie half a pixel outside.
        return (_search(scaled, detect) + 0.5) * scale - 0.5
    found = detect(image)
    if len(found):
        return found
    # Detectors expect some surroundings; a face that fills its picture has none.
    margin = max(image.shape[1:]) // 2
    return detect(functional.pad(image, (margin,) * 4, value=0.5)) - margin


def _not_installed(
    finder: type[MediaPipeLandmarker] | type[DlibLandmarker], error: ImportError | None = None
) -> ConfigError:
    reason = "" if error is None else f" ({error})"
    return ConfigError(
        f'finding landmarks needs {finder.title}{reason}: pip install "agns[{finder.extra}]"'
    )


def _rows_of_pixels(image: Image) -> UInt8[np.ndarray, "height width 3"]:
    # Cloned, since a contiguous tensor's strides may be odd where a side is 1, and dlib minds.
    rows = to_pixels(image[None])[0].permute(1, 2, 0)
    return rows.clone(memory_format=torch.contiguous_format).numpy()


@contextlib.contextmanager
def _native_silence() -> Iterator[None]:
    """Keep native code from writing to the terminal: MediaPipe greets with several warnings."""
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def choose_finder(asked: Finder | None = None) -> Finder:
    """The finder that is asked for, or else the first that is installed.

    Raises:
        ConfigError: It, or each, is not installed.
    """
    for finder in FINDERS if asked is None else (asked,):
        if importlib.util.find_spec(finder) is not None:
            return finder
    if asked is not None:
        raise _not_installed(FINDERS[asked])
    raise ConfigError(
        'finding landmarks needs MediaPipe or dlib: pip install "agns[align]" or "agns[dlib]"'
    )


def landmarker_model(
    finder: Finder,
    path: Path | None = None,
    *,
    progress: Progress = silent,
    fetching: Callable[..., Path] = fetch,
) -> Path:
    """A finder's model file: the one given, or else the finder's own.

    MediaPipe's own is the environment's or a download, dlib's that of face-recognition-models.

    Raises:
        ConfigError: The file that is named is not there, or the package is not installed.
        DataError: The download fails.
    """
    if path is not None:
        return _check_there(path)
    if finder == "dlib":
        try:
            return packaged_model(DLIB_MODEL)
        except ConfigError as error:
            raise ConfigError(f"{error}; or give the file with --landmarker") from error
    if given := os.environ.get(LANDMARKER_VARIABLE):
        return _check_there(Path(given), f" (from the environment variable {LANDMARKER_VARIABLE})")
    try:
        return fetching("face-landmarker", progress=progress)
    except DataError as error:
        raise DataError(
            f"{error}; a model file from elsewhere can be given with --landmarker"
        ) from error


def _check_there(model: Path, origin: str = "") -> Path:
    if not model.is_file():
        raise ConfigError(f"there is no landmarker model {model}{origin}")
    return model
