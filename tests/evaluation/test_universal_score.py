"""What frames for many do at each of a gallery's thresholds, against galleries at them."""

import pytest
import torch
from torch import Tensor, nn

from agns.data.faces import FaceSet
from agns.data.splits import Split
from agns.evaluation.reach import MadeBy
from agns.evaluation.universal_score import Participants, score_frames
from agns.models.embedder import Embedder
from agns.models.gallery import Gallery
from agns.models.operating_points import OperatingPoint
from agns.types import Frames

COUNTS = (1, 2)


class Coarse(nn.Module):
    """Embeds a picture as its colours on a coarse grid."""

    def forward(self, faces: Tensor) -> Tensor:
        return nn.functional.adaptive_avg_pool2d(faces, 8).flatten(1)


@pytest.fixture(scope="module")
def gallery(crowd: FaceSet) -> Gallery:
    enrolled = {name: crowd.faces(crowd.places_of(name)[:1]) for name in crowd.identities}
    made = Gallery(Embedder(Coarse(), name="coarse"), enrolled, threshold=0.5).eval()
    thresholds = made.distances(crowd.faces(torch.arange(len(crowd)))).flatten().sort().values
    made.points = tuple(
        OperatingPoint(
            false_accept_rate=rate, threshold=float(thresholds[place]), comparisons=99, people=9
        )
        for rate, place in ((0.1, -1), (0.01, len(thresholds) // 2), (0.001, 4))
    )
    return made


@pytest.fixture(scope="module")
def participants(crowd: FaceSet) -> Participants:
    places = {name: crowd.places_of(name)[1:] for name in crowd.identities}
    first, *others = crowd.identities
    return Participants(
        groups={"craft": [first], "unseen": others},
        splits={name: Split(first=own[:2], second=own[2:]) for name, own in places.items()},
        left_out=[],
    )


def series() -> dict[MadeBy, Frames]:
    draws = torch.Generator().manual_seed(2)
    return {
        "attack": torch.rand(3, 3, 64, 176, generator=draws),
        "benign": 0.5 + 0.1 * torch.rand(3, 3, 64, 176, generator=draws),
    }


def test_each_point_is_what_a_gallery_at_its_threshold_gives(
    gallery: Gallery, crowd: FaceSet, participants: Participants
) -> None:
    score = score_frames(gallery.at(0.1), crowd, participants, series(), COUNTS)
    assert [one.false_accept_rate for one in score.operating_points] == [0.1, 0.01, 0.001]
    for one in score.operating_points:
        there = score_frames(
            gallery.at(one.false_accept_rate), crowd, participants, series(), COUNTS
        )
        assert (one.points, one.without_frame) == (there.points, there.without_frame)
    bare = [one.without_frame["unseen"].success_rate for one in score.operating_points]
    assert bare[0] == 0 < (bare[2] or 0) < 1
    worn = [one.points[0].all.success_rate for one in score.operating_points]
    assert (worn[0], worn[2]) == (0, 1)


def test_a_recogniser_without_thresholds_has_no_operating_points(
    recognizer: nn.Module, crowd: FaceSet, participants: Participants
) -> None:
    score = score_frames(recognizer, crowd, participants, series(), COUNTS)
    assert score.operating_points == []
    assert {one.subjects for one in score.without_frame.values()} == {1, 2}
