import pytest
import torch

from agns.accessory.mark_finding import settle_marks
from agns.accessory.marks import MARKS, mark_coverage, marked_frame
from agns.accessory.wear import wear
from agns.geometry import transform_points, warp
from agns.types import CANVAS

STRAIGHT = torch.eye(3, dtype=torch.float64)
TURNED = torch.tensor(
    [[0.98, -0.09, 12.0], [0.10, 1.0, -8.0], [2e-4, 1e-4, 1.0]], dtype=torch.float64
)


def shown(backdrop: torch.Tensor, homography: torch.Tensor) -> torch.Tensor:
    """The marked frame before a backdrop, seen through the homography."""
    frame, mask = marked_frame()
    moved = warp(torch.cat([frame, mask[None, None]], 1), homography.float(), (CANVAS, CANVAS))
    return wear(backdrop[None], moved[:, :3], moved[:, 3:])[0].clamp(0, 1)


def grey() -> torch.Tensor:
    return torch.full((3, CANVAS, CANVAS), 0.6)


@pytest.mark.parametrize("homography", [STRAIGHT, TURNED], ids=["straight", "turned"])
@pytest.mark.parametrize("shift", [(2.0, 0.0), (-1.5, 1.0), (0.0, -1.5)])
def test_marks_that_are_pixels_off_are_put_right(
    homography: torch.Tensor, shift: tuple[float, float]
) -> None:
    truth = transform_points(torch.tensor(MARKS, dtype=torch.float64), homography).float()
    settled = settle_marks(shown(grey(), homography), truth + torch.tensor(shift), homography)
    assert float((settled - truth).norm(dim=1).max()) <= 0.6


def test_marks_that_are_right_stay(generator: torch.Generator) -> None:
    photo = shown(torch.rand(3, CANVAS, CANVAS, generator=generator), STRAIGHT)
    settled = settle_marks(photo, torch.tensor(MARKS), STRAIGHT)
    assert float((settled - torch.tensor(MARKS)).norm(dim=1).max()) <= 0.4


def test_a_mark_is_told_from_a_wall_of_nearly_its_colour() -> None:
    backdrop = grey()
    backdrop[:, :, :40] = torch.tensor([0.55, 0.75, 0.60])[:, None, None]
    pulled = torch.tensor(MARKS)
    pulled[0, 0] -= 2
    settled = settle_marks(shown(backdrop, STRAIGHT), pulled, STRAIGHT)
    assert float((settled[0] - torch.tensor(MARKS)[0]).norm()) <= 0.7


def test_a_mark_too_near_the_border_is_left_where_it_was() -> None:
    aside = torch.tensor([[1.0, 0, -24], [0, 1, 0], [0, 0, 1]], dtype=torch.float64)
    truth = transform_points(torch.tensor(MARKS, dtype=torch.float64), aside).float()
    settled = settle_marks(shown(grey(), aside), truth + 0.4, aside)
    assert torch.equal(settled[0], truth[0] + 0.4)
    assert float((settled[1:] - truth[1:]).norm(dim=1).max()) <= 0.4


def test_marks_cover_their_area_and_no_more() -> None:
    steps = torch.arange(-12.0, 13.0)
    down, right = torch.meshgrid(steps, steps, indexing="ij")
    covered = mark_coverage(right.expand(7, -1, -1), down.expand(7, -1, -1))
    wider = mark_coverage(right.expand(7, -1, -1), down.expand(7, -1, -1), wider=1)
    assert float(covered[0].sum()) == pytest.approx(9 * 5, rel=0.01)
    assert float(wider[0].sum()) == pytest.approx(11 * 7, rel=0.01)
    assert bool((wider >= covered).all())


@pytest.mark.parametrize("exposure", [1.0, 0.3, 0.15])
def test_marks_are_settled_as_well_in_the_dark(exposure: float) -> None:
    truth = transform_points(torch.tensor(MARKS, dtype=torch.float64), TURNED).float()
    photo = shown(grey(), TURNED) * exposure
    settled = settle_marks(photo, truth + torch.tensor([1.0, -1.0]), TURNED)
    assert float((settled - truth).norm(dim=1).max()) <= 0.5
