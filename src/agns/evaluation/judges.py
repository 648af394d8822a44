"""Judges of appearance that no attack has seen: would a person take this frame for eyeglasses?

The discriminator's score is no such judge: attacks are made against it, and frames that nobody
would wear pass. These here are in no loss and choose nothing. One is a network that has learnt
frames of attacks on other recognisers. The others compare a frame with real ones: how near its
patches lie to theirs, how near it lies as a whole, and how much it varies; each is told as the
share of *other* real frames that do better.
"""

import functools
import hashlib
import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional

from agns.accessory.frame import frame_mask
from agns.accessory.total_variation import total_variation
from agns.evaluation.metrics import wilson_interval
from agns.evaluation.sealed_judge import Reference, SealedJudge, read_judges
from agns.images import from_pixels
from agns.models.shipped import shipped_weights
from agns.types import Frames, Glasses

NEIGHBOURS = 500
"""Real frames that others are compared with: the first ones."""

USUAL = 0.975
"""A frame that more than this share of real ones outdo, by any comparison, looks like none."""

FEWEST = 80
"""Real frames of the user's own from which on others are compared with them: of half of fewer, one
would be more than 2.5 %."""

_PATCH, _STRIDE = 8, 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Appearance:
    """How one frame looks to judges that no attack has seen; the shares are of real frames."""

    patches: float
    """Share of real frames whose patches lie nearer to other real frames', in [0, 1]."""

    whole: float
    """Share of real frames that lie nearer to another real one."""

    variation: float
    """Share of real frames that vary less from pixel to pixel."""

    sealed: float | None
    """The sealed judge's log-odds that the frame is real, above what 95 % of real frames come up
    to: from 0 on it passes. None where real frames are others than those that come with agns."""

    @property
    def worst(self) -> float:
        """The largest of the three shares."""
        return max(self.patches, self.whole, self.variation)

    @property
    def passes(self) -> bool:
        """Whether the sealed judge, where there is one, and all three comparisons let it pass."""
        return self.worst <= USUAL and (self.sealed is None or self.sealed >= 0)

    @property
    def reason(self) -> str:
        """Which judges do not let it pass, in words; empty where all do."""
        nearer = [
            f"{share:.1%} {what}"
            for share, what in (
                (self.patches, "have patches nearer to other real frames'"),
                (self.whole, "lie nearer to another real one"),
                (self.variation, "are smoother"),
            )
            if share > USUAL
        ]
        found = [f"of real frames {', '.join(nearer)}"] if nearer else []
        if self.sealed is not None and self.sealed < 0:
            found.append("the sealed judge takes it for an attack's")
        return "; ".join(found)


class Judges:
    """Judges of frames by real ones.

    Args:
        neighbours: Real 64x176 frames as bytes, with which others are compared.
        reference: What other real frames come to.
        sealed: The sealed judge; None for real frames that it does not know.
    """

    def __init__(
        self, neighbours: Glasses, reference: Reference, sealed: SealedJudge | None = None
    ) -> None:
        self._neighbours, self._reference, self.sealed = neighbours, reference, sealed
        self._patches = _patches(from_pixels(neighbours))
        self._points = _points(from_pixels(neighbours))

    @classmethod
    def of(cls, glasses: Glasses) -> "Judges | None":
        """The judges for some real frames: those that come with agns for the drawn ones.

        Other frames are divided: a half to be compared with, and a half to compare. Fewer than
        `FEWEST` say nothing: None.

        Args:
            glasses: Real 64x176 frames as bytes.
        """
        if len(glasses) < FEWEST:
            return None
        sealed, reference, known = _read()
        neighbours = glasses[:NEIGHBOURS]
        if digest_of(neighbours) == known:
            return cls(neighbours, reference, sealed)
        half = min(NEIGHBOURS, len(glasses) // 2)
        return cls(glasses[:half], compared(glasses[:half], glasses[half : 2 * half]))

    @torch.no_grad()
    def look_at(self, frames: Frames) -> list[Appearance]:
        """How frames in [0, 1], (frames, 3, 64, 176), look, one by one."""
        sealed = None if self.sealed is None else self.sealed(frames) - self.sealed.threshold
        shares = [
            (torch.searchsorted(real, own).double() / len(real)).tolist()
            for real, own in zip(self._reference, self.distances(frames), strict=True)
        ]
        return [
            Appearance(
                patches=patches, whole=whole, variation=variation,
                sealed=None if sealed is None else float(sealed[place]),
            )
            for place, (patches, whole, variation) in enumerate(zip(*shares, strict=True))
        ]  # fmt: skip

    @torch.no_grad()
    def distances(self, frames: Frames) -> Reference:
        """What frames come to by each comparison, in their order."""
        patches = [
            torch.cdist(some, self._patches).amin(2).mean(0)
            for some in _patches(frames).split(64, dim=1)
        ]
        whole = torch.cdist(_points(frames), self._points).amin(1)
        return Reference(torch.cat(patches), whole, total_variation(frames))


def compared(neighbours: Glasses, frames: UInt8[Tensor, "others 3 64 176"]) -> Reference:
    """What real frames come to, sorted.

    Args:
        neighbours: Real frames as bytes.
        frames: Others.
    """
    nothing = torch.zeros(1)
    judges = Judges(neighbours, Reference(nothing, nothing, nothing))
    return Reference(*(one.sort().values for one in judges.distances(from_pixels(frames))))


@functools.lru_cache(maxsize=1)
def _read() -> tuple[SealedJudge, Reference, str]:
    return read_judges(shipped_weights("judges"))


def digest_of(glasses: Glasses) -> str:
    """By which the frames that others are compared with are known again."""
    return hashlib.sha256(glasses.contiguous().numpy().tobytes()).hexdigest()


def shipped_judge() -> SealedJudge:
    """The sealed judge that comes with agns, for the drawn frames."""
    return _read()[0]


def two_sample_test(
    judge: SealedJudge, frames: Frames, real: Frames, *, folds: int = 5
) -> tuple[float, tuple[float, float]]:
    """How well a classifier tells some frames from as many real ones (Lopez-Paz & Oquab 2017).

    A ridge regression over the sealed judge's features is fitted on all folds but one and tried on
    that. Frames of one attack may all be told apart though each passes alone.

    Args:
        judge: Whose features are used.
        frames: An attack's frames, (frames, 3, 64, 176) in [0, 1]; as many as folds, or more.
        real: As many real ones, that served nothing else.
        folds: Parts.

    Returns:
        The share of frames that it tells right, 0.5 for those that cannot be told apart, and
        Wilson's 95 % interval of so many answers. These share what the classifier was fitted to, so
        that the interval is somewhat narrow.
    """
    features = torch.cat([judge.features(frames), judge.features(real)]).double()
    labels = torch.cat([-torch.ones(len(frames)), torch.ones(len(real))]).double()
    parts = torch.cat([torch.arange(len(frames)), torch.arange(len(real))]) % folds
    right = 0
    for part in range(folds):
        fit, held = parts != part, parts == part
        mean, deviation = features[fit].mean(0), features[fit].std(0).clamp_min(1e-6)
        known = (features[fit] - mean) / deviation
        # With few frames, their inner products instead of the features': the dual of the ridge.
        inner = known @ known.T + 0.1 * known.shape[1] * torch.eye(len(known)).double()
        weights = known.T @ torch.linalg.solve(inner, labels[fit])
        said = ((features[held] - mean) / deviation) @ weights
        right += int((said.sign() == labels[held]).sum())
    return right / len(labels), wilson_interval(right, len(labels))


def _points(frames: Frames) -> Float[Tensor, "frames values"]:
    """Frames' numbers on the silhouette: distances are root mean squares."""
    points = frames[:, :, frame_mask().bool()].flatten(1)
    return points / math.sqrt(points.shape[1])


def _patches(frames: Frames) -> Float[Tensor, "places frames values"]:
    """Frames' patches at each place that lies on the silhouette by half; likewise."""
    cut = functools.partial(functional.unfold, kernel_size=_PATCH, stride=_STRIDE)
    covered = cut(frame_mask()[None, None].float())[0].mean(0) >= 0.5
    patches = cut(frames * frame_mask())[:, :, covered].permute(2, 0, 1).contiguous()
    return patches / math.sqrt(patches.shape[2])
