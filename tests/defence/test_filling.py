"""A region is filled from the rest alone."""

from typing import get_args

import pytest
import torch

from agns.defence.filling import Filling, fill
from agns.defence.placements import Placements, covering_region
from agns.types import Faces

FILLINGS = get_args(Filling)


@pytest.fixture(scope="module")
def region() -> torch.Tensor:
    return covering_region(Placements(x=(-3, 3)), dilation=2)


@pytest.mark.parametrize("filling", FILLINGS)
def test_what_the_region_held_changes_nothing(
    filling: Filling, region: torch.Tensor, photos: Faces, generator: torch.Generator
) -> None:
    filled = fill(photos, region, filling)
    for held in (0.0, 1.0, torch.rand(photos.shape, generator=generator), torch.nan, torch.inf):
        other = torch.where(region, torch.as_tensor(held), photos)
        assert torch.equal(fill(other, region, filling), filled)
    assert torch.equal(filled[..., ~region], photos[..., ~region])
    assert 0 <= float(filled.min()) <= float(filled.max()) <= 1


@pytest.mark.parametrize("filling", FILLINGS)
def test_the_gradient_in_the_region_is_exactly_0(
    filling: Filling, region: torch.Tensor, photos: Faces, generator: torch.Generator
) -> None:
    leaf = photos.clone().requires_grad_()
    weights = torch.randn(photos.shape, generator=generator)
    (fill(leaf, region, filling) * weights).sum().backward()
    assert leaf.grad is not None
    assert not bool(leaf.grad[..., region].any())
    assert bool(leaf.grad[..., ~region].any())


def test_diffusion_runs_between_the_colours_of_the_border() -> None:
    ramp = torch.linspace(0, 1, 224)[:, None].expand(224, 224).expand(1, 3, 224, 224)
    region = torch.zeros(224, 224, dtype=torch.bool)
    region[80:120, 60:160] = True
    filled = fill(ramp, region, "diffusion")
    assert float((filled - ramp).abs().max()) < 0.05
    flat = fill(torch.full((1, 3, 224, 224), 0.3), region, "diffusion")
    assert torch.allclose(flat, torch.tensor(0.3), atol=1e-6)


def test_mean_and_grey_are_what_they_say(photos: Faces, region: torch.Tensor) -> None:
    mean = photos[..., ~region].mean(2)
    filled = fill(photos, region, "mean")[..., region]
    assert torch.allclose(filled, mean[..., None].expand_as(filled), atol=1e-5)
    assert bool((fill(photos, region, "grey")[..., region] == 0.5).all())


def test_a_face_that_is_wholly_masked_is_still_filled() -> None:
    everything = torch.ones(224, 224, dtype=torch.bool)
    for filling in FILLINGS:
        assert bool(fill(torch.rand(1, 3, 224, 224), everything, filling).isfinite().all())


def test_faces_may_have_a_region_each(photos: Faces, generator: torch.Generator) -> None:
    regions = torch.rand(len(photos), 1, 1, 224, generator=generator) > 0.5
    regions = regions.expand(-1, 1, 224, -1)
    together = fill(photos, regions)
    for at in range(len(photos)):
        assert torch.allclose(together[at : at + 1], fill(photos[at : at + 1], regions[at, 0]))
