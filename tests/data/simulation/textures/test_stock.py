"""The shop's stock: the shares of its families, and what tells them apart."""

import functools
from typing import get_args

import numpy as np
import pytest
from jaxtyping import Float32

from agns.accessory.frame import frame_mask
from agns.data.simulation.textures.stock import VERSION, Texture, chosen, painted, shares
from agns.errors import ConfigError

TEXTURES: tuple[Texture, ...] = get_args(Texture)
PLAIN = tuple(shares(1))
BOLD = tuple(texture for texture in TEXTURES if texture not in PLAIN)
ON = frame_mask().numpy() == 1


@functools.cache
def sample(texture: Texture) -> Float32[np.ndarray, "16 64 176 3"]:
    frames = [painted(texture, np.random.default_rng([1, index])) for index in range(16)]
    return np.stack(frames).astype(np.float32) / 255


def variety(texture: Texture) -> float:
    """Mean deviation of a frame's pixels from its mean colour."""
    return float(sample(texture)[:, ON].std(1).mean())


@pytest.mark.parametrize("texture", TEXTURES)
def test_a_family_draws_the_same_frame_for_the_same_draws(texture: Texture) -> None:
    again = painted(texture, np.random.default_rng([1, 3]))
    assert np.array_equal(again, np.round(255 * sample(texture)[3]))


@pytest.mark.parametrize("texture", TEXTURES)
def test_a_family_paints_the_silhouette_and_nothing_else(texture: Texture) -> None:
    frames = sample(texture)
    assert not frames[:, ~ON].any()
    assert float((frames[:, ON].max(-1) > 0).mean()) > 0.97


@pytest.mark.parametrize("texture", TEXTURES)
def test_no_two_frames_of_a_family_are_alike(texture: Texture) -> None:
    frames = sample(texture)[:8, ON]
    apart = np.abs(frames[:, None] - frames[None]).mean((2, 3))[np.triu_indices(8, 1)]
    assert float(apart.min()) > 0.01


@pytest.mark.parametrize("texture", BOLD)
def test_a_bold_frame_has_more_colours_than_a_plain_one(texture: Texture) -> None:
    plain = np.average([variety(one) for one in PLAIN], weights=list(shares(1).values()))
    assert variety(texture) > 1.1 * plain


def test_a_family_is_known_by_few_numbers_better_than_by_chance() -> None:
    def numbers(texture: Texture) -> Float32[np.ndarray, "frames numbers"]:
        frames = sample(texture)
        both = ON[:, 1:] & ON[:, :-1], ON[1:] & ON[:-1]
        steps = (
            np.abs(np.diff(frames, axis=2))[:, both[0]],
            np.abs(np.diff(frames, axis=1))[:, both[1]],
        )
        return np.stack(
            [value for step in steps for value in (step.mean((1, 2)), step.std((1, 2)))]
            + [frames[:, ON].std((1, 2))],
            1,
        )

    told = np.stack([numbers(texture) for texture in TEXTURES])
    told = (told - told.mean((0, 1))) / told.std((0, 1))
    centres = told[:, :8].mean(1)
    nearest = np.square(told[:, 8:, None] - centres).sum(-1).argmin(-1)
    right = nearest == np.arange(len(TEXTURES))[:, None]
    assert float(right.mean()) > 5 / len(TEXTURES)


def test_shares_come_to_one_and_a_third_of_the_stock_is_bold() -> None:
    assert sum(shares().values()) == pytest.approx(1)
    assert sum(shares()[texture] for texture in BOLD) == pytest.approx(1 / 3)
    assert set(shares()) == set(TEXTURES)


def test_families_are_drawn_in_their_shares() -> None:
    seeds = (np.random.SeedSequence([0, index]) for index in range(2000))
    drawn = [chosen(np.random.default_rng(seed)) for seed in seeds]
    for texture, share in shares().items():
        assert drawn.count(texture) / 2000 == pytest.approx(share, abs=0.03)
    bold = sum(texture in BOLD for texture in drawn) / 2000
    assert bold == pytest.approx(1 / 3, abs=0.03)


def test_the_first_version_is_of_plain_families_in_the_same_proportions() -> None:
    assert len(PLAIN) == 10
    for texture, share in shares(1).items():
        assert shares()[texture] == pytest.approx(2 / 3 * share)


@pytest.mark.parametrize("version", [0, VERSION + 1])
def test_another_version_is_refused(version: int) -> None:
    with pytest.raises(ConfigError, match=f"versions 1 to {VERSION}, got {version}"):
        shares(version)
