"""The covering region holds whatever a frame reaches, in every placement within the bounds."""

import math

import torch

from agns.accessory.frame import silhouette
from agns.accessory.placement import Placement
from agns.defence.placements import MIDDLE, Placements, covering_region
from agns.geometry import warp
from agns.types import CANVAS, Homographies

BOUNDS = Placements(x=(-6, 3), y=(-2, 5), scale=(0.9, 1.05), turn=(-8, 4))


def moved(x: float, y: float, scale: float, turn: float) -> Homographies:
    angle = math.radians(turn)
    cos, sin = scale * math.cos(angle), scale * math.sin(angle)
    return torch.tensor(
        [
            [cos, -sin, MIDDLE[0] + x - cos * MIDDLE[0] + sin * MIDDLE[1]],
            [sin, cos, MIDDLE[1] + y - sin * MIDDLE[0] - cos * MIDDLE[1]],
            [0, 0, 1],
        ],
        dtype=torch.float64,
    )


def reached(homography: Homographies) -> torch.Tensor:
    shown = warp(silhouette().double()[None, None], homography[None], (CANVAS, CANVAS))
    return shown[0, 0] > 0


def drawn(bounds: Placements, count: int) -> list[tuple[float, ...]]:
    """Placements within, half of them with every figure at one of its ends."""
    rng = torch.Generator().manual_seed(0)
    low, high = torch.tensor(bounds).double().T
    shares = torch.rand(count, 4, generator=rng, dtype=torch.float64)
    shares[::2] = shares[::2].round()
    return [tuple(row) for row in (low + shares * (high - low)).tolist()]


def test_no_placement_reaches_beyond_the_region() -> None:
    region = covering_region(BOUNDS)
    union = torch.zeros_like(region)
    for placement in drawn(BOUNDS, 24):
        own = reached(moved(*placement))
        assert not bool((own & ~region).any()), placement
        union |= own
    # It is not much larger than what two dozen of them reach.
    assert union.sum() > 0.8 * region.sum()


def test_without_bounds_it_is_the_frame_and_what_bilinear_sampling_touches() -> None:
    region = covering_region(Placements())
    assert not bool((silhouette().bool() & ~region).any())
    wider = torch.nn.functional.max_pool2d(silhouette()[None], 3, 1, 1)[0] > 0
    assert torch.equal(region, wider)


def test_the_disturbances_of_placements_are_within() -> None:
    region = covering_region(Placements(x=(-4, 4), y=(-4, 4), turn=(-6, 6)))
    rng = torch.Generator().manual_seed(1)
    bare = torch.zeros(1, 3, CANVAS, CANVAS)
    for _ in range(8):
        placed = Placement(shift=4, rotation=6)
        worn = placed.wear(bare, torch.ones(1, 3, 64, 176), torch.tensor([0]), rng=rng)
        assert not bool(((worn[0] > 0).any(0) & ~region).any())


def test_parts_make_up_the_whole() -> None:
    bounds = Placements(x=(-6, 6), y=(-3, 3), turn=(-2, 2))
    pieces = bounds.split(2)
    assert len(pieces) == 4
    regions = [covering_region(piece) for piece in pieces]
    for placement in drawn(bounds, 10):
        own = reached(moved(*placement))
        assert any(not bool((own & ~region).any()) for region in regions)
    whole = covering_region(bounds)
    assert not bool((torch.stack(regions).any(0) & ~whole).any())


def test_dilation_grows_it_to_all_sides() -> None:
    small = covering_region(Placements(x=(-1, 1)))
    grown = covering_region(Placements(x=(-1, 1)), dilation=3)
    spread = torch.nn.functional.max_pool2d(small[None].float(), 7, 1, 3)[0] > 0
    assert torch.equal(grown, spread)
