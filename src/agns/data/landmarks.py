"""A face's 68 landmarks: what finds them, and files of them."""

import math
from pathlib import Path
from typing import Literal, Protocol, TypeAlias, runtime_checkable

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from agns.data.alignment import LANDMARK_COUNT
from agns.errors import ConfigError, DataError
from agns.types import Image
from agns.writing import write_text

Choice: TypeAlias = Literal["largest", "central", "all"]
"""Which of a photo's faces are meant."""

_LARGEST = 2**16
"""Bytes of a file of landmarks at most: some 3,000 are usual."""


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


def largest_first(faces: Float[Tensor, "faces 68 2"]) -> Float[Tensor, "faces 68 2"]:
    """Faces sorted by the area of the box around their landmarks."""
    sides = faces.amax(1) - faces.amin(1)
    order: Int64[Tensor, " faces"] = sides.prod(-1).argsort(descending=True, stable=True)
    return faces[order]


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


def chosen_faces(
    faces: Float[Tensor, "faces 68 2"], image: Image, choice: Choice
) -> Float[Tensor, "chosen 68 2"]:
    """Those of the faces found in a picture, the largest first, that are meant."""
    if choice == "all":
        return faces
    if choice == "largest":
        return faces[:1]
    height, width = image.shape[1:]
    middle = torch.tensor([width - 1, height - 1]) / 2
    nearest = int((faces.mean(1) - middle).norm(dim=-1).argmin())
    return faces[nearest : nearest + 1]
