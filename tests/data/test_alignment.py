import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as PilImage
from torch import Tensor

from agns.data.alignment import POSES, align, alignment
from agns.errors import DataError
from agns.geometry import transform_points
from agns.images import read_image, to_picture


def turned(points: Tensor, degrees: float, scale: float, shift: tuple[float, float]) -> Tensor:
    angle = math.radians(degrees)
    turn = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return scale * points @ turn.T + torch.tensor(shift)


def waves(x: Tensor, y: Tensor) -> Tensor:
    """A smooth picture at any point, fractions of pixels included."""
    return torch.stack(
        [
            0.5 + 0.4 * torch.sin(x / 17) * torch.cos(y / 23),
            0.5 + 0.4 * torch.sin((x + y) / 31),
            0.5 + 0.4 * torch.cos(x / 29 - y / 19),
        ]
    )


def counted_from_0(path: Path) -> Tensor:
    return torch.from_numpy(np.loadtxt(path, delimiter=",", dtype=np.float32)) - 1


@pytest.mark.parametrize("name", POSES)
def test_a_face_already_in_the_pose_stays_as_it_is(name: str, generator: torch.Generator) -> None:
    pose = POSES[name]
    picture = torch.rand(3, pose.size, pose.size, generator=generator)
    torch.testing.assert_close(align(picture, pose.points, pose), picture, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", POSES)
@pytest.mark.parametrize("scale", [0.4, 1.0, 3.7])
def test_the_landmarks_that_a_pose_uses_land_where_it_wants_them(name: str, scale: float) -> None:
    pose = POSES[name]
    landmarks = turned(pose.points, 25, scale, (80, -30))
    used = list(pose.used)
    landed = transform_points(landmarks, alignment(landmarks, pose))
    torch.testing.assert_close(landed[used], pose.points[used], atol=1e-3, rtol=0)


@pytest.mark.parametrize(("degrees", "scale"), [(0, 2.0), (20, 1.3), (-35, 3.1), (10, 0.8)])
def test_each_pixel_comes_from_where_the_landmarks_say(degrees: float, scale: float) -> None:
    ys, xs = torch.meshgrid(torch.arange(600.0), torch.arange(720.0), indexing="ij")
    landmarks = turned(POSES["canonical"].points, degrees, scale, (150.0, 120.0))
    aligned = align(waves(xs, ys), landmarks)
    rows, columns = torch.meshgrid(torch.arange(224.0), torch.arange(224.0), indexing="ij")
    back = torch.linalg.inv(alignment(landmarks))
    x, y = transform_points(torch.stack([columns, rows], -1).flatten(0, 1), back).mT
    inside = (x > 4) & (x < 715) & (y > 4) & (y < 595)
    assert int(inside.sum()) > 5000
    apart = (aligned.flatten(1) - waves(x, y))[:, inside].abs()
    assert float(apart.max()) < 0.02


def test_a_fine_pattern_greys_out_when_shrunk_in_place_of_aliasing() -> None:
    stripes = (torch.arange(1200) % 4 < 2).float().expand(3, 1200, 1200)
    landmarks = turned(POSES["canonical"].points, 0, 5.0, (20, 20))
    inner = align(stripes, landmarks)[:, 20:200, 20:200]
    assert float(inner.std()) < 0.05
    assert float(inner.mean()) == pytest.approx(0.5, abs=0.02)


def test_what_lies_beyond_the_picture_is_black() -> None:
    landmarks = turned(POSES["canonical"].points, 0, 1.0, (-60, 0))
    aligned = align(torch.ones(3, 224, 224), landmarks)
    assert float(aligned[:, :, :57].max()) == 0
    assert float(aligned[:, 4:220, 64:].min()) == pytest.approx(1, abs=1e-5)


def test_landmarks_on_one_line_are_refused() -> None:
    line = torch.arange(68.0)[:, None].expand(68, 2)
    with pytest.raises(DataError, match="one line"):
        align(torch.zeros(3, 100, 100), line)


def test_landmarks_outside_the_picture_are_refused() -> None:
    far = POSES["canonical"].points + 5000
    with pytest.raises(DataError, match="outside the picture"):
        align(torch.zeros(3, 100, 100), far)


@pytest.mark.parametrize("scale", [1e-6, 1e5])
def test_landmarks_that_span_no_face_are_refused(scale: float) -> None:
    with pytest.raises(DataError, match="span no face"):
        align(torch.zeros(3, 100, 100), POSES["canonical"].points * scale)


def test_a_picture_of_a_single_row_is_refused() -> None:
    with pytest.raises(DataError, match="shows no face"):
        align(torch.zeros(3, 1, 100), POSES["canonical"].points)


def test_the_poses_are_those_that_the_original_publishes(data_path: Callable[[str], Path]) -> None:
    published = counted_from_0(data_path("data/agns/canonical_pose_marks.csv"))
    assert torch.equal(POSES["canonical"].points, published + 2)
    scipy_io = pytest.importorskip("scipy.io")
    info = scipy_io.loadmat(data_path("data/agns/openface_alignment_info.mat"))
    info = info["align_info"][0, 0]
    assert POSES["openface"].points.tolist() == info["points"].tolist()
    assert set(POSES["openface"].used) == {int(index) - 1 for index in info["indices"].ravel()}
    assert POSES["openface"].size == int(info["dim"][0, 0])


def test_the_portrait_is_aligned_as_the_original_code_aligned_it(
    data_path: Callable[[str], Path],
) -> None:
    folder = data_path("data/agns/portrait")
    landmarks = counted_from_0(folder / "Fast_Marks_brad_pitt.jpg.csv")
    aligned = align(read_image(folder / "brad_pitt.jpg"), landmarks)
    reference = read_image(folder / "aligned_vgg_brad_pitt.jpg")
    difference = (aligned - reference)[:, 8:216, 8:216].abs().mean()
    # A shift by one pixel more either way costs twice as much.
    assert float(difference) < 0.03
    for shift in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        moved = aligned.roll(shift, (1, 2))
        assert (moved - reference)[:, 8:216, 8:216].abs().mean() > difference


def test_pillow_and_aligning_agree_on_where_pixels_come_from(astronaut: Tensor) -> None:
    landmarks = turned(POSES["canonical"].points, 12, 0.9, (140, 30))
    back = torch.linalg.inv(alignment(landmarks))
    # Pillow puts a pixel's centre half a pixel inside it.
    shift = torch.tensor([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    coefficients = (shift @ back @ torch.linalg.inv(shift))[:2].flatten().tolist()
    warped = to_picture(astronaut).transform(
        (224, 224), PilImage.Transform.AFFINE, coefficients, PilImage.Resampling.BICUBIC
    )
    reference = torch.from_numpy(np.asarray(warped).copy()).permute(2, 0, 1) / 255
    assert (align(astronaut, landmarks) - reference).abs().mean() < 0.02
