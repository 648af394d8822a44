"""Finding the seven green marks of a worn frame in photos.

Among the small green spots of a photo, those are looked for that lie as the marks of the frame
do: two spots taken for two far marks give a similarity, which tells where the other five must
be; the homography fitted to all seven then settles it. Spots elsewhere, on plants or clothes,
do not matter; an eighth on the frame itself does.

A mark that touches something of its own colour is cut out badly, and JPEG lets colours run. How
large the marks are and how they lie is known, though. So each pixel's colour is weighed at last,
and each mark is put where its shape, whose edges are sharp, holds most of what looks like it and
the rim around it least. In photos blurred by two pixels and more the spots' own centres are a fifth
of a pixel better in the median.
"""

import functools
import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional

from agns.accessory.frame import silhouette
from agns.accessory.green_spots import Spots, green_spots
from agns.accessory.marks import MARKS, mark_coverage, marks_homography
from agns.errors import DataError, MarksNotFound
from agns.geometry import transform_points
from agns.images import check_images
from agns.types import CANVAS, Homographies, Image

_BASES = ((0, 2), (0, 6), (3, 2), (3, 6))
"""Pairs of far marks: whichever one mark is missing, a pair is left."""

_SCALES = (0.6, 1.5)
_ROLL = 40.0
"""Degrees to either side."""

_LOOSE = 14.0
"""Pixels on the frame's canvas by which perspective may move a mark off the similarity."""

_TIGHT = 3.0
"""Pixels on the frame's canvas by which a mark may lie off the homography: frames bend."""

_MARGIN = 4
"""Pixels around the frame on its canvas within which no other green spot may lie."""

_TRIED = 24
"""Most promising choices of seven that a homography is fitted to."""

_ALIKE = (0.3, 3.0)
"""How much less and more than their median the marks' areas and rises may come to."""

_EXTRA = (0.6, 2.0)
"""The same of one spot more on the frame: narrower, since eyes close to the frame are green too."""


class FoundMarks(NamedTuple):
    """The seven marks of one photo."""

    centres: Float[Tensor, "7 2"]
    """(x, y) in pixels of the photo, in the order of `MARKS`; on the CPU."""
    confidence: float
    """In [0, 1]: near 1 where the marks lie as on the flat frame and are alike. It tells a doubtful
    layout from a good one; it is no probability, and does not see errors of a pixel or two."""


def find_marks(photo: Image, *, name: str = "the photo") -> FoundMarks:
    """Find the seven green marks of the frame that somebody wears.

    The photo is aligned to the canonical pose or nearly so: 224x224, in [0, 1]. Errors call it by
    `name`.

    Raises:
        ImageContractError: The photo is not float32 RGB of 224x224 pixels in [0, 1].
        MarksNotFound: It does not show exactly seven marks, laid out as on the frame.
    """
    check_images(photo[None], size=(CANVAS, CANVAS))
    photo = photo.detach().cpu()
    spots = green_spots(photo)
    choices = _choices(spots)
    most = int((choices >= 0).sum(1).max()) if len(choices) else min(len(spots.areas), 1)
    fits = [fit for choice in choices[:_TRIED] if (fit := _fit(spots, choice)) is not None]
    if not fits:
        amiss = "7 green spots that do not lie as the frame's marks do" if most == 7 else str(most)
        raise MarksNotFound(f"expected 7 green marks in {name}, found {amiss}")
    best = min(fits, key=lambda fit: fit.error)
    extra = _others_on_the_frame(spots, best)
    if extra:
        raise MarksNotFound(f"expected 7 green marks in {name}, found {7 + extra}")
    centres = settle_marks(photo, spots.centres[best.choice], best.homography)
    rises = spots.rises[best.choice]
    alike = float(rises.min() / rises.median())
    confidence = math.exp(-((best.error / _TIGHT) ** 2)) * alike**0.5
    return FoundMarks(centres=centres, confidence=confidence)


class _Fit(NamedTuple):
    """Seven spots taken for the marks."""

    choice: Int64[Tensor, "7"]
    homography: Homographies
    error: float
    """Root mean square distance of spots and marks, in pixels on the frame's canvas."""


def _choices(spots: Spots) -> Int64[Tensor, "choices 7"]:
    """Which spot each mark may be, -1 for none: every choice once, the likeliest first.

    Only choices of as many spots as the best one has are kept.
    """
    points = torch.view_as_complex(spots.centres.double())
    marks = torch.view_as_complex(torch.tensor(MARKS, dtype=torch.float64))
    first, second = (~torch.eye(len(points), dtype=torch.bool)).nonzero().unbind(1)
    ones, others = torch.tensor(_BASES).repeat_interleave(len(first), 0).unbind(1)
    first, second = first.repeat(len(_BASES)), second.repeat(len(_BASES))
    turn = (points[second] - points[first]) / (marks[others] - marks[ones])
    shift = points[first] - turn * marks[ones]
    # An aligned face scales and turns the frame no more than that.
    plausible = (turn.abs() >= _SCALES[0]) & (turn.abs() <= _SCALES[1])
    plausible &= turn.angle().rad2deg().abs() <= _ROLL
    turn, shift = turn[plausible], shift[plausible]
    if not len(turn):
        return torch.empty(0, 7, dtype=torch.int64)
    expected = turn[:, None] * marks + shift[:, None]
    distances = (expected[..., None] - points).abs() / turn.abs()[:, None, None]
    nearest = distances.min(2)
    chosen = torch.where(nearest.values <= _LOOSE, nearest.indices, -1)
    counts = (chosen >= 0).sum(1)
    off = nearest.values.clamp_max(_LOOSE).square().sum(1)
    kept = counts == counts.max()
    chosen, off = chosen[kept], off[kept]
    # The same choice comes from several pairs of spots: its place is that of its best.
    chosen = chosen[off.argsort(stable=True)]
    _, found = torch.unique(chosen, dim=0, return_inverse=True)
    firsts = torch.full((int(found.max()) + 1,), len(found))
    firsts = firsts.scatter_reduce(0, found, torch.arange(len(found)), "amin")
    return chosen[firsts.sort().values]


def _fit(spots: Spots, choice: Int64[Tensor, "7"]) -> _Fit | None:
    """The homography of seven spots, if they may be the marks."""
    if bool((choice < 0).any()) or len(set(choice.tolist())) < 7:
        return None
    for of_spots in (spots.areas[choice], spots.rises[choice]):
        share = of_spots / of_spots.median()
        if not _ALIKE[0] <= float(share.min()) <= float(share.max()) <= _ALIKE[1]:
            return None
    centres = spots.centres[choice].double()
    try:
        homography = marks_homography(centres)
    except DataError:
        return None
    # Back on the frame's canvas, so that a small face is held to no looser a measure.
    back = transform_points(centres, torch.linalg.inv(homography))
    distances = (back - torch.tensor(MARKS, dtype=torch.float64)).norm(dim=1)
    if float(distances.max()) > _TIGHT:
        return None
    return _Fit(choice=choice, homography=homography, error=float(distances.square().mean().sqrt()))


def _others_on_the_frame(spots: Spots, fit: _Fit) -> int:
    """How many more spots that resemble the marks lie on the frame: eyes, behind it, do not."""
    back = transform_points(spots.centres.double(), torch.linalg.inv(fit.homography))
    place = back.round().long().clamp(0, CANVAS - 1)
    on = _frame_and_margin()[place[:, 1], place[:, 0]]
    for of_spots in (spots.areas, spots.rises):
        share = of_spots / of_spots[fit.choice].median()
        on &= (share >= _EXTRA[0]) & (share <= _EXTRA[1])
    on[fit.choice] = False
    return int(on.sum())


@functools.cache
def _frame_and_margin() -> Bool[Tensor, "height width"]:
    return functional.max_pool2d(silhouette()[None], 2 * _MARGIN + 1, 1, _MARGIN)[0] > 0


_REACH = 12
"""Pixels from a mark's middle to the borders of the window that is looked at."""

_FARTHEST = 3
"""Pixels along each axis by which a mark may be moved."""

_RIM = 1.5
"""Pixels on the frame's canvas around a mark that should not look like it."""

_AROUND = (1.0, 6.0)
"""The same, from where to where the surroundings lie that it is told from."""

_ONE_COLOUR = (0.2, 0.02)
"""Standard deviation of colours that count as one: as a share of the mark's brightest channel, and
at least, in [0, 1]."""

_TIMID = 1.5e-2
"""What moving a mark costs, per squared pixel: JPEG lets colours run by about one."""


def settle_marks(
    photo: Image, centres: Float[Tensor, "7 2"], homography: Homographies
) -> Float[Tensor, "7 2"]:
    """Move the centres of marks, in the order of `MARKS`, to where their shapes fit best.

    Args:
        photo: In [0, 1], on the CPU.
        centres: About where the marks are, in pixels. Each is moved by at most 3 pixels along each
            axis; those whose window reaches beyond the photo are left as they are.
        homography: From the frame's canvas to the photo, (3, 3).
    """
    middles = centres.round().long()
    sides = torch.tensor([photo.shape[2], photo.shape[1]])
    inside = ((middles >= _REACH) & (middles < sides - _REACH)).all(1)
    window = torch.arange(-_REACH, _REACH + 1)
    held = torch.where(inside[:, None], middles, _REACH)
    rows, columns = held[:, 1, None, None] + window[:, None], held[:, 0, None, None] + window
    colours = photo[:, rows, columns].transpose(0, 1)
    back = torch.linalg.inv(_stretch(homography)).float()
    off = (centres - middles).float()
    resemblance = _resemblance(colours, back, off)
    steps = torch.arange(-_FARTHEST, _FARTHEST + 1, dtype=torch.float32)
    down, right = torch.meshgrid(steps, steps, indexing="ij")
    moves = torch.stack([right, down], -1).flatten(0, 1)
    # The mean resemblance on each mark, less that on the rim around it.
    on = _covered(back, off, moves)
    rim = _covered(back, off, moves, wider=_RIM) - on
    within, beside = (
        (some * resemblance[:, None]).sum((2, 3)) / some.sum((2, 3)) for some in (on, rim)
    )
    fits = within - beside - _TIMID * moves.square().sum(1)
    peaks = [_peak(fit) for fit in fits.unflatten(1, down.shape)]
    moved = centres + (torch.tensor(peaks) - _FARTHEST).to(centres)
    return torch.where(inside[:, None], moved, centres)


def _stretch(homography: Homographies) -> Float[Tensor, "7 2 2"]:
    """How a small step on the frame's canvas shows in the photo, at each mark."""
    marks = torch.tensor(MARKS, dtype=torch.float64)
    steps = torch.tensor([[0.0, 0.0], [1e-3, 0.0], [0.0, 1e-3]], dtype=torch.float64)
    seen = transform_points((marks[:, None] + steps).flatten(0, 1), homography.double())
    start, right, down = seen.unflatten(0, (7, 3)).unbind(1)
    return torch.stack([right - start, down - start], -1) / 1e-3


def _covered(
    back: Float[Tensor, "7 2 2"],
    off: Float[Tensor, "7 2"],
    moves: Float[Tensor, "moves 2"],
    wider: float = 0,
) -> Float[Tensor, "7 moves side side"]:
    """The share of each window's pixels that the marks, moved, would cover."""
    window = torch.arange(-_REACH, _REACH + 1, dtype=torch.float32)
    down, right = torch.meshgrid(window, window, indexing="ij")
    steps = torch.stack([right, down]) - (off[:, None] + moves)[..., None, None]
    x, y = torch.einsum("mij,mnjhw->imnhw", back, steps)
    return mark_coverage(x, y, wider=wider)


def _resemblance(
    colours: Float[Tensor, "7 3 side side"], back: Float[Tensor, "7 2 2"], off: Float[Tensor, "7 2"]
) -> Float[Tensor, "7 side side"]:
    """How much each pixel looks like the mark rather than what surrounds it, in [0, 1].

    Kernel densities: surroundings may be of several colours, dark frame and bright wall, and a mark
    of one between them.
    """
    still = torch.zeros(1, 2)
    core = _covered(back, off, still)[:, 0] > 0.95
    least, most = (_covered(back, off, still, wider=wider)[:, 0] for wider in _AROUND)
    around = (least <= 0) & (most > 0)
    points = colours.flatten(2).mT
    # Equal weights, which sum to 1.
    weights, outside = (
        some / some.sum(1, keepdim=True).clamp_min(1)
        for some in (core.flatten(1).float(), around.flatten(1).float())
    )
    share, least_spread = _ONE_COLOUR
    brightest = (weights[:, None] @ points).amax((1, 2))
    spread = (share * brightest).clamp_min(least_spread)[:, None, None]
    kernel = torch.exp(-torch.cdist(points, points).square() / (2 * spread**2))
    like, unlike = (kernel @ torch.stack([weights, outside], 2)).unbind(2)
    likeness: Tensor = like / (like + unlike + 1e-12)
    return likeness.reshape(core.shape)


def _peak(fit: Float[Tensor, "rows columns"]) -> list[float]:
    """(x, y) of the highest place, to fractions by the parabola through its neighbours."""
    row, column = divmod(int(fit.argmax()), fit.shape[1])
    return [column + _vertex(fit[row], column), row + _vertex(fit[:, column], row)]


def _vertex(line: Float[Tensor, " places"], top: int) -> float:
    """How far from its highest place a line's parabola peaks, in [-0.5, 0.5]."""
    if not 0 < top < len(line) - 1:
        return 0.0
    before, at, after = line[top - 1 : top + 2].tolist()
    bend = before - 2 * at + after
    return 0.5 * (before - after) / bend if not math.isclose(bend, 0) else 0.0
