"""Joining two gradients, against NumPy one sample at a time."""

import numpy as np
import pytest
import torch

from agns.attack.gradients import Length, join_gradients
from agns.types import Frames


@pytest.fixture
def gradients(generator: torch.Generator) -> tuple[Frames, Frames]:
    """Of lengths that differ by sample: the first longer, the second longer, alike."""
    real, error = torch.randn(2, 3, 3, 64, 176, generator=generator)
    factors = torch.tensor([100, 0.01, 1])[:, None, None, None]
    return factors * real, error


def lengths(gradients: Frames) -> torch.Tensor:
    return gradients.flatten(1).norm(dim=1)


@pytest.mark.parametrize("kappa", [0, 0.25, 0.5, 1])
def test_gradients_join_as_in_numpy(gradients: tuple[Frames, Frames], kappa: float) -> None:
    joined = join_gradients(*gradients, kappa, "shorter").numpy()
    real, error = (gradient.double().numpy() for gradient in gradients)
    for sample in range(3):
        r, e = real[sample], error[sample]
        if np.linalg.norm(r) > np.linalg.norm(e):
            r = r * (np.linalg.norm(e) / np.linalg.norm(r))
        else:
            e = e * (np.linalg.norm(r) / np.linalg.norm(e))
        expected = kappa * r + (1 - kappa) * e
        np.testing.assert_allclose(joined[sample], expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("kappa", [0, 1])
def test_at_either_end_one_gradient_keeps_its_direction_at_the_shorter_length(
    gradients: tuple[Frames, Frames], kappa: float
) -> None:
    joined = join_gradients(*gradients, kappa, "shorter")
    kept = gradients[1 - kappa]
    likeness = torch.cosine_similarity(joined.flatten(1), kept.flatten(1))
    torch.testing.assert_close(likeness, torch.ones(3))
    shorter = torch.minimum(*map(lengths, gradients))
    torch.testing.assert_close(lengths(joined), shorter)


def test_each_sample_is_joined_as_if_it_were_alone(gradients: tuple[Frames, Frames]) -> None:
    joined = join_gradients(*gradients, 0.25, "shorter")
    for sample in range(3):
        alone = join_gradients(
            *(gradient[sample : sample + 1] for gradient in gradients), 0.25, "shorter"
        )
        torch.testing.assert_close(joined[sample : sample + 1], alone)


@pytest.mark.parametrize("kappa", [0, 0.25, 1])
def test_the_errors_gradient_can_come_to_the_length_of_the_real_ones(
    gradients: tuple[Frames, Frames], kappa: float
) -> None:
    joined = join_gradients(*gradients, kappa, "real").numpy()
    for sample in range(3):
        r, e = (gradient[sample].double().numpy() for gradient in gradients)
        expected = kappa * r + (1 - kappa) * e * np.linalg.norm(r) / np.linalg.norm(e)
        np.testing.assert_allclose(joined[sample], expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("length", ["shorter", "real"])
def test_a_gradient_of_zero_stays_finite(gradients: tuple[Frames, Frames], length: Length) -> None:
    real, error = gradients
    nothing = torch.zeros_like(real)
    for pair in ((nothing, error), (real, nothing), (nothing, nothing)):
        assert bool(join_gradients(*pair, 0.25, length).isfinite().all())
    # It silences its own sample alone.
    real = torch.cat([nothing[:1], real[1:]])
    joined = join_gradients(real, error, 0.25, "shorter")
    assert torch.equal(joined[1:], join_gradients(*gradients, 0.25, "shorter")[1:])
