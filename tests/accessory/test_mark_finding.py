import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as PilImage
from torch.nn import functional

from agns.accessory.mark_finding import find_marks
from agns.accessory.marks import GREEN, MARKS, marked_frame
from agns.accessory.wear import wear
from agns.data.simulation.synthetic import SyntheticConfig, draw_faces
from agns.errors import ImageContractError, MarksNotFound
from agns.geometry import transform_points, warp
from agns.images import from_pixels, read_image, to_picture
from agns.types import CANVAS

Colour = tuple[float, float, float]
PLACED = {
    1: [(31.6, 67.7), (112.0, 65.8), (193.4, 61.4),
        (50.0, 104.5), (95.1, 96.4), (134.8, 96.1), (178.9, 97.5)],
    2: [(35.0, 67.5), (116.8, 66.5), (196.8, 63.4),
        (53.2, 104.6), (98.8, 97.4), (138.9, 97.2), (181.9, 99.2)],
    3: [(37.7, 64.5), (117.9, 64.4), (195.0, 63.5),
        (55.3, 101.6), (100.4, 95.3), (139.3, 96.0), (180.9, 98.5)],
    4: [(31.7, 64.4), (112.5, 62.4), (193.5, 59.6),
        (49.3, 101.4), (95.0, 93.4), (134.8, 93.9), (178.9, 95.6)],
    5: [(32.9, 66.4), (111.9, 64.5), (192.9, 61.5),
        (50.3, 103.1), (94.5, 95.8), (134.1, 95.8), (177.7, 97.4)],
    6: [(33.0, 66.4), (113.3, 65.5), (194.3, 61.8),
        (50.9, 103.5), (95.9, 96.2), (135.4, 96.1), (179.2, 97.8)],
}  # fmt: skip
"""Where the marks' centres are in the six photos, placed by eye on a 14-fold enlargement."""


@pytest.mark.parametrize("number", PLACED)
def test_the_marks_of_a_real_photo_are_found_where_a_person_puts_them(
    number: int, data_path: Callable[[str], Path]
) -> None:
    path = data_path(f"data/agns/physical/aligned_vgg_ms{number}.png")
    found = find_marks(read_image(path), name=str(path))
    off = (found.centres - torch.tensor(PLACED[number])).norm(dim=1)
    assert float(off.max()) <= 0.75
    assert found.confidence >= 0.8


@dataclass(frozen=True, kw_only=True)
class Shot:
    photo: torch.Tensor
    centres: torch.Tensor


def uniform(generator: torch.Generator, low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator))


def pose(generator: torch.Generator) -> torch.Tensor:
    """The homography of a flat frame turned in space: roll, yaw, pitch, scale, shift, distance."""
    roll, yaw, pitch = (math.radians(uniform(generator, -most, most)) for most in (20, 25, 12))
    scale, distance = uniform(generator, 0.9, 1.1), uniform(generator, 500, 1500)
    turned = (
        torch.linalg.matrix_exp(roll * torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 0]]))
        @ torch.linalg.matrix_exp(yaw * torch.tensor([[0.0, 0, 1], [0, 0, 0], [-1, 0, 0]]))
        @ torch.linalg.matrix_exp(pitch * torch.tensor([[0.0, 0, 0], [0, 0, -1], [0, 1, 0]]))
    ).double()
    middle = torch.tensor([111.5, 84.0], dtype=torch.float64)
    shift = torch.tensor([uniform(generator, -6, 6) for _ in range(2)], dtype=torch.float64)
    before, seen, after = torch.eye(3, dtype=torch.float64).repeat(3, 1, 1)
    before[:2, 2] = -middle
    seen[:, :2] = turned[:, :2] / torch.tensor([[1.0], [1.0], [distance]])
    after[:2, :2] *= scale
    after[:2, 2] = middle + shift
    whole = after @ seen @ before
    return whole / whole[2, 2]


def worn(face: torch.Tensor, homography: torch.Tensor, *, shade: float = 0.14) -> torch.Tensor:
    frame, mask = marked_frame(shade=shade)
    moved = warp(torch.cat([frame, mask[None, None]], 1), homography.float(), (CANVAS, CANVAS))
    return wear(face[None], moved[:, :3], moved[:, 3:])[0].clamp(0, 1)


def photographed(image: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Blurred, exposed, noisy, and back from a JPEG file of quality 60."""
    sigma = uniform(generator, 0.05, 1)
    line = torch.exp(-(torch.arange(-3.0, 4.0) ** 2) / (2 * sigma**2))
    line = (line / line.sum()).reshape(1, 1, 1, 7)
    padded = functional.pad(image[:, None], (3, 3, 3, 3), mode="replicate")
    image = functional.conv2d(functional.conv2d(padded, line), line.mT)[:, 0]
    noise = uniform(generator, 0, 0.03) * torch.randn(image.shape, generator=generator)
    image = (image * uniform(generator, 0.5, 1.5) + noise).clamp(0, 1)
    kept = io.BytesIO()
    to_picture(image).save(kept, "JPEG", quality=60)
    pixels = torch.from_numpy(np.asarray(PilImage.open(kept)).copy())
    return from_pixels(pixels.permute(2, 0, 1)[None])[0]


@pytest.fixture(scope="module")
def faces() -> torch.Tensor:
    pixels, _ = draw_faces(SyntheticConfig(identities=3, photos=2))
    return from_pixels(pixels)


@pytest.fixture
def shot(faces: torch.Tensor) -> Shot:
    """One good photo, all marks well within it."""
    homography = torch.tensor(
        [[0.98, -0.09, 12.0], [0.10, 1.0, -8.0], [2e-4, 1e-4, 1.0]], dtype=torch.float64
    )
    centres = transform_points(torch.tensor(MARKS, dtype=torch.float64), homography)
    return Shot(photo=worn(faces[1], homography), centres=centres.float())


def blob(
    photo: torch.Tensor, x: float, y: float, *, half: float = 3.0, color: Colour = GREEN
) -> torch.Tensor:
    """The photo with an upright rectangle of that colour, two by one and a half halves large."""
    rows, columns = torch.meshgrid(torch.arange(CANVAS), torch.arange(CANVAS), indexing="ij")
    there = ((columns - x).abs() <= half) & ((rows - y).abs() <= 0.75 * half)
    return torch.where(there, torch.tensor(color)[:, None, None], photo)


def test_marks_are_found_within_a_pixel_in_nineteen_of_twenty_simulated_photos(
    faces: torch.Tensor,
) -> None:
    generator = torch.Generator().manual_seed(3)
    off = []
    for draw in range(20):
        homography = pose(generator)
        photo = photographed(worn(faces[draw % len(faces)], homography), generator)
        truth = transform_points(torch.tensor(MARKS, dtype=torch.float64), homography)
        try:
            off.append(float((find_marks(photo).centres - truth).norm(dim=1).max()))
        except MarksNotFound:
            off.append(math.inf)
    assert sum(each < math.inf for each in off) == len(off)
    assert sum(each <= 1 for each in off) / len(off) >= 0.95


def test_a_clean_photo_gives_centres_within_a_quarter_of_a_pixel(shot: Shot) -> None:
    found = find_marks(shot.photo)
    assert float((found.centres - shot.centres).norm(dim=1).max()) <= 0.25
    assert 0.9 <= found.confidence <= 1


@pytest.mark.parametrize("degrees", [-30, 30])
def test_marks_keep_their_order_under_roll(faces: torch.Tensor, degrees: int) -> None:
    roll = math.radians(degrees)
    turn = torch.eye(3, dtype=torch.float64)
    turn[:2, :2] = torch.tensor(
        [[math.cos(roll), -math.sin(roll)], [math.sin(roll), math.cos(roll)]]
    )
    middle = torch.eye(3, dtype=torch.float64)
    middle[:2, 2] = torch.tensor([111.5, 84.0])
    homography = middle @ turn @ torch.linalg.inv(middle)
    found = find_marks(worn(faces[1], homography))
    truth = transform_points(torch.tensor(MARKS, dtype=torch.float64), homography)
    assert float((found.centres - truth).norm(dim=1).max()) <= 0.5


@pytest.mark.parametrize("gains", [(1.25, 1.0, 0.75), (0.8, 1.0, 1.2), (0.35, 0.35, 0.35)])
def test_marks_are_found_in_warm_cold_and_dim_light(
    shot: Shot, gains: tuple[float, float, float]
) -> None:
    lit = (shot.photo * torch.tensor(gains)[:, None, None]).clamp(0, 1)
    assert float((find_marks(lit).centres - shot.centres).norm(dim=1).max()) <= 0.5


def test_marks_are_found_where_light_falls_from_one_side(shot: Shot) -> None:
    found = find_marks((shot.photo * torch.linspace(0.4, 1.2, CANVAS)).clamp(0, 1))
    assert float((found.centres - shot.centres).norm(dim=1).max()) <= 0.5


@pytest.mark.parametrize("missing", range(7))
def test_six_marks_are_not_enough(shot: Shot, missing: int) -> None:
    x, y = shot.centres[missing].tolist()
    photo = blob(shot.photo, x, y, half=8, color=(0.14, 0.14, 0.14))
    with pytest.raises(MarksNotFound, match=r"expected 7 green marks in worn\.png, found 6$"):
        find_marks(photo, name="worn.png")


def test_an_eighth_mark_on_the_frame_is_one_too_many(shot: Shot) -> None:
    x, y = ((shot.centres[0] + shot.centres[1]) / 2).tolist()
    with pytest.raises(MarksNotFound, match=r"found 8$"):
        find_marks(blob(shot.photo, x, y - 6))


def test_a_green_spot_off_the_frame_is_no_mark(shot: Shot) -> None:
    assert torch.allclose(find_marks(blob(shot.photo, 12, 180)).centres, shot.centres, atol=0.3)


@pytest.mark.parametrize(("column", "green"), [(30, 0.18), (32, 0.25), (36, 0.25)])
def test_a_mark_that_touches_a_greenish_wall_ends_where_it_does(
    faces: torch.Tensor, column: int, green: float
) -> None:
    face = faces[1].clone()
    face[..., :column] = torch.tensor([0.6 - green, 0.6, 0.6 - green])[:, None, None]
    found = find_marks(worn(face, torch.eye(3)))
    assert torch.allclose(found.centres, torch.tensor(MARKS), atol=0.6)


@pytest.mark.parametrize("left", [32, 36], ids=["cut by the border", "beyond it"])
def test_a_mark_that_is_not_whole_in_the_photo_is_missed(faces: torch.Tensor, left: int) -> None:
    aside = torch.tensor([[1.0, 0, -left], [0, 1, 0], [0, 0, 1]], dtype=torch.float64)
    with pytest.raises(MarksNotFound, match=r"found 6$"):
        find_marks(worn(faces[1], aside))


def test_a_grey_photo_shows_no_marks(shot: Shot) -> None:
    with pytest.raises(MarksNotFound, match=r"expected 7 green marks in the photo, found 0$"):
        find_marks(shot.photo.mean(0, keepdim=True).expand(3, -1, -1).contiguous())


def test_green_clothes_and_a_green_wall_do_not_hide_the_marks(shot: Shot) -> None:
    photo = shot.photo.clone()
    photo[:, 175:] = torch.tensor([0.1, 0.6, 0.2])[:, None, None]
    photo[:, :40] = torch.tensor([0.3, 0.9, 0.4])[:, None, None]
    assert torch.allclose(find_marks(photo).centres, shot.centres, atol=0.3)


def test_marks_are_found_among_leaves(shot: Shot, generator: torch.Generator) -> None:
    photo = shot.photo
    for _ in range(60):
        x, y = uniform(generator, 0, CANVAS), uniform(generator, 0, CANVAS)
        green = (uniform(generator, 0, 0.4), uniform(generator, 0.5, 1), 0.2)
        if not 30 < y < 140:
            photo = blob(photo, x, y, half=uniform(generator, 2, 5), color=green)
    assert torch.allclose(find_marks(photo).centres, shot.centres, atol=0.3)


def test_leaves_are_no_marks(faces: torch.Tensor, generator: torch.Generator) -> None:
    for _ in range(4):
        photo = faces[1]
        for _ in range(40):
            x, y = uniform(generator, 0, CANVAS), uniform(generator, 0, CANVAS)
            photo = blob(photo, x, y)
        with pytest.raises(MarksNotFound):
            find_marks(photo)


def test_marks_on_one_line_are_no_frame(faces: torch.Tensor) -> None:
    photo = faces[1]
    for x in range(25, 200, 25):
        photo = blob(photo, x, 80)
    with pytest.raises(MarksNotFound, match=r"expected 7 green marks in the photo, found "):
        find_marks(photo)


def test_mirrored_marks_are_not_taken_for_the_frame(shot: Shot) -> None:
    with pytest.raises(MarksNotFound):
        find_marks(shot.photo.flip(1))


def test_a_photo_of_another_size_is_refused() -> None:
    with pytest.raises(ImageContractError, match="224x224"):
        find_marks(torch.zeros(3, 200, 224))


@pytest.mark.parametrize("value", [math.nan, 255.0])
def test_a_photo_beyond_the_range_is_refused(value: float) -> None:
    with pytest.raises(ImageContractError, match="expected values"):
        find_marks(torch.full((3, CANVAS, CANVAS), value))
