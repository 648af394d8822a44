"""How much a frame still looks like eyeglasses, in figures."""

import copy
import math
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from agns.accessory.frame import frame_mask
from agns.accessory.printability import Palette, assumed_palette, non_printability, read_palette
from agns.accessory.total_variation import total_variation
from agns.evaluation.judges import Appearance, Judges
from agns.images import from_pixels
from agns.models.dcgan import Discriminator, Generator, sample_latents
from agns.types import Frames, Glasses


@dataclass(frozen=True, slots=True, kw_only=True)
class Stealth:
    """How one frame looks, beside benign frames drawn by the pretrained generator."""

    discriminator_score: float
    """The pretrained discriminator's belief that it is real, in [0, 1], among real frames."""

    discriminator_percentile: float
    """Share of benign generated frames that score lower, in [0, 1]."""

    total_variation: float
    """Mean absolute difference between neighbouring pixels of the frame, in [0, 1]."""

    total_variation_percentile: float
    """Share of benign generated frames that are smoother."""

    non_printability: float
    """Its score by `agns.accessory.printability.non_printability`, with the attack's palette or the
    assumed one."""

    non_printability_percentile: float
    """Share of benign generated frames that print better."""

    nearest_real: float
    """Root mean square difference to the nearest real frame, over the frame's pixels."""

    nearest_real_percentile: float
    """Share of benign generated frames that lie nearer to a real one."""

    within_benign_90: bool
    """Whether the discriminator's score lies within the middle 90 % of benign frames'."""

    appearance: Appearance | None = None
    """What judges say that no attack has seen; None in results of before there were any, and where
    the real frames are too few."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BenignRange:
    """How one figure spreads over benign generated frames."""

    low: float
    """5 % of the frames lie below."""

    median: float
    """Half of the frames lie below."""

    high: float
    """5 % of the frames lie above."""


class StealthScale:
    """Scores frames against real and benign generated ones.

    Args:
        generator: The pretrained generator, in evaluation mode.
        discriminator: The pretrained discriminator, in evaluation mode.
        glasses: Real 64x176 frames as bytes.
        rng: Source of the companions and the benign frames.
        benign: How many benign frames make the scale.
    """

    def __init__(
        self,
        generator: Generator,
        discriminator: Discriminator,
        glasses: Glasses,
        *,
        rng: torch.Generator,
        benign: int = 200,
    ) -> None:
        chosen = torch.randint(len(glasses), (32,), generator=rng)
        self._discriminator = discriminator
        self._glasses = glasses
        self._companions = from_pixels(glasses[chosen])
        with torch.no_grad():
            self.benign = generator(sample_latents(benign, rng=rng))
        self.benign_scores = self.scores(self.benign)
        self.benign_variations = total_variation(self.benign)
        self.benign_distances = distance_to_nearest(self.benign, glasses)
        self._judges = Judges.of(glasses)
        self._set_palette(assumed_palette())

    def printed_with(self, path: str | None) -> "StealthScale":
        """The same scale with the palette in a file, or itself without one.

        Raises:
            ConfigError: There is no such file.
            DataError: It is no palette; see `agns.accessory.printability.read_palette`.
        """
        if path is None:
            return self
        other = copy.copy(self)
        other._set_palette(read_palette(Path(path)))
        return other

    def _set_palette(self, palette: Palette) -> None:
        self._palette = palette
        self.benign_prints = non_printability(self.benign, palette)

    @torch.no_grad()
    def scores(self, frames: Frames) -> Float[Tensor, " frames"]:
        """The discriminator's belief in each frame, alone among 32 real ones."""
        return self._discriminator.judge_among(frames, self._companions).sigmoid()

    @property
    def ranges(self) -> dict[str, BenignRange]:
        """The spread of each figure over the benign frames, by its name in `Stealth`."""
        figures = {
            "discriminator_score": self.benign_scores,
            "total_variation": self.benign_variations,
            "non_printability": self.benign_prints,
            "nearest_real": self.benign_distances,
        }
        return {name: _range(values) for name, values in figures.items()}

    def measure(self, frame: Float[Tensor, "3 64 176"]) -> Stealth:
        """Score one frame in [0, 1]."""
        score = float(self.scores(frame[None])[0])
        variation = float(total_variation(frame[None])[0])
        printed = float(non_printability(frame[None], self._palette)[0])
        distance = float(distance_to_nearest(frame[None], self._glasses)[0])
        benign = _range(self.benign_scores)
        return Stealth(
            discriminator_score=score,
            discriminator_percentile=_below(self.benign_scores, score),
            total_variation=variation,
            total_variation_percentile=_below(self.benign_variations, variation),
            non_printability=printed,
            non_printability_percentile=_below(self.benign_prints, printed),
            nearest_real=distance,
            nearest_real_percentile=_below(self.benign_distances, distance),
            within_benign_90=benign.low <= score <= benign.high,
            appearance=None if self._judges is None else self._judges.look_at(frame[None])[0],
        )


def _range(values: Float[Tensor, " frames"]) -> BenignRange:
    low, median, high = torch.quantile(values, torch.tensor([0.05, 0.5, 0.95])).tolist()
    return BenignRange(low=low, median=median, high=high)


def _below(values: Float[Tensor, " frames"], value: float) -> float:
    return float((values < value).float().mean())


@torch.no_grad()
def distance_to_nearest(
    frames: Frames, glasses: Glasses, *, chunk: int = 512
) -> Float[Tensor, " frames"]:
    """Root mean square difference, over the frame's pixels, to the nearest real frame."""
    chosen = frame_mask().bool()
    points = frames[:, :, chosen].flatten(1)
    nearest = torch.full((len(points),), torch.inf)
    for some in torch.split(glasses, chunk):
        real = from_pixels(some)[:, :, chosen].flatten(1)
        nearest = torch.minimum(nearest, torch.cdist(points, real).amin(1))
    return nearest / math.sqrt(points.shape[1])
