"""Frames taken apart into pieces of one colour each, so that pieces can be given other colours."""

import functools
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

from agns.accessory.frame import frame_mask
from agns.types import Frames

COLORS = 6
"""Colours that a frame's pixels are sorted by."""

LEAST = 10
"""Pixels of the smallest piece; smaller ones join their largest neighbour."""

_WAYS = ((0, 1), (0, -1), (1, 0), (-1, 0))


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Pieces:
    """Frames, and which piece of its frame each pixel belongs to."""

    frames: Frames
    """As they were, (frames, 3, 64, 176), in [0, 1]."""
    places: Int64[Tensor, "frames pixels"]
    """The piece of each pixel on the silhouette, row by row, counted from 0."""
    colors: Float[Tensor, "frames pieces 3"]
    """Each piece's mean colour; 0 where a frame has fewer pieces than others."""

    @classmethod
    def of(cls, frames: Frames) -> "Pieces":
        """Take frames apart: pixels of like colour that touch are one piece."""
        mask = frame_mask().bool()
        places = torch.stack([_places(frame[:, mask].T) for frame in frames])
        return cls(frames=frames, places=places, colors=_means(frames[:, :, mask].mT, places))

    @property
    def counts(self) -> Int64[Tensor, " frames"]:
        """Pieces of each frame."""
        return self.places.amax(1) + 1

    def subset(self, chosen: Int64[Tensor, " chosen"]) -> "Pieces":
        """Those of some frames."""
        return Pieces(
            frames=self.frames[chosen], places=self.places[chosen], colors=self.colors[chosen]
        )

    def painted(
        self, colors: Float[Tensor, "frames pieces 3"], light: Float[Tensor, " pixels"]
    ) -> Frames:
        """The frames with pieces of other colors, in the same light, with edges as soft.

        Args:
            colors: In [0, 1].
            light: How bright each pixel is where the colour is the same, 1 in the mean.

        Returns:
            In [0, 1]; differentiable in the colours.
        """
        mask = frame_mask().bool()
        each = self.places[..., None].expand(-1, -1, 3)
        change = (colors - self.colors).gather(1, each) * light[:, None]
        canvas = change.new_zeros(len(change), 3, *mask.shape)
        canvas[:, :, mask] = change.mT
        return (self.frames + _softened(canvas)).clamp(0, 1) * mask


def _places(pixels: Float[Tensor, "pixels 3"]) -> Int64[Tensor, " pixels"]:
    """Which piece each pixel of a frame belongs to."""
    mask = frame_mask().bool()
    kinds = torch.full(mask.shape, -1)
    kinds[mask] = _sorted_by_color(pixels)
    pieces = torch.where(mask, torch.arange(mask.numel()).reshape(mask.shape), -1)
    # The highest number among like neighbours spreads over each piece.
    while True:
        spread = pieces
        for way in _WAYS:
            alike = kinds.roll(way, (0, 1)) == kinds
            spread = torch.where(alike & mask, spread.maximum(spread.roll(way, (0, 1))), spread)
        if bool((spread == pieces).all()):
            break
        pieces = spread
    while True:
        sizes = torch.bincount(pieces[mask], minlength=mask.numel())
        size = torch.where(mask, sizes[pieces.clamp_min(0)], 0)
        larger, into = size.clone(), pieces.clone()
        for way in _WAYS:
            beside = size.roll(way, (0, 1))
            better = mask & (size < LEAST) & (beside > larger)
            larger = torch.where(better, beside, larger)
            into = torch.where(better, pieces.roll(way, (0, 1)), into)
        if bool((into == pieces).all()):
            counted: Tensor = pieces[mask].unique(return_inverse=True)[1]
            return counted
        pieces = into


def _sorted_by_color(pixels: Float[Tensor, "pixels 3"]) -> Int64[Tensor, " pixels"]:
    """k-means from colours far apart; nothing is drawn."""
    centres = pixels.mean(0, keepdim=True)
    for _ in range(COLORS - 1):
        farthest = torch.cdist(pixels, centres).amin(1).argmax()
        centres = torch.cat([centres, pixels[farthest, None]])
    for _ in range(10):
        own = torch.cdist(pixels, centres).argmin(1)
        found = _means(pixels[None], own[None], len(centres))[0]
        filled = torch.bincount(own, minlength=len(centres))[:, None] > 0
        centres = torch.where(filled, found, centres)
    return torch.cdist(pixels, centres).argmin(1)


def _means(
    pixels: Float[Tensor, "frames pixels 3"],
    places: Int64[Tensor, "frames pixels"],
    count: int | None = None,
) -> Float[Tensor, "frames pieces 3"]:
    """The mean colour of each piece; 0 of none."""
    most = int(places.max()) + 1 if count is None else count
    sums = pixels.new_zeros(len(pixels), most, 4)
    with_one = functional.pad(pixels, (0, 1), value=1.0)
    sums.scatter_add_(1, places[..., None].expand(-1, -1, 4), with_one)
    return sums[..., :3] / sums[..., 3:].clamp_min(1)


@functools.cache
def _edges() -> tuple[Float[Tensor, "3 1 3 3"], Float[Tensor, "64 176"]]:
    """A narrow blur, and how much of it falls on the silhouette."""
    kernel = torch.tensor([[1.0, 2, 1], [2, 8, 2], [1, 2, 1]]) / 20
    on = functional.conv2d(frame_mask()[None, None], kernel[None, None], padding=1)[0, 0]
    return kernel.expand(3, 1, 3, 3), on.clamp_min(1e-6)


def _softened(changes: Float[Tensor, "frames 3 64 176"]) -> Float[Tensor, "frames 3 64 176"]:
    kernel, on = _edges()
    return functional.conv2d(changes, kernel, padding=1, groups=3) / on
