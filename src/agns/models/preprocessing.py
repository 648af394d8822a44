"""From canonical faces to what a network takes: its part of the picture, its size, its range."""

import copy
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn

from agns.errors import ConfigError, why
from agns.geometry import resize, warp
from agns.images import check_images
from agns.settings import whole
from agns.types import CANVAS, Faces, Images

Colour: TypeAlias = float | Sequence[float]
"""One figure for all three channels, or one each for red, green and blue."""

Chip: TypeAlias = Float[Tensor, "2 3"] | Sequence[Sequence[float]]
"""A 2x3 matrix that takes pixels (x, y) of the canonical 224x224 face to pixels of what a network
takes, as `cv2.warpAffine` wants it; the centre of the first pixel lies at (0, 0)."""

CHIPS = {
    "arcface": ((0.4602, -0.0137, 4.63), (0.0137, 0.4602, 14.78)),
    "dlib": ((0.6822, -0.0263, -1.81), (0.0263, 0.6822, -10.01)),
}
"""Chips by whose template they follow: ArcFace's of 112x112, dlib's of 150x150 (padding 0.25)."""


MOST_PIXELS = 4096
"""Height and width of a network's picture at most."""


class Preprocessing(nn.Module):
    """What happens to a canonical face before a network sees it; differentiable.

    Args:
        size: Height and width in pixels that the network takes.
        low: What black is to it.
        high: What white is. Torchvision's networks, for one, take [0, 1] less `mean`, by
            `deviation`.
        mean: Subtracted from faces in [low, high].
        deviation: They are divided by it then.
        bgr: Whether it takes blue first, as networks trained with OpenCV do; `mean` and `deviation`
            stay red, green, blue.
        chip: Which part of the canonical face it sees, as a matrix or by its name in `CHIPS`; None
            where that is the whole face, shrunk or grown to `size`. Beyond the canvas is black.

    Raises:
        ConfigError: A figure makes no sense.
    """

    matrix: Tensor | None

    def __init__(
        self,
        *,
        size: int = CANVAS,
        low: float = 0.0,
        high: float = 1.0,
        mean: Colour = 0.0,
        deviation: Colour = 1.0,
        bgr: bool = False,
        chip: Chip | str | None = None,
    ) -> None:
        super().__init__()
        size = whole(size, "size in pixels", 1, MOST_PIXELS)
        if not all(isinstance(one, int | float) for one in (low, high)) or not low < high:
            raise ConfigError(f"low must be a number below high, got {low!r} and {high!r}")
        self.size, self.low, self.high, self.bgr = size, low, high, bgr
        self.register_buffer("mean", _per_channel(mean, "mean"))
        self.register_buffer("deviation", _per_channel(deviation, "deviation"))
        if not bool((self.get_buffer("deviation") > 0).all()):
            raise ConfigError(f"deviation must be above 0, got {deviation}")
        self.register_buffer("matrix", _homography(chip))

    def forward(self, faces: Images) -> Tensor:
        """Prepare canonical faces.

        Args:
            faces: Float32 RGB, (batch, 3, 224, 224), in [0, 1].

        Returns:
            (batch, 3, size, size), in the network's range, where this module is.

        Raises:
            ImageContractError: The faces have another size, layout or range.
        """
        check_images(faces, size=(CANVAS, CANVAS))
        mean, deviation = self.get_buffer("mean"), self.get_buffer("deviation")
        chips = self.chips(faces.to(mean.device)) * (self.high - self.low) + self.low
        chips = (chips - mean) / deviation
        return chips.flip(1) if self.bgr else chips

    def chips(self, faces: Faces) -> Float[Tensor, "batch 3 size size"]:
        """What the network sees of canonical faces, still RGB in [0, 1]."""
        if self.matrix is None:
            return resize(faces, (self.size, self.size))
        return warp(faces, self.matrix, (self.size, self.size))

    def in_range(self, low: float, high: float) -> "Preprocessing":
        """The same, for a network that takes another range."""
        other = copy.copy(self)
        other.low, other.high = low, high
        return other


def show(
    network: Callable[[Tensor], Any], prepare: Callable[[Images], Tensor], faces: Images
) -> Any:
    """What a network gives for faces that are prepared for it.

    Args:
        network: Takes what `prepare` gives, (batch, 3, height, width).
        prepare: A `Preprocessing`, or what stands before one.
        faces: Canonical faces, float32 RGB, (batch, 3, 224, 224), in [0, 1].

    Raises:
        ConfigError: It does not take them.
        ImageContractError: The faces have another size, layout or range.
    """
    given = prepare(faces)
    try:
        return network(given)
    except (NotImplementedError, RecursionError, torch.OutOfMemoryError):
        raise
    except (RuntimeError, TypeError, ValueError) as error:
        if re.search("CUDA|memory", str(error)):
            # The machine's fault, and not that of the faces.
            raise
        height, width = given.shape[2:]
        raise ConfigError(
            f"the network does not take faces of {height}x{width} pixels: {why(error)}"
        ) from error


def _per_channel(given: Colour, name: str) -> Float[Tensor, "1 3 1 1"]:
    try:
        # Looked at below, which a network on no device yet could not be.
        three = torch.tensor(given, dtype=torch.float32, device="cpu").expand(3)
    except (RuntimeError, TypeError, ValueError) as error:
        raise ConfigError(f"{name} should be one figure or three, got {given!r}") from error
    return three.clone()[None, :, None, None]


def _homography(chip: Chip | str | None) -> Float[Tensor, "3 3"] | None:
    if chip is None:
        return None
    if isinstance(chip, str):
        if chip not in CHIPS:
            raise ConfigError(f"there is no chip {chip!r}: there are {', '.join(CHIPS)}")
        chip = CHIPS[chip]
    try:
        given = torch.as_tensor(chip, dtype=torch.float32, device="cpu")
    except (RuntimeError, TypeError, ValueError):
        raise ConfigError(f"a chip is a 2x3 matrix of numbers, got {chip!r:.80}") from None
    if tuple(given.shape) != (2, 3) or not bool(torch.linalg.det(given[:, :2]).abs() > 1e-9):
        raise ConfigError(
            f"a chip is a 2x3 matrix that can be turned round, got {tuple(given.shape)}"
        )
    return torch.cat([given, torch.tensor([[0.0, 0, 1]], device="cpu")])
