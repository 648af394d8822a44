import numpy as np
import pytest
import torch

from agns.accessory.frame import frame_mask
from agns.accessory.total_variation import total_variation, variation_gradient
from agns.types import Frames


@pytest.fixture
def frames(generator: torch.Generator) -> Frames:
    return torch.rand(3, 3, 64, 176, generator=generator)


def test_total_variation_is_counted_over_neighbours_on_the_frame(frames: Frames) -> None:
    on = frame_mask().numpy() > 0
    for frame, found in zip(frames.double().numpy(), total_variation(frames), strict=True):
        jumps = [
            abs(frame[channel, row, column] - frame[channel, row + down, column + right])
            for row, column in np.argwhere(on)
            for down, right in ((0, 1), (1, 0))
            if row + down < 64 and column + right < 176 and on[row + down, column + right]
            for channel in range(3)
        ]
        assert float(found) == pytest.approx(np.mean(jumps), rel=1e-5)


def test_total_variation_does_not_see_what_is_never_worn(frames: Frames) -> None:
    other = torch.where(frame_mask().bool(), frames, 1 - frames)
    torch.testing.assert_close(total_variation(other), total_variation(frames))
    assert total_variation(torch.full((1, 3, 64, 176), 0.3) * frame_mask()).item() == 0


def test_the_written_out_gradient_is_that_of_total_variation(frames: Frames) -> None:
    frames[0, :, 20:40] = 0.5
    leaf = frames.requires_grad_()
    (wanted,) = torch.autograd.grad(total_variation(leaf).sum(), leaf)
    torch.testing.assert_close(variation_gradient(frames.detach()), wanted)
