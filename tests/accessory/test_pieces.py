"""Frames taken apart into pieces of one colour."""

import pytest
import torch

from agns.accessory.frame import frame_mask
from agns.accessory.pieces import LEAST, Pieces
from agns.data.simulation.drawn_frames import draw_frames
from agns.images import from_pixels
from agns.types import Frames


@pytest.fixture(scope="module")
def real() -> Frames:
    return from_pixels(draw_frames(6))


@pytest.fixture(scope="module")
def pieces(real: Frames) -> Pieces:
    return Pieces.of(real)


def light() -> torch.Tensor:
    return torch.ones(int(frame_mask().sum()))


def halves() -> Frames:
    """Red on the left, blue on the right, with a red square in the blue."""
    frame = torch.zeros(1, 3, 64, 176)
    frame[:, 0, :, :88] = frame[:, 2, :, 88:] = 1
    frame[:, :, 4:8, 110:116] = torch.tensor([1.0, 0, 0])[:, None, None]
    return frame * frame_mask()


def test_pixels_of_one_colour_that_touch_are_one_piece() -> None:
    pieces = Pieces.of(halves())
    assert pieces.counts.tolist() == [3]
    found = {tuple(colour) for colour in pieces.colors[0].round(decimals=3).tolist()}
    assert found == {(1.0, 0.0, 0.0), (0.0, 0.0, 1.0)}


def test_no_piece_is_smaller_than_the_least(pieces: Pieces) -> None:
    for places, count in zip(pieces.places, pieces.counts.tolist(), strict=True):
        sizes = torch.bincount(places)
        assert len(sizes) == count
        assert int(sizes.min()) >= LEAST


def test_a_bold_frame_has_more_pieces_than_a_plain_one() -> None:
    plain = torch.full((1, 3, 64, 176), 0.4) * frame_mask()
    assert Pieces.of(plain).counts.tolist() == [1]


def test_pieces_of_their_own_colours_are_the_frame(pieces: Pieces, real: Frames) -> None:
    assert torch.allclose(pieces.painted(pieces.colors, light()), real, atol=1e-6)


def test_a_painted_piece_has_its_colour_and_others_keep_theirs() -> None:
    pieces = Pieces.of(halves())
    green = torch.tensor([0.0, 1, 0])
    square = int(torch.bincount(pieces.places[0]).argmin())
    colors = pieces.colors.clone()
    colors[0, square] = green
    painted = pieces.painted(colors, light())
    assert torch.allclose(painted[0, :, 5, 112], green, atol=1e-6)
    changed = (painted - halves()).abs().amax((0, 1)) > 0
    # Edges stay as soft as they were within one pixel.
    assert not bool(changed[:, :109].any())
    assert not bool(changed[:, 117:].any())


def test_frames_follow_the_colours(pieces: Pieces) -> None:
    colors = pieces.colors.clone().requires_grad_()
    painted = pieces.painted(colors, light())
    painted.sum().backward()
    assert colors.grad is not None
    for own, count in zip(colors.grad, pieces.counts.tolist(), strict=True):
        assert bool((own[:count].sum(1) > 0).all())
        assert not bool(own[count:].any())


def test_some_frames_pieces_are_as_among_all(pieces: Pieces) -> None:
    some = pieces.subset(torch.tensor([4, 1]))
    assert torch.equal(some.places, pieces.places[[4, 1]])
    assert torch.equal(some.painted(some.colors, light()), some.frames)
