"""Where frames sit on an attacker's photos: fixed on the canvas, or over the frame that is worn.

Convention:
    A homography maps pixels of the frame's canvas, 224x224, to pixels of one photo. Frame and
    mask are warped together and laid over the photo by the warped mask, whose edges bilinear
    sampling makes soft.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from agns.accessory.frame import FRAME_COLUMNS, FRAME_ROWS, place, silhouette
from agns.accessory.wear import wear
from agns.errors import ConfigError
from agns.geometry import homography_from_points, transform_points, warp
from agns.types import Homographies


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

    def __post_init__(self) -> None:
        for name in ("jitter", "brightness"):
            if not 0 <= getattr(self, name) < 10 or getattr(self, name) != getattr(self, name):
                raise ConfigError(f"{name} must lie in [0, 10), got {getattr(self, name)}")

    def part(self, photos: Int64[Tensor, " chosen"]) -> "Placement":
        """The placement on some of the photos alone."""
        homographies = None if self.homographies is None else self.homographies[photos]
        return Placement(homographies=homographies, jitter=self.jitter, brightness=self.brightness)

    def wear(
        self,
        faces: Float[Tensor, "photos 3 224 224"],
        frames: Float[Tensor, "#batch 3 64 176"],
        photos: Int64[Tensor, " batch"],
        *,
        draws: torch.Generator | None = None,
    ) -> Float[Tensor, "batch 3 224 224"]:
        """Lay one frame over each of some photos.

        Args:
            faces: All photos, in [0, 1], in the order of the homographies.
            frames: As many as `photos`, or a single one for all of them.
            photos: Which photo each frame is laid over.
            draws: Disturbs placement and brightness at random (expectation over transformation,
                Athalye et al. 2018), if given and there is anything to disturb.

        Returns:
            (batch, 3, 224, 224), in [0, 1]; differentiable in faces and frames.
        """
        chosen, canvases = faces[photos], place(frames)
        homographies = None if self.homographies is None else self.homographies[photos]
        if draws is not None and self.jitter > 0:
            eye = torch.eye(3, dtype=faces.dtype).expand(len(photos), 3, 3)
            homographies = self._moved(eye if homographies is None else homographies, draws)
        if homographies is None:
            worn = wear(chosen, canvases, silhouette())
        else:
            worn = _worn_by(homographies, chosen, canvases)
        if draws is not None and self.brightness > 0:
            share = 2 * torch.rand(len(photos), 1, 1, 1, generator=draws) - 1
            worn = (worn * (1 + self.brightness * share).to(worn)).clamp(0, 1)
        return worn

    def _moved(self, homographies: Homographies, draws: torch.Generator) -> Homographies:
        """Each homography with the corners of the frame moved at random."""
        (top, bottom), (left, right) = FRAME_ROWS, FRAME_COLUMNS
        corners = homographies.new_tensor(
            [[left, top], [right, top], [right, bottom], [left, bottom]]
        ).expand(len(homographies), 4, 2)
        shift = self.jitter * torch.randn(len(homographies), 4, 2, generator=draws)
        moved = transform_points(corners, homographies) + shift.to(homographies)
        return homography_from_points(corners, moved)


def _worn_by(
    homographies: Float[Tensor, "batch 3 3"],
    faces: Float[Tensor, "batch 3 224 224"],
    canvases: Float[Tensor, "#batch 3 224 224"],
) -> Float[Tensor, "batch 3 224 224"]:
    mask = silhouette().to(canvases).expand(len(canvases), 1, -1, -1)
    # Off the silhouette colours are 0, so that soft edges mix the frame's own alone.
    layers = torch.cat([canvases * mask, mask], 1).expand(len(faces), -1, -1, -1)
    warped = warp(layers, homographies, (faces.shape[2], faces.shape[3]))
    return faces * (1 - warped[:, 3:]) + warped[:, :3]


FIXED = Placement()
"""Frames where the canvas has them: the digital attack's placement."""
