"""How much frames look like eyeglasses, against NumPy."""

from pathlib import Path

import numpy as np
import pytest
import torch

from agns.accessory.frame import frame_mask
from agns.accessory.printability import assumed_palette, non_printability
from agns.accessory.total_variation import total_variation
from agns.evaluation.stealth import StealthScale, distance_to_nearest
from agns.images import from_pixels
from agns.models.dcgan import Discriminator, Generator
from agns.types import Frames, Pixels

BENIGN = 40


@pytest.fixture(scope="module")
def scale(gan: tuple[Generator, Discriminator], glasses: Pixels) -> StealthScale:
    return StealthScale(*gan, glasses, rng=torch.Generator().manual_seed(0), benign=BENIGN)


@pytest.fixture
def frames(generator: torch.Generator) -> Frames:
    return torch.rand(3, 3, 64, 176, generator=generator)


@pytest.mark.parametrize("chunk", [1, 5, 512])
def test_the_nearest_real_frame_is_the_one_numpy_finds(
    frames: Frames, glasses: Pixels, chunk: int
) -> None:
    on = frame_mask().numpy() > 0
    real = glasses.numpy()[:, :, on].astype(np.float64) / 255
    drawn = frames.double().numpy()[:, :, on]
    expected = [min(np.sqrt(np.mean((frame - other) ** 2)) for other in real) for frame in drawn]
    np.testing.assert_allclose(distance_to_nearest(frames, glasses, chunk=chunk), expected,
                               rtol=1e-4)  # fmt: skip


def test_a_real_frame_is_its_own_nearest(glasses: Pixels) -> None:
    assert distance_to_nearest(from_pixels(glasses), glasses).max() < 1e-3


def test_scores_do_not_depend_on_what_else_is_scored(scale: StealthScale, frames: Frames) -> None:
    together = scale.scores(frames)
    alone = torch.cat([scale.scores(frame[None]) for frame in frames])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-4)
    assert bool(((together >= 0) & (together <= 1)).all())


def test_ranges_are_the_quantiles_of_the_benign_frames(scale: StealthScale) -> None:
    expected = {
        "discriminator_score": scale.scores(scale.benign),
        "total_variation": total_variation(scale.benign),
        "non_printability": non_printability(scale.benign, assumed_palette()),
        "nearest_real": distance_to_nearest(scale.benign, scale._glasses),
    }
    assert scale.ranges.keys() == expected.keys()
    for name, spread in scale.ranges.items():
        quantiles = np.quantile(expected[name].double().numpy(), [0.05, 0.5, 0.95])
        assert (spread.low, spread.median, spread.high) == pytest.approx(quantiles, abs=1e-5)


def test_percentiles_are_shares_of_benign_frames_below(scale: StealthScale) -> None:
    for frame in scale.benign[:4]:
        found = scale.measure(frame)
        assert found.total_variation_percentile == pytest.approx(
            np.mean(scale.benign_variations.numpy() < found.total_variation), abs=1.1 / BENIGN
        )
        assert found.non_printability_percentile == pytest.approx(
            np.mean(scale.benign_prints.numpy() < found.non_printability), abs=1.1 / BENIGN
        )
        assert found.nearest_real_percentile == pytest.approx(
            np.mean(scale.benign_distances.numpy() < found.nearest_real), abs=1.1 / BENIGN
        )
        assert found.discriminator_percentile == pytest.approx(
            np.mean(scale.benign_scores.numpy() < found.discriminator_score), abs=1.1 / BENIGN
        )


def test_the_middle_ninety_percent_lie_within_and_the_tails_without(scale: StealthScale) -> None:
    within = [scale.measure(frame).within_benign_90 for frame in scale.benign]
    ranks = scale.benign_scores.argsort().argsort().numpy()
    # 5 % of 40 are 2 on either side, as far as rounding in a batch leaves ranks as they are.
    expected = (ranks >= 2) & (ranks < BENIGN - 2)
    assert np.mean(np.array(within) == expected) > 0.9
    assert not within[int(scale.benign_scores.argmax())]
    assert not within[int(scale.benign_scores.argmin())]


def test_noise_varies_more_than_any_benign_frame_and_a_plain_frame_less(
    scale: StealthScale, frames: Frames
) -> None:
    assert scale.measure(frames[0]).total_variation_percentile == 1
    smooth = scale.measure(torch.full((3, 64, 176), 0.5) * frame_mask())
    assert (smooth.total_variation, smooth.total_variation_percentile) == (0, 0)


def test_a_real_frame_lies_nearer_than_every_benign_one(
    scale: StealthScale, glasses: Pixels
) -> None:
    frame = from_pixels(glasses)[3]
    assert scale.measure(frame).nearest_real_percentile == 0


def test_a_palette_of_ones_own_takes_the_assumed_ones_place(
    scale: StealthScale, tmp_path: Path
) -> None:
    path = tmp_path / "palette.csv"
    path.write_text("128,128,128\n", encoding="utf-8")
    own = scale.printed_with(str(path))
    grey = torch.full((3, 64, 176), 128 / 255)
    found = own.measure(grey)
    assert found.non_printability < 1e-5
    assert found.non_printability_percentile == 0
    assert own.ranges["non_printability"] != scale.ranges["non_printability"]
    assert own.ranges["total_variation"] == scale.ranges["total_variation"]
    assert scale.printed_with(None) is scale
    assert scale.measure(grey).non_printability == pytest.approx(
        float(non_printability(grey[None], assumed_palette()))
    )


def test_the_same_draws_give_the_same_scale(
    gan: tuple[Generator, Discriminator], glasses: Pixels
) -> None:
    one, other = (
        StealthScale(*gan, glasses, rng=torch.Generator().manual_seed(7), benign=8)
        for _ in range(2)
    )
    assert one.ranges == other.ranges
    assert torch.equal(one.benign, other.benign)
