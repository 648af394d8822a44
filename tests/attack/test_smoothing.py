import pytest
import torch

from agns.accessory.frame import frame_mask
from agns.accessory.printability import assumed_palette, non_printability
from agns.attack.gradients import add_nps_gradient, keep_in_range
from agns.types import Frames


@pytest.fixture
def frames(generator: torch.Generator) -> Frames:
    """From even to rough."""
    noise = torch.rand(1, 3, 64, 176, generator=generator)
    return (0.5 + torch.tensor([0.01, 0.2, 1])[:, None, None, None] * (noise - 0.5)) * frame_mask()


@pytest.fixture
def joined(generator: torch.Generator) -> Frames:
    return torch.randn(3, 3, 64, 176, generator=generator)


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
