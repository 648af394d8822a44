"""The frames that pass for real ones, as a set: near a plane through them, and not far out.

Real frames are described by their principal directions: a frame is their mean and a sum of
directions, each by as many standard deviations as its coefficient says. Frames that lie further
out than real ones do, or further from the plane that the directions span, are not in the set.
Both bounds come from real frames that the directions were not fitted to.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from agns.accessory.frame import FRAME_SIZE, frame_mask
from agns.errors import ConfigError, DataError
from agns.images import from_pixels
from agns.storage import load_tensors, save_tensors
from agns.types import Frames

INSIDE = 0.95
"""Share of real frames that lie in the set."""

DIRECTIONS = 200
"""Principal directions by default."""


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class NaturalSet:
    """Frames between and about real ones; see `NaturalSet.fit`.

    `values` below are a frame's numbers on the silhouette alone, some 10,000.
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
            directions=torch.nn.functional.normalize(spanned, dim=1),
            deviations=(lengths / (len(frames) - 1) ** 0.5).float(),
            bound=float("inf"),
            residual_bound=float("inf"),
        )
        others = from_pixels(calibration)
        out, off = unbounded.length(others), unbounded.residual(others)
        # Both bounds at one quantile, which leaves so many frames within both.
        ranks = torch.maximum(_ranks(out), _ranks(off))
        place = int(ranks.sort().values[max(0, round(inside * len(others)) - 1)])
        return cls(
            mean=unbounded.mean,
            directions=unbounded.directions,
            deviations=unbounded.deviations,
            bound=float(out.sort().values[place]),
            residual_bound=float(off.sort().values[place]),
        )

    def coefficients(self, frames: Frames) -> Float[Tensor, "frames directions"]:
        """How many standard deviations a frame lies out along each direction; differentiable."""
        return (_values(frames) - self.mean) @ self.directions.T / self.deviations

    def frames(self, coefficients: Float[Tensor, "frames directions"]) -> Frames:
        """The frames on the plane that have these coefficients, (frames, 3, 64, 176).

        Values are held to [0, 1]; black off the silhouette. Differentiable.
        """
        values = self.mean + (coefficients * self.deviations) @ self.directions
        mask = frame_mask().bool()
        canvas = values.new_zeros(len(values), 3, *FRAME_SIZE)
        canvas[:, :, mask] = values.clamp(0, 1).reshape(len(values), 3, -1)
        return canvas

    def within(
        self, coefficients: Float[Tensor, "frames directions"], share: float = 1.0
    ) -> Float[Tensor, "frames directions"]:
        """Coefficients shortened to `share` of the bound where they are longer; differentiable."""
        lengths = coefficients.norm(dim=1, keepdim=True)
        return coefficients * (share * self.bound / lengths.clamp_min(1e-9)).clamp_max(1)

    def project(self, frames: Frames, share: float = 1.0) -> Frames:
        """The nearest frames on the plane, drawn towards the mean as far as the bound asks.

        Args:
            frames: (frames, 3, 64, 176), in [0, 1].
            share: Of the bound, above 0: less than 1 stays nearer to the mean.

        Returns:
            Frames in [0, 1]; differentiable.
        """
        return self.frames(self.within(self.coefficients(frames), share))

    def length(self, frames: Frames) -> Float[Tensor, " frames"]:
        """How far out frames lie: the length of their coefficients."""
        return self.coefficients(frames).norm(dim=1)

    def residual(self, frames: Frames) -> Float[Tensor, " frames"]:
        """Root mean square distance of frames from the plane, in [0, 1]."""
        centred = _values(frames) - self.mean
        on_plane = (centred @ self.directions.T) @ self.directions
        return (centred - on_plane).square().mean(1).sqrt()

    def contains(self, frames: Frames) -> Bool[Tensor, " frames"]:
        """Whether frames lie within both bounds."""
        return (self.length(frames) <= self.bound) & (self.residual(frames) <= self.residual_bound)

    def write(self, path: Path, record: Mapping[str, str]) -> None:
        """Write the set as safetensors, half as many bits a number; `record` says what of."""
        save_tensors(
            path,
            {
                "mean": self.mean.half(),
                "directions": self.directions.half(),
                "deviations": self.deviations,
                "bounds": torch.tensor([self.bound, self.residual_bound]),
            },
            dict(record),
        )

    @classmethod
    def read(cls, path: Path) -> "NaturalSet":
        """Read a set that `write` wrote.

        Raises:
            DataError: The file holds no natural set.
        """
        tensors, _ = load_tensors(path)
        values = 3 * int(frame_mask().sum())
        count = len(tensors.get("deviations", ()))
        shapes = {"mean": (values,), "directions": (count, values), "deviations": (count,),
                  "bounds": (2,)}  # fmt: skip
        if count == 0 or {name: tuple(one.shape) for name, one in tensors.items()} != shapes:
            raise DataError(f"{path} holds no natural set of frames")
        kept = {name: one.float() for name, one in tensors.items()}
        if not all(bool(one.isfinite().all()) for one in kept.values()):
            raise DataError(f"{path} holds numbers that are not finite")
        bound, residual_bound = kept.pop("bounds").tolist()
        return cls(**kept, bound=bound, residual_bound=residual_bound)


def _values(frames: Frames) -> Float[Tensor, "frames values"]:
    return frames[:, :, frame_mask().bool()].flatten(1)


def _ranks(values: Float[Tensor, " frames"]) -> Tensor:
    return values.argsort().argsort()
