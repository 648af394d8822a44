"""What a capture check refuses."""

import torch

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
    # Frames on one photo are no photos more.
    _, often = measure_gate([[SKIN] * 2, [framed(0.1)] * 6], find, CaptureCheck())
    assert (often.photos, often.refused) == (2, 1)
    assert often.interval[0] < 0.5
