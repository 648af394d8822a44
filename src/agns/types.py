"""Tensor names, and the package's conventions, said once.

Convention:
    Public images are float32 RGB, laid out (batch, 3, height, width), in [0, 1].
    Points are (x, y) in pixels, the centre of the top-left pixel at (0, 0).
    Sizes are (height, width). Homographies map source points to destination points.
    Sampling grids use `align_corners=True`, which puts -1 and 1 on the outer pixel centres.
"""

from collections.abc import Mapping
from typing import Protocol, TypeAlias, runtime_checkable

from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor

Images: TypeAlias = Float[Tensor, "batch 3 height width"]
Image: TypeAlias = Float[Tensor, "3 height width"]
Faces: TypeAlias = Float[Tensor, "batch 3 224 224"]
Frames: TypeAlias = Float[Tensor, "frames 3 64 176"]
Drawings: TypeAlias = Float[Tensor, "batch channels height width"]
Mask: TypeAlias = Float[Tensor, "height width"]
Pixels: TypeAlias = UInt8[Tensor, "batch 3 height width"]
Glasses: TypeAlias = UInt8[Tensor, "glasses 3 64 176"]
Latents: TypeAlias = Float[Tensor, "batch latent"]
Logits: TypeAlias = Float[Tensor, "batch classes"]
Embeddings: TypeAlias = Float[Tensor, "_ numbers"]
Labels: TypeAlias = Int64[Tensor, " batch"]
Chosen: TypeAlias = Bool[Tensor, " batch"]
Points: TypeAlias = Float[Tensor, "*batch points 2"]
Homographies: TypeAlias = Float[Tensor, "*batch 3 3"]

CANVAS = 224
"""Height and width in pixels of the canonical face canvas."""


@runtime_checkable
class Progress(Protocol):
    """How a loop tells what it is doing; loops never print."""

    def __call__(self, done: int, total: int, figures: Mapping[str, float]) -> None:
        """Take one report.

        Args:
            done: Steps finished.
            total: Steps planned.
            figures: What to show beside the bar, by name.
        """


def silent(done: int, total: int, figures: Mapping[str, float]) -> None:
    """A `Progress` that shows nothing."""
