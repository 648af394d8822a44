"""The frames that pass for real ones, as a set: near a plane through them, not far out, not rough.

Real frames are described by their principal directions: a frame is their mean and a sum of
directions, each by as many standard deviations as its coefficient says. Frames that lie further
out than real ones do, or further from the plane that the directions span, or that vary more from
pixel to pixel, are not in the set. The bounds come from real frames that the directions were not
fitted to.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from torch.nn import functional

from agns.accessory.frame import FRAME_SIZE, frame_mask
from agns.accessory.total_variation import total_variation
from agns.errors import ConfigError, DataError
from agns.images import from_pixels
from agns.storage import load_tensors, save_tensors
from agns.types import Frames

INSIDE = 0.95
"""Share of real frames that lie in the set."""

DIRECTIONS = 160
"""Principal directions by default."""


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class NaturalSet:
    """Frames between and about real ones; see `NaturalSet.fit`.

    `values` below are a frame's numbers on the silhouette alone, some 10,000. With a frame, all
    that lie between it and the mean frame are in the set.
    """

    mean: Float[Tensor, " values"]
    """The mean real frame, in [0, 1]."""
    directions: Float[Tensor, "directions values"]
    """Orthonormal, that along which real frames vary most first."""
    deviations: Float[Tensor, " directions"]
    """Standard deviation of real frames along each."""
    bound: float
    """Largest length of a frame's coefficients."""
    residual_bound: float
    """Largest root mean square distance from the plane, in [0, 1]."""
    variation_bound: float
    """Largest total variation."""

    @classmethod
    def fit(
        cls,
        frames: UInt8[Tensor, "frames 3 64 176"],
        calibration: UInt8[Tensor, "others 3 64 176"],
        *,
        directions: int = DIRECTIONS,
        inside: float = INSIDE,
    ) -> "NaturalSet":
        """Fit directions to real frames, and bounds to others.

        Args:
            frames: Real frames, (frames, 3, 64, 176) bytes.
            calibration: Other real frames, likewise: `inside` of these lie in the set.
            directions: How many; fewer than `frames`.
            inside: Share, in (0, 1).

        Raises:
            ConfigError: A number is out of its range, or there are too few frames.
        """
        if not 0 < directions < len(frames):
            raise ConfigError(f"{directions} directions need more real frames than {len(frames)}")
        if not 0 < inside < 1 or len(calibration) < 2:
            raise ConfigError(
                "a natural set's share should lie in (0, 1) and needs two frames or more to be "
                f"calibrated on, got {inside:g} and {len(calibration)}"
            )
        points = _values(from_pixels(frames))
        mean = points.mean(0)
        centred = points - mean
        # Of fewer frames than values, the Gram matrix has the same directions.
        variances, vectors = torch.linalg.eigh((centred @ centred.T).double())
        order = variances.argsort(descending=True)[:directions]
        lengths = variances[order].clamp_min(1e-12).sqrt()
        spanned = (vectors[:, order].T.float() @ centred) / lengths[:, None].float()
        unbounded = cls(
            mean=mean,
            directions=functional.normalize(spanned, dim=1),
            deviations=(lengths / (len(frames) - 1) ** 0.5).float(),
            bound=math.inf,
            residual_bound=math.inf,
            variation_bound=math.inf,
        )
        others = from_pixels(calibration)
        out = torch.stack(
            [unbounded.length(others), unbounded.residual(others), total_variation(others)]
        )
        # All bounds at one quantile, which leaves so many frames within all.
        ranks = out.argsort(1).argsort(1).amax(0)
        place = int(ranks.sort().values[max(0, round(inside * len(others)) - 1)])
        bound, residual_bound, variation_bound = out.sort(1).values[:, place].tolist()
        return replace(
            unbounded,
            bound=bound,
            residual_bound=residual_bound,
            variation_bound=variation_bound,
        )

    def coefficients(self, frames: Frames) -> Float[Tensor, "frames directions"]:
        """How many standard deviations a frame lies out along each direction; differentiable."""
        return (_values(frames) - self.mean) @ self.directions.T / self.deviations

    def frames(
        self,
        coefficients: Float[Tensor, "frames directions"],
        detail: Float[Tensor, "frames values"] | None = None,
    ) -> Frames:
        """The frames on the plane that have these coefficients, (frames, 3, 64, 176).

        Values are held to [0, 1]; black off the silhouette. Differentiable.

        Args:
            coefficients: In standard deviations.
            detail: What is added off the plane; of what lies on it nothing is.
        """
        values = self.mean + (coefficients * self.deviations) @ self.directions
        if detail is not None:
            values = values + self.off_plane(detail)
        return _canvas(values.clamp(0, 1))

    def off_plane(self, values: Float[Tensor, "frames values"]) -> Float[Tensor, "frames values"]:
        """What of values is orthogonal to the directions."""
        return values - (values @ self.directions.T) @ self.directions

    def length(self, frames: Frames) -> Float[Tensor, " frames"]:
        """How far out frames lie: the length of their coefficients."""
        lengths: Tensor = self.coefficients(frames).norm(dim=1)
        return lengths

    def residual(self, frames: Frames) -> Float[Tensor, " frames"]:
        """Root mean square distance of frames from the plane, in [0, 1]."""
        return self.off_plane(_values(frames) - self.mean).square().mean(1).sqrt()

    def room(self, frames: Frames) -> Float[Tensor, " frames"]:
        """How many times as far from the mean a frame might lie and be in the set; differentiable.

        Below 1 it is outside. Total variation is convex, so that less than this is sure to do.
        """
        plain = total_variation(_canvas(self.mean[None]))
        rough = total_variation(frames) - plain
        rooms = [
            self.bound / self.length(frames).clamp_min(1e-9),
            self.residual_bound / self.residual(frames).clamp_min(1e-9),
            torch.where(
                rough > 0, (self.variation_bound - plain) / rough.clamp_min(1e-9), torch.inf
            ),
        ]
        return torch.stack(rooms).amin(0)

    def contains(self, frames: Frames) -> Bool[Tensor, " frames"]:
        """Whether frames lie within all bounds, but for rounding to bytes."""
        return self.room(frames) >= 1 - 1e-3

    def draw_in(self, frames: Frames, share: float = 1.0) -> Frames:
        """Frames drawn towards the mean as far as the bounds ask, and others as they are.

        Args:
            frames: (frames, 3, 64, 176), in [0, 1].
            share: Of the bounds, above 0: less than 1 stays nearer to the mean.

        Returns:
            Frames in [0, 1]; differentiable.
        """
        kept = (share * self.room(frames)).clamp_max(1)[:, None]
        return _canvas(self.mean + kept * (_values(frames) - self.mean))

    def project(self, frames: Frames, *, off_plane: float = 0.0) -> Frames:
        """Bring frames in: what lies on the plane and what lies off it apart; differentiable.

        Args:
            frames: (frames, 3, 64, 176), in [0, 1].
            off_plane: How far frames may lie off the plane, against the set's bound, in [0, 1]; 0
                brings them onto it.
        """
        coefficients = self.coefficients(frames)
        lengths = coefficients.norm(dim=1, keepdim=True)
        coefficients = coefficients * (self.bound / lengths.clamp_min(1e-9)).clamp_max(1)
        if off_plane == 0:
            return self.draw_in(self.frames(coefficients))
        detail = self.off_plane(_values(frames) - self.mean)
        off = detail.square().mean(1, keepdim=True).add(1e-12).sqrt()
        detail = detail * (off_plane * self.residual_bound / off).clamp_max(1)
        return self.draw_in(self.frames(coefficients, detail))

    def write(self, path: Path, record: Mapping[str, str]) -> None:
        """Write the set as safetensors, half as many bits a number; `record` says what of."""
        save_tensors(
            path,
            {
                "mean": self.mean.half(),
                "directions": self.directions.half(),
                "deviations": self.deviations,
                "bounds": torch.tensor([self.bound, self.residual_bound, self.variation_bound]),
            },
            dict(record),
        )

    @classmethod
    def read(cls, path: Path) -> "NaturalSet":
        """Read a set that `write` wrote.

        Raises:
            ConfigError: There is no such file.
            DataError: The file holds no natural set.
        """
        if not path.is_file():
            raise ConfigError(f"there is no natural set {path}")
        tensors, _ = load_tensors(path)
        values = 3 * int(frame_mask().sum())
        count = tensors["deviations"].numel() if "deviations" in tensors else 0
        shapes = {"mean": (values,), "directions": (count, values), "deviations": (count,),
                  "bounds": (3,)}  # fmt: skip
        if count == 0 or {name: tuple(one.shape) for name, one in tensors.items()} != shapes:
            raise DataError(f"{path} holds no natural set of frames")
        kept = {name: one.float() for name, one in tensors.items()}
        if not all(bool(one.isfinite().all()) for one in kept.values()):
            raise DataError(f"{path} holds numbers that are not finite")
        mean = kept["mean"]
        positive = bool((kept["deviations"] > 0).all()) and bool((kept["bounds"] > 0).all())
        if not positive or float(mean.min()) < 0 or float(mean.max()) > 1:
            raise DataError(
                f"{path} holds no natural set of frames: deviations and bounds are above 0, and "
                "the mean frame lies in [0, 1]"
            )
        bound, residual_bound, variation_bound = kept.pop("bounds").tolist()
        return cls(
            **kept, bound=bound, residual_bound=residual_bound, variation_bound=variation_bound
        )


def _values(frames: Frames) -> Float[Tensor, "frames values"]:
    return frames[:, :, frame_mask().bool()].flatten(1)


def _canvas(values: Float[Tensor, "frames values"]) -> Frames:
    mask = frame_mask().bool()
    canvas = values.new_zeros(len(values), 3, *FRAME_SIZE)
    canvas[:, :, mask] = values.unflatten(1, (3, -1))
    return canvas
