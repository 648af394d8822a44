"""What a capture check refuses."""

import pytest
import torch

from agns.errors import DataError
from agns.evaluation.gate import CaptureCheck, covered_share, measure_gate


def landmarks() -> torch.Tensor:
    """Of a face about as the canonical one: what the check reads of it."""
    points = torch.full((68, 2), 112.0)
    points[17:27, 1] = 62
    points[30] = torch.tensor([112.0, 110])
    for corner, start in ((62.0, 36), (122.0, 42)):
        across = torch.tensor([0.0, 10, 20, 30, 20, 10])
        down = torch.tensor([0.0, -5, -5, 0, 5, 5])
        points[start : start + 6] = torch.stack([corner + across, 80 + down], 1)
    points[2], points[31] = torch.tensor([40.0, 120]), torch.tensor([100.0, 120])
    points[14], points[35] = torch.tensor([184.0, 120]), torch.tensor([124.0, 120])
    return points


SKIN = torch.tensor([0.8, 0.6, 0.5])[:, None, None].expand(3, 224, 224)


def framed(colour: float) -> torch.Tensor:
    worn = SKIN.clone()
    worn[:, 62:80] = colour
    return worn


def test_what_has_not_the_colour_of_the_cheeks_covers_the_eyes() -> None:
    assert covered_share(SKIN, landmarks()) == 0
    assert 0.3 < covered_share(framed(0.1), landmarks()) < 0.45
    # Shade alone does not.
    assert covered_share(SKIN * 0.7, landmarks()) == 0


def test_photos_are_refused_by_the_first_check_that_they_fail() -> None:
    def find(picture: torch.Tensor) -> torch.Tensor:
        if bool((picture == 0).all()):
            return torch.zeros(0, 68, 2)
        points = landmarks()
        if float(picture[0, 0, 0]) == 1:
            points[36:48, 1] = 80
        return points[None]

    closed = SKIN.clone()
    closed[:, 0, 0] = 1
    nothing = torch.zeros(3, 224, 224)
    bare, worn = measure_gate(
        [[SKIN] * 4, [framed(0.1), SKIN, closed, nothing]], find, CaptureCheck()
    )
    assert (bare.photos, bare.refused) == (4, 0)
    assert (worn.no_face, worn.closed_eyes, worn.covered, worn.refused) == (0.25, 0.25, 0.25, 0.75)
    assert worn.interval[0] < 0.75 < worn.interval[1]
    assert worn.limit == 0
    # Frames on one photo are no photos more.
    _, often = measure_gate([[SKIN] * 2, [framed(0.1)] * 6], find, CaptureCheck())
    assert (often.photos, often.refused) == (2, 1)
    assert often.interval[0] < 0.5


def test_a_photo_without_a_frame_is_checked_against_the_others() -> None:
    dark = [framed(0.1), *[SKIN] * 9]
    bare, worn = measure_gate([dark, [framed(0.1)]], lambda _: landmarks()[None], CaptureCheck())
    # It would pass by a limit that it had a part in.
    assert (bare.refused, worn.refused) == (0.1, 1.0)
    assert bare.limit < worn.limit


def test_photos_in_which_no_face_is_found_set_no_limit() -> None:
    with pytest.raises(DataError, match="found in 0 of 4 photos"):
        measure_gate([[SKIN] * 4, [SKIN]], lambda _: torch.zeros(0, 68, 2), CaptureCheck())
