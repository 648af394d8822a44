import math

import pytest
import torch
from torch import Tensor

from agns.accessory.frame import place, silhouette
from agns.accessory.placement import FIXED, Placement
from agns.accessory.wear import wear
from agns.errors import ConfigError
from agns.geometry import transform_points, warp


def faces_and_frames(generator: torch.Generator, count: int = 3) -> tuple[Tensor, Tensor]:
    faces = torch.rand(count, 3, 224, 224, generator=generator)
    return faces, torch.rand(count, 3, 64, 176, generator=generator)


def homography(degrees: float, scale: float, shift: tuple[float, float], tilt: float) -> Tensor:
    """A turn and scale about the canvas' middle, seen a little from the side."""
    angle = math.radians(degrees)
    cosine, sine = scale * math.cos(angle), scale * math.sin(angle)
    turn = torch.tensor([[cosine, -sine, shift[0]], [sine, cosine, shift[1]], [tilt, 0, 1]])
    to_middle = torch.tensor([[1, 0, -112.0], [0, 1, -112.0], [0, 0, 1]])
    return torch.linalg.inv(to_middle) @ turn @ to_middle


TURNS = torch.stack(
    [
        homography(0, 1, (5, -3), 0),
        homography(12, 1.05, (-8, 4), 3e-4),
        homography(-20, 0.9, (0, 10), -4e-4),
    ]
)


def test_a_fixed_placement_wears_frames_as_the_canvas_has_them(generator: torch.Generator) -> None:
    faces, frames = faces_and_frames(generator)
    photos = torch.tensor([2, 0, 0])
    worn = FIXED.wear(faces, frames, photos)
    assert torch.equal(worn, wear(faces[photos], place(frames), silhouette()))


def test_the_identity_wears_frames_as_the_fixed_placement_does(generator: torch.Generator) -> None:
    faces, frames = faces_and_frames(generator)
    photos = torch.arange(3)
    unmoved = Placement(homographies=torch.eye(3).expand(3, 3, 3))
    torch.testing.assert_close(
        unmoved.wear(faces, frames, photos), FIXED.wear(faces, frames, photos), atol=1e-4, rtol=0
    )


def test_whole_pixels_move_the_frame_by_as_many(generator: torch.Generator) -> None:
    faces = torch.zeros(1, 3, 224, 224)
    frames = torch.rand(1, 3, 64, 176, generator=generator)
    shifted = Placement(homographies=torch.tensor([[[1.0, 0, 4], [0, 1, 7], [0, 0, 1]]]))
    photos = torch.zeros(1, dtype=torch.int64)
    fixed = FIXED.wear(faces, frames, photos)
    moved = shifted.wear(faces, frames, photos)
    torch.testing.assert_close(moved[..., 7:, 4:], fixed[..., :-7, :-4], atol=1e-4, rtol=0)


def test_each_photo_has_its_own_homography(generator: torch.Generator) -> None:
    faces, frames = faces_and_frames(generator)
    order = torch.tensor([1, 2, 0])
    together = Placement(homographies=TURNS).wear(faces, frames, order)
    for place_in_batch, photo in enumerate(order.tolist()):
        alone = Placement(homographies=TURNS[photo : photo + 1]).wear(
            faces[photo : photo + 1], frames[place_in_batch : place_in_batch + 1], torch.tensor([0])
        )
        torch.testing.assert_close(together[place_in_batch], alone[0], atol=1e-5, rtol=0)


def test_a_part_of_a_placement_is_that_of_the_part_of_the_photos(
    generator: torch.Generator,
) -> None:
    faces, frames = faces_and_frames(generator)
    chosen = torch.tensor([2, 1])
    whole = Placement(homographies=TURNS)
    part = whole.part(chosen)
    torch.testing.assert_close(
        part.wear(faces[chosen], frames[:2], torch.arange(2)), whole.wear(faces, frames[:2], chosen)
    )


def test_one_frame_serves_all_photos(generator: torch.Generator) -> None:
    faces, frames = faces_and_frames(generator)
    placement, photos = Placement(homographies=TURNS), torch.arange(3)
    single = placement.wear(faces, frames[:1], photos)
    torch.testing.assert_close(single, placement.wear(faces, frames[:1].repeat(3, 1, 1, 1), photos))


def test_soft_edges_mix_the_frames_own_colour(generator: torch.Generator) -> None:
    """A white frame on a white face is white everywhere, however it is warped."""
    white = torch.ones(3, 3, 224, 224)
    worn = Placement(homographies=TURNS).wear(white, torch.ones(1, 3, 64, 176), torch.arange(3))
    torch.testing.assert_close(worn, white, atol=1e-5, rtol=0)


@pytest.mark.parametrize("turn", range(3))
def test_the_frame_lies_where_the_homography_takes_the_silhouette(turn: int) -> None:
    placement = Placement(homographies=TURNS[turn : turn + 1])
    worn = placement.wear(
        torch.zeros(1, 3, 224, 224), torch.ones(1, 3, 64, 176), torch.tensor([0])
    )[0, 0]
    rows, columns = (silhouette() > 0).nonzero().mT
    landed = transform_points(torch.stack([columns, rows], -1).float(), TURNS[turn])
    inside = (landed > 1).all(1) & (landed < 222).all(1)
    pixels = landed[inside].round().long()
    # Where the frame is drawn larger than life, one pixel in a few is missed; none is invented.
    drawn = torch.zeros(224, 224)
    drawn[pixels[:, 1], pixels[:, 0]] = 1
    grown = torch.nn.functional.max_pool2d(drawn[None, None], 3, 1, 1)[0, 0]
    assert float(worn[drawn > 0].mean()) > 0.85
    assert float(worn[grown == 0].max()) < 1e-3


def test_gradients_reach_the_frames_through_the_warp(generator: torch.Generator) -> None:
    faces, frames = (part.double() for part in faces_and_frames(generator, 2))
    direction = torch.randn(frames.shape, generator=generator, dtype=torch.float64)
    weights = torch.randn(2, 3, 224, 224, generator=generator, dtype=torch.float64)
    placement = Placement(homographies=TURNS[1:].double())

    def score(moved: Tensor) -> Tensor:
        return (placement.wear(faces, moved, torch.arange(2)) * weights).sum()

    leaf = frames.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(score(leaf), leaf)
    step = 1e-4
    change = (score(frames + step * direction) - score(frames - step * direction)) / (2 * step)
    torch.testing.assert_close((gradient * direction).sum(), change, rtol=1e-6, atol=1e-6)


def test_disturbances_come_from_the_generator_alone(generator: torch.Generator) -> None:
    faces, frames = faces_and_frames(generator)
    photos = torch.arange(3)
    shaky = Placement(homographies=TURNS, jitter=1.5, brightness=0.2)
    first, again, other = (
        shaky.wear(faces, frames, photos, rng=torch.Generator().manual_seed(seed))
        for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(
        shaky.wear(faces, frames, photos), Placement(homographies=TURNS).wear(faces, frames, photos)
    )


def test_jitter_moves_the_frame_by_about_its_size() -> None:
    count = 150
    placement = Placement(jitter=2.0)
    draws = torch.Generator().manual_seed(0)
    faces = torch.zeros(1, 3, 224, 224)
    marked = torch.zeros(1, 3, 64, 176)
    marked[..., 5:60, 2:174] = 1
    worn = placement.wear(faces, marked, torch.zeros(count, dtype=torch.int64), rng=draws)
    columns = torch.arange(224.0)
    centres = (worn[:, 0].sum(1) * columns).sum(1) / worn[:, 0].sum((1, 2))
    # Four corners that move independently take their middle along by half as much.
    assert 0.7 < float(centres.std()) < 1.3


def landed(placement: Placement, count: int = 80) -> Tensor:
    """Where two ends of a disturbed frame come to lie, (frames, 2 ends, 2), in pixels."""
    black, photos = torch.zeros(1, 3, 224, 224), torch.zeros(count, dtype=torch.int64)
    ends = torch.zeros(2, 3, 64, 176)
    # A patch at each temple, where the silhouette is whole.
    ends[0, :, 9:14, 8:13] = 1
    ends[1, :, 9:14, 163:168] = 1
    assert silhouette()[62:67, 33:38].all()
    assert silhouette()[62:67, 188:193].all()
    ys, xs = torch.meshgrid(torch.arange(224.0), torch.arange(224.0), indexing="ij")
    points = []
    for end in ends.split(1):
        draws = torch.Generator().manual_seed(0)
        worn = placement.wear(black, end, photos, rng=draws)[:, 0]
        whole = worn.sum((1, 2))
        points.append(torch.stack([(worn * axis).sum((1, 2)) / whole for axis in (xs, ys)], -1))
    return torch.stack(points, 1)


def test_a_shift_moves_the_whole_frame_evenly_within_its_bounds() -> None:
    moved = landed(Placement(shift=4)) - torch.tensor([[35.0, 64], [190, 64]])
    torch.testing.assert_close(moved[:, 0], moved[:, 1], atol=0.05, rtol=0)
    assert float(moved.abs().max()) <= 4.05
    assert moved[:, 0].mean(0).tolist() == pytest.approx([0, 0], abs=0.8)
    # Evenly spread over 8 pixels, on either axis for itself.
    assert moved[:, 0].std(0).tolist() == pytest.approx([8 / 12**0.5] * 2, rel=0.2)
    assert abs(float(torch.corrcoef(moved[:, 0].T)[0, 1])) < 0.3


def test_a_rotation_turns_the_frame_about_its_middle_within_its_bounds() -> None:
    points = landed(Placement(rotation=6))
    across = points[:, 1] - points[:, 0]
    angles = torch.rad2deg(torch.atan2(across[:, 1], across[:, 0]))
    assert float(angles.abs().max()) <= 6.05
    assert float(angles.std()) == pytest.approx(12 / 12**0.5, rel=0.2)
    torch.testing.assert_close(across.norm(dim=1), torch.full((80,), 155.0), atol=0.3, rtol=0)
    # By hand: the crop's middle is (113, 85), and an angle goes from x towards y.
    turn = torch.deg2rad(angles)
    offset = torch.tensor([35.0 - 113, 64 - 85])
    expected = torch.stack(
        [
            113 + turn.cos() * offset[0] - turn.sin() * offset[1],
            85 + turn.sin() * offset[0] + turn.cos() * offset[1],
        ],
        -1,
    )
    torch.testing.assert_close(points[:, 0], expected, atol=0.2, rtol=0)


def test_what_moves_whole_frames_moves_worn_ones_too(generator: torch.Generator) -> None:
    faces, frames = faces_and_frames(generator)
    worn = Placement(homographies=TURNS, shift=4, rotation=4)
    still, shaken = (
        worn.wear(faces, frames, torch.arange(3), rng=draws)
        for draws in (None, torch.Generator().manual_seed(0))
    )
    assert not torch.equal(still, shaken)
    assert (worn.part(torch.tensor([1])).shift, worn.part(torch.tensor([1])).rotation) == (4, 4)


def test_brightness_scales_photo_and_frame_alike() -> None:
    placement = Placement(brightness=0.3)
    draws = torch.Generator().manual_seed(0)
    photos = torch.zeros(50, dtype=torch.int64)
    grey = torch.full((1, 3, 224, 224), 0.5)
    worn = placement.wear(grey, torch.full((1, 3, 64, 176), 0.5), photos, rng=draws)
    levels = worn.amax((1, 2, 3))
    torch.testing.assert_close(levels, worn.amin((1, 2, 3)))
    assert 0.35 <= float(levels.min()) < 0.4
    assert 0.6 < float(levels.max()) <= 0.65


@pytest.mark.parametrize(
    "settings",
    [
        {"jitter": -1.0}, {"brightness": math.nan}, {"shift": 50.0}, {"shift": -1.0},
        {"rotation": 45.0}, {"rotation": math.nan},
    ],
)  # fmt: skip
def test_settings_out_of_range_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(settings))):
        Placement(**settings)


def test_the_warp_is_the_geometrys_own(generator: torch.Generator) -> None:
    _, frames = faces_and_frames(generator, 1)
    black = torch.zeros(1, 3, 224, 224)
    worn = Placement(homographies=TURNS[1:2]).wear(black, frames, torch.tensor([0]))
    expected = warp(place(frames) * silhouette(), TURNS[1:2], (224, 224))
    torch.testing.assert_close(worn, expected)
