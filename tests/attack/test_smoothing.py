import pytest
import torch

from agns.accessory.frame import frame_mask
from agns.accessory.printability import assumed_palette, non_printability
from agns.accessory.total_variation import total_variation
from agns.attack.gradients import add_nps_gradient, add_tv_gradient, keep_in_range
from agns.types import Frames


@pytest.fixture
def frames(generator: torch.Generator) -> Frames:
    """From even to rough."""
    noise = torch.rand(1, 3, 64, 176, generator=generator)
    return (0.5 + torch.tensor([0.01, 0.2, 1])[:, None, None, None] * (noise - 0.5)) * frame_mask()


@pytest.fixture
def joined(generator: torch.Generator) -> Frames:
    return torch.randn(3, 3, 64, 176, generator=generator)


def test_no_weight_changes_nothing(frames: Frames, joined: Frames) -> None:
    assert torch.equal(add_tv_gradient(joined, frames, 0.01, 0), joined)


def test_only_what_varies_too_much_is_pulled(frames: Frames, joined: Frames) -> None:
    smooth, middling, rough = total_variation(frames).tolist()
    assert smooth < 0.8 * middling
    assert rough > 1.2 * middling
    pull = add_tv_gradient(joined, frames, middling, 0.5) - joined
    lengths = pull.flatten(1).norm(dim=1) / joined.flatten(1).norm(dim=1)
    # At the limit itself, half way from 80 to 120 %, half the weight.
    torch.testing.assert_close(lengths, torch.tensor([0, 0.25, 0.5]), atol=1e-4, rtol=1e-4)


def test_a_step_against_the_pull_makes_frames_smoother(frames: Frames, joined: Frames) -> None:
    pull = add_tv_gradient(joined, frames, 1e-4, 1) - joined
    assert (total_variation(frames - 1e-5 * pull) < total_variation(frames)).all()


def test_an_even_frame_and_a_joined_gradient_of_zero_stay_finite(joined: Frames) -> None:
    even = 0.5 * frame_mask().expand(3, 3, -1, -1)
    assert bool(add_tv_gradient(joined, even, 1e-3, 1).isfinite().all())
    assert not add_tv_gradient(torch.zeros_like(joined), even, 1e-3, 1).any()


def test_no_weight_of_printing_changes_nothing(frames: Frames, joined: Frames) -> None:
    assert add_nps_gradient(joined, frames, assumed_palette(), 0) is joined


def test_printing_pulls_with_its_weight_towards_what_prints(frames: Frames, joined: Frames) -> None:
    palette = assumed_palette()
    pull = add_nps_gradient(joined, frames, palette, 0.3) - joined
    lengths = pull.flatten(1).norm(dim=1) / joined.flatten(1).norm(dim=1)
    torch.testing.assert_close(lengths, torch.full((3,), 0.3), atol=1e-4, rtol=1e-4)
    stepped = non_printability(frames - 1e-5 * pull, palette)
    assert (stepped < non_printability(frames, palette)).all()
    assert not pull[:, :, frame_mask() == 0].any()


def test_printable_frames_are_not_pulled(joined: Frames) -> None:
    palette = assumed_palette()
    printable = palette[:3, :, None, None].expand(-1, -1, 64, 176)
    assert torch.equal(add_nps_gradient(joined, printable, palette, 1), joined)


def test_no_value_is_pushed_to_the_end_of_its_range() -> None:
    values = torch.tensor([0.02, 0.02, 0.5, 0.5, 0.98, 0.98])
    joined = torch.tensor([1.0, -1, 1, -1, 1, -1])
    frames = values.reshape(-1, 1, 1, 1).expand(-1, 3, 64, 176)
    kept = keep_in_range(joined.reshape(-1, 1, 1, 1).expand_as(frames), frames, 0.05)
    # A step goes against the gradient: inwards they stay, outwards they turn round.
    expected = torch.tensor([-0.5, -1, 1, -1, 1, 0.5])
    assert torch.equal(kept, expected.reshape(-1, 1, 1, 1).expand_as(frames))


def test_without_headroom_gradients_stay_as_they_are(joined: Frames) -> None:
    ends = (joined > 0).float()
    assert torch.equal(keep_in_range(joined, ends, 0), joined)
