"""Raw photos with a frame worn in them: what a detector and a recogniser make of them."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import agns
from agns.accessory.placement import FIXED
from agns.attack.goals import Dodge, resolve_goal
from agns.data.alignment import POSES, align
from agns.errors import ConfigError
from agns.evaluation.end_to_end import EndToEnd, draw_end_to_end, measure_end_to_end
from agns.geometry import resize
from agns.models.embedder import Embedder
from agns.models.gallery import Gallery
from agns.models.operating_points import OperatingPoint
from agns.types import Faces, Image, Logits

POINTS = POSES["canonical"].points
RED = torch.tensor([1.0, 0, 0]).reshape(1, 3, 1, 1).expand(1, 3, 64, 176)
BLUE = RED.flip(1)


class Redness:
    """Takes a face for the subject unless it is redder than blue about the eyes."""

    identities = ("Ann", "Bob")

    def __call__(self, faces: Faces) -> Logits:
        eyes = faces[:, :, 60:110].mean((2, 3))
        return torch.stack([eyes[:, 2] - eyes[:, 0] + 0.05, torch.zeros(len(faces))], 1)


def photo(*, scale: float = 1.5, left: int = 30, top: int = 20) -> tuple[Image, Tensor]:
    """A grey picture of 420x400 with a face on it, and the face's landmarks."""
    draws = torch.Generator().manual_seed(3)
    smooth = resize(torch.rand(1, 1, 20, 20, generator=draws) * 0.3 + 0.3, (420, 400))
    return smooth[0].expand(3, -1, -1).contiguous(), POINTS * scale + torch.tensor([left, top])


def measured(
    photos: list[Image], find: Callable[[Image], Tensor], *, benign: Tensor = BLUE
) -> EndToEnd:
    aligned = torch.zeros(len(photos), 3, 224, 224)
    return measure_end_to_end(Redness(), Dodge(0), photos, aligned, RED, benign, find=find)


def test_the_frame_sits_in_the_photo_where_the_aligned_face_would_wear_it() -> None:
    picture, points = photo()
    score = measured([picture], lambda _: points[None])
    (again,) = score.aligned
    assert again is not None
    expected = FIXED.wear(align(picture, points)[None], RED, torch.tensor([0]))[0]
    # Two resamplings soften the frame's edges.
    assert float((again - expected).abs().mean()) < 0.01
    assert (score.success.worn.success_rate, score.success.benign.success_rate) == (1, 0)
    bare = score.success.bare
    assert (bare.success_rate, bare.no_face, score.success.worn.no_face) == (0, 0, 0)
    assert score.success.on_aligned_faces.success_rate == 1


def test_a_face_that_the_frame_hides_from_the_detector_is_no_success() -> None:
    picture, points = photo()

    def shy(image: Image) -> Tensor:
        return points[None][: int(float(image[0].max()) < 0.9)]

    score = measured([picture, picture], shy)
    assert (score.success.worn.no_face, score.success.worn.success_rate) == (1, 0)
    assert (score.success.worn.success_of_found, score.aligned) == (None, [None, None])
    assert (score.success.benign.no_face, score.success.benign.photos) == (0, 2)
    assert score.reached == [False, False]


def test_somebody_else_in_the_photo_is_not_taken_for_the_subject() -> None:
    picture, points = photo(scale=0.8)
    other = points + torch.tensor([170.0, 150.0])

    def fickle(image: Image) -> Tensor:
        return torch.stack([points, other] if float(image[0].max()) < 0.9 else [other])

    assert measured([picture], fickle).success.worn.no_face == 1


def test_photos_in_which_nobody_is_found_bare_are_left_out_and_named() -> None:
    picture, points = photo()
    blank = torch.zeros(3, 50, 60)
    score = measured(
        [blank, picture, blank], lambda image: points[None][: int(image.shape[1] > 50)]
    )
    assert (score.without_face, score.places) == ([0, 2], [1])
    assert score.success.worn.photos == 1
    none = measured([blank], lambda _: torch.zeros(0, 68, 2)).success
    assert (none.worn.photos, none.worn.success_rate, none.worn.interval) == (0, None, None)
    assert none.on_aligned_faces.images == 0


def test_a_photo_counts_as_the_mean_of_its_benign_frames() -> None:
    picture, points = photo()
    score = measured([picture], lambda _: points[None], benign=torch.cat([RED, BLUE, BLUE, BLUE]))
    assert score.success.benign.success_rate == score.success.benign.success_of_found == 0.25
    assert score.success.benign.photos == 1


def test_a_black_box_is_not_asked_for_scoring() -> None:
    picture, points = photo()
    victim = agns.BlackBox(Redness(), budget=1)
    score = measure_end_to_end(
        victim, Dodge(0), [picture], torch.zeros(1, 3, 224, 224), RED, BLUE,
        find=lambda _: points[None],
    )  # fmt: skip
    assert (score.success.worn.success_rate, victim.queries) == (1, 0)


@pytest.mark.parametrize(("faces", "frames"), [(2, 1), (0, 1), (1, 0)])
def test_faces_that_are_not_the_photos_and_no_benign_frames_are_refused(
    faces: int, frames: int
) -> None:
    picture, _ = photo()
    aligned = torch.zeros(faces, 3, 224, 224)
    with pytest.raises(ConfigError, match=f"got {faces}, and benign frames .* got {frames}"):
        measure_end_to_end(
            Redness(), Dodge(0), [picture], aligned, RED, BLUE[:frames],
            find=lambda _: POINTS[None],
        )  # fmt: skip


class EyeColour(nn.Module):
    """Embeds a face as the mean colour about its eyes."""

    def forward(self, faces: Tensor) -> Tensor:
        return faces[:, :, 60:110].mean((2, 3))


@pytest.mark.parametrize("shy", [False, True])
def test_a_gallery_judges_the_same_faces_at_each_of_its_operating_points(shy: bool) -> None:
    picture, points = photo()
    face = align(picture, points)[None]
    gallery = Gallery(
        Embedder(EyeColour(), name="eyes"), {"Ann": face, "Bob": 0 * face}, threshold=1.0
    ).eval()
    wearing = FIXED.wear(face, RED, torch.tensor([0]))
    apart = float(gallery.distances(wearing)[0, 0])
    gallery.points = tuple(
        OperatingPoint(false_accept_rate=rate, threshold=apart * share, comparisons=99, people=9)
        for rate, share in ((0.1, 1.2), (0.01, 0.5), (0.001, 1e-3))
    )

    benign = torch.cat([BLUE, torch.full_like(BLUE, 0.4)])

    def find(image: Image) -> Tensor:
        hidden = shy and float(image[2].max()) > 0.9
        return points[None][: int(not hidden)]

    def measured_at(rate: float) -> EndToEnd:
        victim = gallery.at(rate)
        goal = resolve_goal(Dodge("Ann"), victim)
        return measure_end_to_end(victim, goal, [picture], face, RED, benign, find=find)

    score = measured_at(0.1)
    assert [one.false_accept_rate for one in score.operating_points] == [0.1, 0.01, 0.001]
    assert [one.success.worn.success_rate for one in score.operating_points] == [0, 1, 1]
    assert [one.success.benign.success_rate for one in score.operating_points] == [
        0, 0 if shy else 0.5, 0.5 if shy else 1,
    ]  # fmt: skip
    assert [one.success.on_aligned_faces.success_rate for one in score.operating_points] == [
        0, 1, 1,
    ]  # fmt: skip
    for one in score.operating_points:
        here, there = one.success, measured_at(one.false_accept_rate).success
        assert (here.worn, here.benign, here.bare) == (there.worn, there.benign, there.bare)


@pytest.mark.parametrize("photos", [1, 8])
def test_photos_and_the_faces_found_in_them_are_drawn(photos: int, tmp_path: Path) -> None:
    picture, points = photo()
    wide = torch.cat([picture, picture], 2)
    score = measured([picture] * photos + [wide], lambda _: points[None])
    draw_end_to_end(tmp_path / "sheet.png", score, title="Ann dodges $x$, end to end")
    assert (tmp_path / "sheet.png").stat().st_size > 5000
