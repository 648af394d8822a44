"""Where a face's 68 landmarks are: found by MediaPipe, or read from a file.

MediaPipe's Face Landmarker finds 478 points, of which `MEDIAPIPE_POINTS` picks those nearest to
the usual 68. The jaw of the 68 follows the outline that is seen, that of MediaPipe the head, so
that these agree least (about 8 % of the distance between the eyes, 3 % elsewhere).
"""

import contextlib
import math
import os
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

from agns.data.alignment import LANDMARK_COUNT
from agns.data.assets import fetch
from agns.errors import ConfigError, DataError
from agns.images import to_pixels
from agns.storage import write_text
from agns.types import Image, Progress, silent

LANDMARKER_VARIABLE = "AGNS_LANDMARKER"
"""Environment variable that names the landmarker's model file."""

_LARGEST = 2**16
"""Bytes of a file of landmarks at most: some 3,000 are usual."""

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


@runtime_checkable
class Landmarker(Protocol):
    """Finds the faces in a picture."""

    def __call__(self, image: Image) -> Float[Tensor, "faces 68 2"]:
        """Find every face's landmarks.

        Args:
            image: A picture of any size, in [0, 1].

        Returns:
            In pixels of the picture, the largest face first; none where there is none.
        """


class MediaPipeLandmarker:
    """MediaPipe's Face Landmarker, through its tasks interface."""

    def __init__(self, model: Path, *, most: int = 16) -> None:
        """Load the model.

        Args:
            model: The file `face_landmarker.task`.
            most: How many faces to look for in a picture.

        Raises:
            ConfigError: MediaPipe is not installed, or there is no such file.
            DataError: The file is not a landmarker's.
        """
        if not model.is_file():
            raise ConfigError(f"there is no landmarker model {model}")
        try:
            from mediapipe.tasks.python import BaseOptions, vision
        except ImportError as error:
            raise ConfigError(
                f'finding landmarks needs MediaPipe ({error}): pip install "agns[align]", or give '
                "landmarks with --landmarks"
            ) from error
        options = vision.FaceLandmarkerOptions(
            base_options=BaseOptions(model_asset_buffer=model.read_bytes()), num_faces=most
        )
        try:
            with _native_silence():
                self._task = vision.FaceLandmarker.create_from_options(options)
                # The first picture makes MediaPipe talk too.
                self._detect(torch.zeros(3, 64, 64))
        except (RuntimeError, ValueError) as error:
            raise DataError(f"{model} is not a face landmarker's model") from error
        # Left to the interpreter's end, MediaPipe complains that its own modules are gone.
        weakref.finalize(self, self._task.close)

    def __call__(self, image: Image) -> Float[Tensor, "faces 68 2"]:
        """Find every face's landmarks, as `Landmarker` says."""
        # Faces in larger pictures are found as well from smaller copies, in far less memory.
        shrink = max(1.0, max(image.shape[1:]) / LONGEST)
        if shrink > 1:
            size = [max(1, round(side / shrink)) for side in image.shape[1:]]
            scaled = functional.interpolate(image[None], size=size, mode="area")[0]
            scale = torch.tensor([image.shape[2] / size[1], image.shape[1] / size[0]])
            # Pixel centres lie on whole numbers, so that edges lie half a pixel outside.
            return (self._found(scaled) + 0.5) * scale - 0.5
        return self._found(image)

    def _found(self, image: Image) -> Float[Tensor, "faces 68 2"]:
        found = self._detect(image)
        if len(found):
            return found
        # The detector expects some surroundings; a face that fills its picture has none.
        margin = max(image.shape[1:]) // 2
        padded = functional.pad(image, (margin,) * 4, value=0.5)
        return self._detect(padded) - margin

    def _detect(self, image: Image) -> Float[Tensor, "faces 68 2"]:
        from mediapipe import Image as MediaPipeImage
        from mediapipe import ImageFormat

        pixels = to_pixels(image[None])[0].permute(1, 2, 0).contiguous().numpy()
        picture = MediaPipeImage(image_format=ImageFormat.SRGB, data=pixels)
        height, width = image.shape[1:]
        faces = [
            [(face[point].x * width - 0.5, face[point].y * height - 0.5)
             for point in MEDIAPIPE_POINTS]
            for face in self._task.detect(picture).face_landmarks
        ]  # fmt: skip
        return largest_first(torch.tensor(faces, dtype=torch.float32).reshape(-1, 68, 2))


def largest_first(faces: Float[Tensor, "faces 68 2"]) -> Float[Tensor, "faces 68 2"]:
    """Faces sorted by the area of the box around their landmarks."""
    sides = faces.amax(1) - faces.amin(1)
    order: Int64[Tensor, " faces"] = sides.prod(-1).argsort(descending=True, stable=True)
    return faces[order]


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


def landmarker_model(
    path: Path | None = None,
    *,
    progress: Progress = silent,
    fetching: Callable[..., Path] = fetch,
) -> Path:
    """The landmarker's model file: the one given, the environment's, or else a download.

    Raises:
        ConfigError: The file that is named is not there.
        DataError: The download fails.
    """
    named = path or (Path(given) if (given := os.environ.get(LANDMARKER_VARIABLE)) else None)
    if named is None:
        try:
            return fetching("face-landmarker", progress=progress)
        except DataError as error:
            raise DataError(
                f"{error}; a model file from elsewhere can be given with --landmarker"
            ) from error
    if not named.is_file():
        whose = "" if path else f" (from the environment variable {LANDMARKER_VARIABLE})"
        raise ConfigError(f"there is no landmarker model {named}{whose}")
    return named


def read_landmarks(path: Path, *, first: int = 0) -> Float[Tensor, "68 2"]:
    """Read 68 lines of x,y, as `write_landmarks` and many landmark tools write them.

    Args:
        path: A text file.
        first: Number of the first row and column of pixels: 0 here and for dlib, 1 for MATLAB.

    Raises:
        ConfigError: There is no such file.
        DataError: It does not hold 68 pairs of finite numbers.
    """
    if not path.is_file():
        raise ConfigError(f"there is no file of landmarks {path}")
    if (size := path.stat().st_size) > _LARGEST:
        raise DataError(f"{path} should hold {LANDMARK_COUNT} lines of x,y, but is {size} bytes")
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
        points = [tuple(map(float, line.split(","))) for line in lines if line.strip()]
    except ValueError as error:
        raise DataError(f"{path} should hold {LANDMARK_COUNT} lines of x,y: {error}") from error
    if len(points) != LANDMARK_COUNT or any(len(point) != 2 for point in points):
        raise DataError(
            f"{path} should hold {LANDMARK_COUNT} lines of x,y, but holds {len(points)} lines"
        )
    if not all(math.isfinite(number) for point in points for number in point):
        raise DataError(f"{path} should hold finite numbers only")
    return torch.tensor(points, dtype=torch.float32) - first


def write_landmarks(path: Path, landmarks: Float[Tensor, "68 2"]) -> None:
    """Write 68 lines of x,y in pixels counted from 0, atomically."""
    write_text(path, "".join(f"{x:.3f},{y:.3f}\n" for x, y in landmarks.tolist()))
