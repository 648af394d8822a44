"""Random variations of faces."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor

from agns.accessory.frame import place, silhouette
from agns.images import from_pixels
from agns.training.augmentation import erase, move_randomly, relight, uniform, wear_some
from agns.types import Images, Pixels

Vary = Callable[..., Images]

STILL = {"turn": 0.0, "zoom": 0.0, "shift": 0.0, "flip": False}
VARIATIONS: dict[str, Vary] = {
    "moved": partial(move_randomly, turn=20, zoom=0.3, shift=0.2, flip=True),
    "relit": partial(relight, amount=0.9),
    "erased": partial(erase, share=0.7, largest=0.6),
}
vary = pytest.mark.parametrize("variation", VARIATIONS.values(), ids=VARIATIONS.keys())


def some(generator: torch.Generator, count: int = 6, height: int = 20, width: int = 30) -> Images:
    return torch.rand(count, 3, height, width, generator=generator)


def free(count: int, glasses: Pixels) -> Tensor:
    """Every frame to choose from, for each photo."""
    return torch.arange(len(glasses)).expand(count, -1)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@vary
def test_variations_come_from_the_generator_given(
    variation: Vary, generator: torch.Generator
) -> None:
    images = some(generator)
    torch.manual_seed(1)
    first = variation(images, rng=seeded(3))
    torch.manual_seed(2)
    assert torch.equal(variation(images, rng=seeded(3)), first)
    assert not torch.equal(variation(images, rng=seeded(4)), first)


@vary
def test_variations_stay_between_0_and_1(variation: Vary, generator: torch.Generator) -> None:
    images = some(generator, count=40).round()
    varied = variation(images, rng=generator)
    assert varied.shape == images.shape
    assert varied.dtype == torch.float32
    assert varied.min() >= 0
    assert varied.max() <= 1


@vary
def test_variations_differ_from_picture_to_picture(
    variation: Vary, generator: torch.Generator
) -> None:
    images = some(generator, count=1).expand(8, 3, 20, 30)
    varied = variation(images, rng=generator)
    assert len({picture.numpy().tobytes() for picture in varied}) > 3


@vary
def test_variations_leave_the_pictures_given_alone(
    variation: Vary, generator: torch.Generator
) -> None:
    images = some(generator)
    before = images.clone()
    variation(images, rng=generator)
    assert torch.equal(images, before)


@pytest.mark.parametrize(
    "variation",
    [
        partial(move_randomly, **STILL),
        partial(relight, amount=0.0),
        partial(erase, share=0.0, largest=0.5),
    ],
    ids=VARIATIONS.keys(),
)
def test_no_variation_at_zero_strength(variation: Vary, generator: torch.Generator) -> None:
    images = some(generator)
    torch.testing.assert_close(variation(images, rng=generator), images, atol=1e-5, rtol=0)


def test_draws_are_uniform_between_their_ends(generator: torch.Generator) -> None:
    draws = uniform(10_000, -3, 5, rng=generator)
    shares = torch.histc(draws, 8, -3, 5) / 10_000
    torch.testing.assert_close(shares, torch.full((8,), 1 / 8), atol=0.02, rtol=0)


def test_flipping_mirrors_about_half_of_the_pictures(generator: torch.Generator) -> None:
    images = some(generator, count=60)
    moved = move_randomly(images, **{**STILL, "flip": True}, rng=generator)

    def like(other: Images) -> Tensor:
        return (moved - other).abs().amax((1, 2, 3)) < 1e-4

    as_they_were, mirrored = like(images), like(images.flip(3))
    assert (as_they_were ^ mirrored).all()
    assert 15 < int(mirrored.sum()) < 45


def test_shifting_moves_pictures_either_way_no_further_than_asked(
    generator: torch.Generator,
) -> None:
    images = torch.zeros(60, 3, 41, 41)
    images[:, :, 20, 20] = 1
    moved = move_randomly(images, **{**STILL, "shift": 0.2}, rng=generator)[:, 0]
    light = moved.sum((1, 2))
    places = torch.arange(41.0)
    for axis in (1, 2):
        offset = (moved.sum(3 - axis) * places).sum(1) / light - 20
        assert offset.abs().max() <= 0.2 * 41 + 1e-3
        assert offset.min() < -0.1 * 41
        assert offset.max() > 0.1 * 41


def test_zooming_keeps_the_centre_and_changes_size_no_more_than_asked(
    generator: torch.Generator,
) -> None:
    images = torch.zeros(60, 3, 81, 81)
    images[..., 20:61, 20:61] = 1
    moved = move_randomly(images, **{**STILL, "zoom": 0.3}, rng=generator)[:, 0]
    torch.testing.assert_close(moved, moved.flip(1, 2), atol=1e-3, rtol=0)
    sides = moved.sum((1, 2)).sqrt() / 41
    assert 0.68 < sides.min() < 0.8
    assert 1.2 < sides.max() < 1.32


def test_turning_keeps_a_disc_and_turns_a_bar_no_further_than_asked(
    generator: torch.Generator,
) -> None:
    images = torch.zeros(60, 3, 81, 81)
    images[:, :, 39:42, 41:78] = 1
    moved = move_randomly(images, **{**STILL, "turn": 30}, rng=generator)[:, 0]
    places = torch.arange(81.0) - 40
    light = moved.sum((1, 2))
    across = (moved.sum(1) * places).sum(1) / light
    down = (moved.sum(2) * places).sum(1) / light
    torch.testing.assert_close(
        (across**2 + down**2).sqrt(), torch.full((60,), 19.0), atol=0.1, rtol=0
    )
    angle = torch.atan2(down, across).rad2deg()
    assert angle.abs().max() < 30.5
    assert angle.min() < -15
    assert angle.max() > 15


def test_what_comes_in_at_the_edges_is_black(generator: torch.Generator) -> None:
    moved = move_randomly(torch.ones(30, 3, 20, 20), **{**STILL, "shift": 0.4}, rng=generator)
    assert moved.amin((1, 2, 3)).lt(0.01).sum() > 20


def test_light_changes_no_more_than_asked(generator: torch.Generator) -> None:
    lit = relight(torch.full((200, 3, 4, 4), 0.3), amount=0.3, rng=generator)
    # On an even grey only brightness and balance act, and saturation at most on the latter.
    assert lit.max() <= 0.3 * 1.3 * (1 + 0.1 * (1 + 2 * 0.3)) + 1e-6
    assert lit.mean((1, 2, 3)).max() > 0.3 * 1.15
    assert lit.mean((1, 2, 3)).min() < 0.3 * 0.85


def test_light_keeps_black_pictures_black(generator: torch.Generator) -> None:
    assert not relight(torch.zeros(5, 3, 4, 4), amount=0.9, rng=generator).any()


def changed(erased: Images, images: Images) -> Tensor:
    """The pixels that are not what they were."""
    return (erased != images).any(1)


def test_erasing_covers_the_chosen_share_of_pictures_and_no_other(
    generator: torch.Generator,
) -> None:
    images = torch.full((400, 3, 20, 20), -1.0)
    touched = changed(erase(images, share=0.3, largest=0.5, rng=generator), images)
    assert 80 < int(touched.any((1, 2)).sum()) < 160


def test_what_is_erased_is_one_even_rectangle_no_larger_than_asked(
    generator: torch.Generator,
) -> None:
    images = some(generator, count=60, height=40, width=60)
    erased = erase(images, share=1, largest=0.4, rng=generator)
    for picture, touched in zip(erased, changed(erased, images), strict=True):
        rows, columns = touched.any(1).nonzero()[:, 0], touched.any(0).nonzero()[:, 0]
        # A side between two pixels may take in one more of them.
        assert 0.1 * 40 - 1 <= len(rows) <= 0.4 * 40 + 1
        assert 0.1 * 60 - 1 <= len(columns) <= 0.4 * 60 + 1
        inside = picture[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        assert int(touched.sum()) == inside[0].numel()
        assert (inside == inside[:, :1, :1]).all()


def test_what_is_erased_becomes_any_colour(generator: torch.Generator) -> None:
    erased = erase(torch.full((20, 3, 9, 9), -1.0), share=1, largest=0.5, rng=generator)
    colours = erased.amax((2, 3))
    assert ((colours >= 0) & (colours <= 1)).all()
    assert (colours.amax(1) - colours.amin(1)).amax() > 0.2


@pytest.mark.parametrize("count", [0, 2, 3, 6])
def test_exactly_the_first_faces_wear_frames(
    generator: torch.Generator, glasses: Pixels, count: int
) -> None:
    faces = torch.rand(6, 3, 224, 224, generator=generator)
    worn = wear_some(faces, glasses, free(6, glasses), count=count, rng=generator)
    assert changed(worn, faces).any((1, 2)).tolist() == [True] * count + [False] * (6 - count)


def test_each_wearer_wears_one_of_its_frames_and_is_bare_elsewhere(
    generator: torch.Generator, glasses: Pixels
) -> None:
    faces = torch.rand(4, 3, 224, 224, generator=generator)
    choices = torch.tensor([[0, 1], [2, 2], [3, 7], [5, 1]])
    placed = place(from_pixels(glasses))
    inside = silhouette() == 1
    chosen = set()
    for seed in range(6):
        worn = wear_some(faces, glasses, choices, count=4, rng=seeded(seed))
        assert torch.equal(worn[..., silhouette() == 0], faces[..., silhouette() == 0])
        for number, face in enumerate(worn):
            near = [
                place
                for place, frame in enumerate(placed)
                if torch.allclose(face[:, inside], frame[:, inside], atol=1e-6)
            ]
            assert len(near) == 1
            assert near[0] in choices[number]
            chosen.add((number, near[0]))
    assert len(chosen) == 7


def test_frames_are_chosen_from_the_generator_given(
    generator: torch.Generator, glasses: Pixels
) -> None:
    faces = torch.rand(6, 3, 224, 224, generator=generator)
    choices = free(6, glasses)
    first = wear_some(faces, glasses, choices, count=6, rng=seeded(1))
    assert torch.equal(wear_some(faces, glasses, choices, count=6, rng=seeded(1)), first)
    assert not torch.equal(wear_some(faces, glasses, choices, count=6, rng=seeded(2)), first)
