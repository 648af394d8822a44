"""Where a frame may sit: bounded shifts, scales and turns, and the pixels that they all reach.

Convention:
    A placement takes a pixel u = (x, y) of the frame's canvas to `MIDDLE + shift + scale * turn(u -
    MIDDLE)`, as `agns.accessory.placement.Placement` moves frames. Frame and mask are sampled
    bilinearly, so that a pixel shows something of the frame only if its place before the movement
    lies within a pixel, along both axes, of a pixel of the silhouette.
"""

import itertools
import math
from typing import NamedTuple, TypeAlias

import torch
from jaxtyping import Bool
from torch import Tensor

from agns.accessory.frame import FRAME_COLUMNS, FRAME_ROWS, silhouette
from agns.types import CANVAS

Region: TypeAlias = Bool[Tensor, "224 224"]
"""Pixels of the face canvas."""

MIDDLE = (sum(FRAME_COLUMNS) / 2, sum(FRAME_ROWS) / 2)
"""What frames turn and grow about: the middle of the crop's corners, (x, y)."""

_REACH = 1.01
"""How far a pixel of the silhouette reaches by bilinear sampling, with room for rounding."""

_SLACK = 0.25
"""Pixels by which a placement may lie off the nearest of those that are gone through."""


class Placements(NamedTuple):
    """All placements with each figure between two bounds, these included."""

    x: tuple[float, float] = (0.0, 0.0)
    """Shift to the right, in pixels."""
    y: tuple[float, float] = (0.0, 0.0)
    """Shift down, in pixels."""
    scale: tuple[float, float] = (1.0, 1.0)
    """How much the frame is larger."""
    turn: tuple[float, float] = (0.0, 0.0)
    """Angle from x towards y, in degrees within [-45, 45]."""

    def split(self, parts: int) -> tuple["Placements", ...]:
        """Parts that make up the whole: as many along each axis along which frames shift."""
        return tuple(
            self._replace(x=across, y=down)
            for across in _pieces(self.x, parts)
            for down in _pieces(self.y, parts)
        )


def covering_region(placements: Placements, *, dilation: float = 0.0) -> Region:
    """All pixels that a frame can reach in any of these placements, and `dilation` pixels more.

    Shifts are exact. Of scales and turns a grid is gone through, so fine that every other placement
    lies within `_SLACK` of one on it at every pixel of the silhouette, for each of the two; the
    region is wider by as much. It errs on one side alone: it may hold pixels that no frame reaches.
    """
    rows, columns = silhouette().nonzero().double().unbind(1)
    points = torch.stack([columns - MIDDLE[0], rows - MIDDLE[1]], 1)
    arm, largest = float(points.norm(dim=1).max()), placements.scale[1]
    scales, off_scale = _grid(placements.scale, arm)
    low, high = map(math.radians, placements.turn)
    turns, off_turn = _grid((low, high), arm * largest)
    most = max(abs(low), abs(high))
    # A square of a side of 2 that is turned fits into a level one this much larger.
    reach = _REACH * largest * (math.cos(most) + math.sin(most)) + off_scale + off_turn + dilation
    # Rectangles are entered at their corners, and spread by two running sums.
    corners = torch.zeros((CANVAS + 1) ** 2, dtype=torch.int64)
    cos, sin = turns.cos()[:, None], turns.sin()[:, None]
    for scale in scales.tolist():
        x = MIDDLE[0] + scale * (cos * points[:, 0] - sin * points[:, 1]).flatten()
        y = MIDDLE[1] + scale * (sin * points[:, 0] + cos * points[:, 1]).flatten()
        left, right = _ends(x, placements.x, reach)
        top, bottom = _ends(y, placements.y, reach)
        for row, column, sign in ((top, left, 1), (top, right, -1), (bottom, left, -1),
                                  (bottom, right, 1)):  # fmt: skip
            places = row * (CANVAS + 1) + column
            corners.index_add_(0, places, torch.full_like(places, sign))
    covered = corners.reshape(CANVAS + 1, CANVAS + 1).cumsum(0).cumsum(1)
    return covered[:CANVAS, :CANVAS] > 0


def _grid(bounds: tuple[float, float], arm: float) -> tuple[Tensor, float]:
    """Middles of equal pieces of a range, and how far off them, times `arm`, one can be."""
    low, high = bounds
    count = max(1, math.ceil((high - low) * arm / (2 * _SLACK)))
    half = (high - low) / (2 * count)
    return low + half * (2 * torch.arange(count, dtype=torch.float64) + 1), half * arm


def _ends(middle: Tensor, shift: tuple[float, float], reach: float) -> tuple[Tensor, Tensor]:
    """The first whole pixel within reach, and the one after the last, on the canvas."""
    first = (middle + shift[0] - reach).ceil().clamp(0, CANVAS).long()
    after = (middle + shift[1] + reach).floor().add(1).clamp(0, CANVAS).long()
    return first, torch.maximum(first, after)


def _pieces(bounds: tuple[float, float], parts: int) -> list[tuple[float, float]]:
    low, high = bounds
    if low == high:
        return [bounds]
    ends = [low + (high - low) * part / parts for part in range(parts)] + [high]
    return list(itertools.pairwise(ends))
