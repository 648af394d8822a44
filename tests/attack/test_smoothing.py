import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from agns.accessory.frame import frame_mask
from agns.attack.gradients import smooth_along_frame


@pytest.fixture
def gradients(generator: torch.Generator) -> torch.Tensor:
    return torch.randn(2, 3, 64, 176, generator=generator)


def test_no_deviation_changes_nothing(gradients: torch.Tensor) -> None:
    assert torch.equal(smooth_along_frame(gradients, 0), gradients)


def test_smoothing_is_a_gaussian_normalised_on_the_frame(gradients: torch.Tensor) -> None:
    mask = frame_mask().numpy().astype(np.float64)

    def blurred(plane: np.ndarray) -> np.ndarray:
        return gaussian_filter(plane, 1.5, mode="constant", radius=5)

    expected = mask * blurred(gradients[1, 2].numpy() * mask) / np.maximum(blurred(mask), 1e-9)
    assert smooth_along_frame(gradients, 1.5)[1, 2].numpy() == pytest.approx(expected, abs=1e-5)


def test_what_lies_off_the_frame_has_no_weight(gradients: torch.Tensor) -> None:
    off = frame_mask() == 0
    other = gradients.clone()
    other[..., off] = 9.0
    smoothed = smooth_along_frame(other, 2.0)
    assert torch.equal(smoothed, smooth_along_frame(gradients, 2.0))
    assert not smoothed[..., off].any()


def test_an_even_gradient_stays_even() -> None:
    even = frame_mask().expand(1, 3, 64, 176)
    torch.testing.assert_close(smooth_along_frame(even, 2.0), even)
