import pytest
import torch
from torch import Tensor
from torch.nn import functional

from agns.errors import DataError
from agns.geometry import (
    affinity_from_points,
    homography_from_points,
    resize,
    transform_points,
    warp,
)

SQUARE = torch.tensor([[0.0, 0], [10, 0], [10, 10], [0, 10]], dtype=torch.float64)


def random_homography(generator: torch.Generator, *, strength: float = 1e-3) -> Tensor:
    matrix = torch.eye(3, dtype=torch.float64)
    matrix[:2] += 0.3 * torch.randn(2, 3, generator=generator, dtype=torch.float64)
    matrix[:2, 2] *= 20
    matrix[2, :2] = strength * torch.randn(2, generator=generator, dtype=torch.float64)
    return matrix


def shift(x: float, y: float) -> Tensor:
    return torch.tensor([[1.0, 0, x], [0, 1, y], [0, 0, 1]])


def test_four_points_give_the_unit_square_formula() -> None:
    corners = torch.tensor([[3.0, 1], [9, 2], [12, 11], [1, 8]], dtype=torch.float64)
    unit = torch.tensor([[0.0, 0], [1, 0], [1, 1], [0, 1]], dtype=torch.float64)
    # Heckbert, Fundamentals of Texture Mapping (1989), section 2.2.3, square to quadrilateral.
    (x0, y0), (x1, y1), (x2, y2), (x3, y3) = corners.tolist()
    dx1, dx2, sx = x1 - x2, x3 - x2, x0 - x1 + x2 - x3
    dy1, dy2, sy = y1 - y2, y3 - y2, y0 - y1 + y2 - y3
    whole = dx1 * dy2 - dx2 * dy1
    g, h = (sx * dy2 - dx2 * sy) / whole, (dx1 * sy - sx * dy1) / whole
    expected = torch.tensor(
        [
            [x1 - x0 + g * x1, x3 - x0 + h * x3, x0],
            [y1 - y0 + g * y1, y3 - y0 + h * y3, y0],
            [g, h, 1],
        ],
        dtype=torch.float64,
    )
    torch.testing.assert_close(homography_from_points(unit, corners), expected)


def test_a_homography_is_found_again_from_the_points_it_moved(generator: torch.Generator) -> None:
    points = 200 * torch.rand(7, 2, generator=generator, dtype=torch.float64)
    matrix = random_homography(generator)
    found = homography_from_points(points, transform_points(points, matrix))
    torch.testing.assert_close(found, matrix / matrix[2, 2])


def test_swapping_the_sides_gives_the_inverse(generator: torch.Generator) -> None:
    moved = transform_points(SQUARE, random_homography(generator))
    there, back = homography_from_points(SQUARE, moved), homography_from_points(moved, SQUARE)
    whole = there @ back
    torch.testing.assert_close(whole / whole[2, 2], torch.eye(3, dtype=torch.float64))


def test_a_batch_of_homographies_equals_each_alone(generator: torch.Generator) -> None:
    sources = SQUARE.float().expand(2, 3, 4, 2)
    moved = sources + torch.rand(2, 3, 4, 2, generator=generator)
    batch = homography_from_points(sources, moved)
    assert batch.shape == (2, 3, 3, 3)
    assert batch.dtype == torch.float32
    alone = homography_from_points(sources[1, 2], moved[1, 2])
    torch.testing.assert_close(batch[1, 2], alone)


def test_noisy_points_are_fitted_with_small_errors(generator: torch.Generator) -> None:
    points = 200 * torch.rand(7, 2, generator=generator, dtype=torch.float64)
    noise = 0.2 * torch.randn(7, 2, generator=generator, dtype=torch.float64)
    moved = transform_points(points, random_homography(generator)) + noise
    found = transform_points(points, homography_from_points(points, moved))
    assert (found - moved).norm(dim=-1).max() < 1


COLLINEAR = torch.tensor([[0.0, 0], [1, 1], [2, 2], [3, 3]], dtype=torch.float64)
THREE_ON_A_LINE = torch.tensor([[0.0, 0], [5, 0], [10, 0], [0, 10]], dtype=torch.float64)
TWO_COINCIDE = torch.tensor([[0.0, 0], [0, 0], [10, 10], [0, 10]], dtype=torch.float64)
COINCIDENT = torch.zeros(4, 2, dtype=torch.float64)


@pytest.mark.parametrize(
    "points", [COLLINEAR, THREE_ON_A_LINE, TWO_COINCIDE, COINCIDENT], ids=["4", "3", "2", "1"]
)
def test_degenerate_points_are_refused_on_either_side(points: Tensor) -> None:
    for source, destination in ((points, SQUARE), (SQUARE, points), (points, points)):
        with pytest.raises(DataError, match="lie on one line or coincide"):
            homography_from_points(source, destination)


def test_three_points_are_refused() -> None:
    with pytest.raises(DataError, match=r"at least 4 pairs of points, got \(3, 2\)"):
        homography_from_points(SQUARE[:3], SQUARE[:3])


def test_a_strongly_flattened_shape_still_fits() -> None:
    flat = SQUARE * torch.tensor([1.0, 0.01], dtype=torch.float64)
    expected = torch.diag(torch.tensor([1.0, 0.01, 1], dtype=torch.float64))
    torch.testing.assert_close(homography_from_points(SQUARE, flat), expected)


def test_three_points_are_mapped_exactly_by_an_affinity(generator: torch.Generator) -> None:
    source, destination = 100 * torch.rand(2, 5, 3, 2, generator=generator, dtype=torch.float64)
    fitted = affinity_from_points(source, destination)
    torch.testing.assert_close(transform_points(source, fitted), destination)
    assert torch.equal(fitted[:, 2], fitted.new_tensor([0, 0, 1]).expand(5, 3))


def test_an_affinity_is_the_least_squares_one(generator: torch.Generator) -> None:
    source, destination = 100 * torch.rand(2, 30, 2, generator=generator, dtype=torch.float64)
    homogeneous = torch.cat([source, torch.ones(30, 1)], 1)
    solved = torch.linalg.lstsq(homogeneous, destination).solution.mT
    torch.testing.assert_close(affinity_from_points(source, destination)[:2], solved)


@pytest.mark.parametrize(
    "points",
    [
        torch.tensor([[0.0, 0], [1, 1], [2, 2], [9, 9]]),
        torch.tensor([[5.0, 5], [5, 5], [5, 5], [5, 5]]),
    ],
)
def test_no_affinity_fits_points_on_a_line_on_either_side(points: Tensor) -> None:
    square = torch.tensor([[0.0, 0], [1, 0], [1, 1], [0, 1]])
    for source, destination in ((points, square), (square, points)):
        with pytest.raises(DataError, match="one line or coincide"):
            affinity_from_points(source, destination)


def test_two_points_are_too_few_for_an_affinity() -> None:
    with pytest.raises(DataError, match="at least 3"):
        affinity_from_points(torch.rand(2, 2), torch.rand(2, 2))


def test_a_bicubic_warp_keeps_a_slope_straight() -> None:
    slope = torch.arange(40.0).expand(1, 1, 40, 40)
    halfway = torch.tensor([[1, 0, 0.5], [0, 1, 0], [0, 0, 1]])
    for mode in ("bilinear", "bicubic"):
        moved = warp(slope, halfway, (40, 40), mode=mode)
        expected = slope[..., 4:36, 4:36] - 0.5
        torch.testing.assert_close(moved[..., 4:36, 4:36], expected, atol=1e-4, rtol=0)


def test_the_identity_leaves_images_as_they_are(generator: torch.Generator) -> None:
    images = torch.rand(2, 3, 64, 176, generator=generator)
    torch.testing.assert_close(warp(images, torch.eye(3), (64, 176)), images, atol=2e-5, rtol=0)


def test_a_shift_by_whole_pixels_moves_them_and_leaves_black(generator: torch.Generator) -> None:
    images = torch.rand(1, 3, 6, 8, generator=generator)
    expected = functional.pad(images, (3, 1, 2, 4))
    torch.testing.assert_close(warp(images, shift(3, 2), (12, 12)), expected, atol=2e-6, rtol=0)


def test_a_warp_puts_a_pixel_where_the_homography_says() -> None:
    image = torch.zeros(1, 3, 9, 9)
    image[..., 3, 5] = 1
    double = torch.diag(torch.tensor([2.0, 2.0, 1.0]))
    x, y = transform_points(torch.tensor([[5.0, 3.0]]), double)[0].int().tolist()
    warped = warp(image, double, (18, 18))
    assert warped[0, 0, y, x] == pytest.approx(1, abs=1e-5)
    assert warped.amax() == pytest.approx(1, abs=1e-5)


def test_each_image_has_its_own_homography(generator: torch.Generator) -> None:
    images = torch.rand(2, 3, 6, 6, generator=generator)
    matrices = torch.stack([shift(0, 0), shift(1, 0)])
    warped = warp(images, matrices, (6, 6))
    for index in range(2):
        alone = warp(images[index : index + 1], matrices[index], (6, 6))
        torch.testing.assert_close(warped[index : index + 1], alone)


def test_nothing_is_drawn_beyond_the_horizon() -> None:
    matrix = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0.25, 0, 1]], requires_grad=True)
    images = torch.ones(1, 3, 8, 8)
    # No image point with depth above 0 lies right of x = 4; x = 4 itself is the horizon.
    warped = warp(images, matrix, (8, 8))
    assert warped[..., 0].amin() > 0
    assert (warped[..., 4:] == 0).all()
    warped.sum().backward()
    assert matrix.grad is not None
    assert matrix.grad.isfinite().all()


def test_the_scale_of_a_homography_does_not_matter(generator: torch.Generator) -> None:
    images = torch.rand(1, 3, 6, 6, generator=generator)
    torch.testing.assert_close(
        warp(images, -3 * shift(1, 1), (6, 6)), warp(images, shift(1, 1), (6, 6))
    )


def test_warp_gradients(generator: torch.Generator) -> None:
    images = torch.rand(1, 3, 5, 6, generator=generator, dtype=torch.float64, requires_grad=True)
    # Away from whole pixels, where the bilinear filter has kinks.
    matrix = torch.tensor(
        [[1.07, 0.05, 0.31], [-0.03, 0.93, 0.47], [0.004, 0.003, 1]],
        dtype=torch.float64,
        requires_grad=True,
    )
    assert torch.autograd.gradcheck(lambda i, m: warp(i, m, (5, 6)), (images, matrix))


@pytest.mark.parametrize(
    "size", [(32, 88), (96, 96), (100, 200), (17, 33), (64, 176), (1, 1), (64, 40)]
)
def test_resize_agrees_with_interpolate(size: tuple[int, int], generator: torch.Generator) -> None:
    images = torch.rand(2, 3, 64, 176, generator=generator)
    expected = functional.interpolate(images, size, mode="bilinear", antialias=True)
    torch.testing.assert_close(resize(images, size), expected, atol=2e-5, rtol=0)


def test_resize_stays_in_range(generator: torch.Generator) -> None:
    images = torch.rand(2, 3, 30, 40, generator=generator).round()
    resized = resize(images, (13, 77))
    assert resized.amin() >= 0
    assert resized.amax() <= 1 + 1e-6


def test_resize_gradients(generator: torch.Generator) -> None:
    images = torch.rand(1, 3, 5, 6, generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda i: resize(i, (3, 9)), (images,))


def test_resize_can_be_differentiated_after_a_first_call_in_inference_mode() -> None:
    with torch.inference_mode():
        resize(torch.rand(1, 3, 19, 23), (7, 8))
    images = torch.rand(1, 3, 19, 23, requires_grad=True)
    resize(images, (7, 8)).sum().backward()
    assert images.grad is not None


def test_autocast_does_not_round_what_is_resized(generator: torch.Generator) -> None:
    images = torch.rand(1, 3, 12, 10, generator=generator)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        resized = resize(images, (6, 5))
    assert torch.equal(resized, resize(images, (6, 5)))
