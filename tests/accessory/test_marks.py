import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from agns.accessory.frame import silhouette
from agns.accessory.marks import GREEN, MARKS, draw_marks, marked_frame, marks_homography
from agns.accessory.wear import wear
from agns.errors import DataError
from agns.geometry import transform_points, warp


def canvas_marks() -> torch.Tensor:
    return torch.tensor(MARKS, dtype=torch.float64)


def test_the_marks_are_the_released_ones_counted_from_zero(
    data_path: Callable[[str], Path],
) -> None:
    from scipy.io import loadmat

    released_file = data_path("data/agns/eyeglass_marks_centers.mat")
    tables = [table for name, table in loadmat(released_file).items() if not name.startswith("__")]
    (released,) = (torch.from_numpy(table.astype(float)) for table in tables)
    assert torch.equal(released - 1, canvas_marks())


def test_each_mark_lies_on_the_frame() -> None:
    for x, y in MARKS:
        assert silhouette()[int(y), int(x)] == 1


def test_the_drawn_marks_have_their_centres_where_they_belong() -> None:
    black, _ = marked_frame(shade=0.0, color=(0.0, 1.0, 0.0))
    drawn = black[0, 1].double()
    assert float(drawn.sum()) == pytest.approx(7 * 43, rel=0.1)
    for x, y in MARKS:
        part = drawn[int(y) - 8 : int(y) + 9, int(x) - 8 : int(x) + 9]
        offsets = torch.arange(-8, 9, dtype=torch.float64)
        assert abs(float(part.sum(0) @ offsets / part.sum())) < 1e-6
        assert abs(float(part.sum(1) @ offsets / part.sum())) < 1e-6


def test_marks_leave_the_rest_of_a_frame_as_it_was(generator: torch.Generator) -> None:
    frames = torch.rand(2, 3, 224, 224, generator=generator)
    marked, mask = draw_marks(frames)
    far = (
        torch.cdist(
            torch.cartesian_prod(torch.arange(224.0), torch.arange(224.0)).flip(1),
            torch.tensor(MARKS),
        )
        .amin(1)
        .reshape(224, 224)
        > 8
    )
    assert torch.equal(marked[..., far], frames[..., far])
    assert torch.equal(mask[far], silhouette()[far])
    for x, y in MARKS:
        assert torch.equal(marked[0, :, int(y), int(x)], torch.tensor(GREEN))


def test_a_mark_that_reaches_beyond_the_frame_is_worn_whole() -> None:
    marked, mask = draw_marks(torch.zeros(1, 3, 224, 224), color=(0.0, 1.0, 0.0))
    worn = wear(torch.zeros(1, 3, 224, 224), marked, mask)
    assert float((worn[0, 1] - marked[0, 1]).abs().max()) <= 0.25


def test_drawing_marks_is_differentiable_in_the_frame(generator: torch.Generator) -> None:
    frames = torch.rand(1, 3, 224, 224, generator=generator, requires_grad=True)
    draw_marks(frames)[0].sum().backward()
    assert frames.grad is not None
    assert float(frames.grad[0, 0, 0, 0]) == 1
    assert float(frames.grad[0, 0, 68, 33]) == 0


def test_the_homography_of_marks_is_the_one_that_moved_them() -> None:
    moved = torch.tensor(
        [[0.95, -0.2, 30.0], [0.25, 1.05, -20.0], [4e-4, -3e-4, 1.0]], dtype=torch.float64
    )
    fitted = marks_homography(transform_points(canvas_marks(), moved))
    assert torch.allclose(fitted, moved, atol=1e-8)


def test_homographies_come_in_batches(generator: torch.Generator) -> None:
    centres = canvas_marks() + torch.rand(2, 3, 7, 2, generator=generator, dtype=torch.float64)
    together = marks_homography(centres)
    assert together.shape == (2, 3, 3, 3)
    assert torch.allclose(together[1, 2], marks_homography(centres[1, 2]))


def test_a_frame_warped_by_its_marks_lands_on_them() -> None:
    turn = math.radians(12)
    centres = (canvas_marks() - 111.5) @ torch.tensor(
        [[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]], dtype=torch.float64
    ) + 111.5
    frame, _ = marked_frame(shade=0.0)
    warped = warp(frame, marks_homography(centres).float(), (224, 224))
    for x, y in centres.round().long().tolist():
        assert float(warped[0, 1, y, x]) == pytest.approx(GREEN[1], abs=1e-4)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda points: points[:1].expand(7, 2),
        lambda points: points * torch.tensor([1.0, 0.0]) + 60,
        lambda points: points * torch.tensor([-1.0, 1.0]) + torch.tensor([223.0, 0.0]),
        lambda points: points.where(points < 180, math.nan),
        lambda points: transform_points(
            points, torch.tensor([[1.0, 0, 0], [0, 1, 0], [-6e-3, 0, 1]], dtype=torch.float64)
        ),
    ],
    ids=["coinciding", "on one line", "mirrored", "not finite", "beyond the horizon"],
)
def test_centres_that_no_camera_sees_give_no_homography(
    spoil: Callable[[Tensor], Tensor],
) -> None:
    with pytest.raises(DataError):
        marks_homography(spoil(canvas_marks()))
