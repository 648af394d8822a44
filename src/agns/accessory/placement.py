"""Where frames sit on an attacker's photos: fixed on the canvas, or over the frame that is worn.

Convention:
    A homography maps pixels of the frame's canvas, 224x224, to pixels of one photo. Frame and
    mask are warped together and laid over the photo by the warped mask, whose edges bilinear
    sampling makes soft.
"""

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from agns.accessory.frame import FRAME_COLUMNS, FRAME_ROWS, place, silhouette
from agns.accessory.wear import wear
from agns.errors import ConfigError
from agns.geometry import homography_from_points, transform_points, warp
from agns.types import Homographies

DISTURBANCES = {"jitter": 10, "brightness": 10, "shift": 50, "rotation": 45}
"""What a placement's disturbances must stay below."""


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Placement:
    """How frames are laid over a set of photos."""

    homographies: Homographies | None = None
    """(photos, 3, 3): where each photo's worn frame is; None lays frames where the canvas has
    them, on any photo."""

    jitter: float = 0.0
    """Standard deviation in pixels by which a disturbed placement moves the frame's corners."""

    brightness: float = 0.0
    """Largest share by which a disturbed photo is brighter or darker, the frame with it."""

    shift: float = 0.0
    """Largest number of pixels by which a disturbed placement moves the whole frame, to the side
    and up or down, before its corners move."""

    rotation: float = 0.0
    """Largest angle in degrees by which a disturbed placement turns the whole frame about the
    middle of its corners, either way."""

    def __post_init__(self) -> None:
        for name, end in DISTURBANCES.items():
            # Written so that NaN fails too.
            if not 0 <= getattr(self, name) < end:
                raise ConfigError(f"{name} must lie in [0, {end}), got {getattr(self, name)}")

    def part(self, photos: Int64[Tensor, " chosen"]) -> "Placement":
        """The placement on some of the photos alone."""
        homographies = None if self.homographies is None else self.homographies[photos]
        return replace(self, homographies=homographies)

    def wear(
        self,
        faces: Float[Tensor, "photos 3 224 224"],
        frames: Float[Tensor, "#batch 3 64 176"],
        photos: Int64[Tensor, " batch"],
        *,
        rng: torch.Generator | None = None,
    ) -> Float[Tensor, "batch 3 224 224"]:
        """Lay one frame over each of some photos.

        Args:
            faces: All photos, in [0, 1], in the order of the homographies.
            frames: As many as `photos`, or a single one for all of them.
            photos: Which photo each frame is laid over.
            rng: Disturbs placement and brightness at random (expectation over transformation,
                Athalye et al. 2018), if given and there is anything to disturb.

        Returns:
            (batch, 3, 224, 224), in [0, 1]; differentiable in faces and frames.
        """
        chosen, canvases = faces[photos], place(frames)
        homographies = None if self.homographies is None else self.homographies[photos]
        if rng is not None and max(self.jitter, self.shift, self.rotation) > 0:
            eye = torch.eye(3, dtype=faces.dtype).expand(len(photos), 3, 3)
            homographies = self._moved(eye if homographies is None else homographies, rng)
        if homographies is None:
            worn = wear(chosen, canvases, silhouette())
        else:
            worn = lay_over(chosen, canvases, homographies)
        if rng is not None and self.brightness > 0:
            share = 2 * torch.rand(len(photos), 1, 1, 1, generator=rng) - 1
            worn = (worn * (1 + self.brightness * share).to(worn)).clamp(0, 1)
        return worn

    def _moved(self, homographies: Homographies, rng: torch.Generator) -> Homographies:
        """Each homography with the frame turned and shifted, and its corners moved, at random."""
        (top, bottom), (left, right) = FRAME_ROWS, FRAME_COLUMNS
        corners = homographies.new_tensor(
            [[left, top], [right, top], [right, bottom], [left, bottom]]
        ).expand(len(homographies), 4, 2)
        moved, count = transform_points(corners, homographies), len(homographies)
        if self.rotation > 0:
            angles = 2 * torch.rand(count, generator=rng) - 1
            moved = _turned(moved, angles.to(moved) * math.radians(self.rotation))
        if self.shift > 0:
            way = 2 * torch.rand(count, 1, 2, generator=rng) - 1
            moved = moved + self.shift * way.to(moved)
        if self.jitter > 0:
            moved = moved + (self.jitter * torch.randn(count, 4, 2, generator=rng)).to(moved)
        return homography_from_points(corners, moved)


def _turned(
    corners: Float[Tensor, "batch 4 2"], angles: Float[Tensor, " batch"]
) -> Float[Tensor, "batch 4 2"]:
    """Corners turned about their middle, by angles in radians from x towards y."""
    cos, sin = angles.cos(), angles.sin()
    turn = torch.stack([torch.stack([cos, sin], -1), torch.stack([-sin, cos], -1)], -2)
    middle = corners.mean(1, keepdim=True)
    return middle + (corners - middle) @ turn


def lay_over(
    photos: Float[Tensor, "batch 3 height width"],
    canvases: Float[Tensor, "#batch 3 224 224"],
    homographies: Float[Tensor, "batch 3 3"],
) -> Float[Tensor, "batch 3 height width"]:
    """Lay frames, placed on the canvas, over photos of any size.

    Args:
        photos: In [0, 1].
        canvases: One for each photo, or a single one for all of them.
        homographies: From pixels of the canvas to those of each photo.

    Returns:
        In [0, 1]; differentiable in photos and canvases.
    """
    mask = silhouette().to(canvases).expand(len(canvases), 1, -1, -1)
    # Off the silhouette colours are 0, so that soft edges mix the frame's own alone.
    layers = torch.cat([canvases * mask, mask], 1).expand(len(photos), -1, -1, -1)
    warped = warp(layers, homographies, (photos.shape[2], photos.shape[3]))
    return photos * (1 - warped[:, 3:]) + warped[:, :3]


FIXED = Placement()
"""Frames where the canvas has them: the digital attack's placement."""
