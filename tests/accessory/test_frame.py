from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from agns.accessory.frame import (
    FRAME_COLUMNS,
    FRAME_ROWS,
    FRAME_SIZE,
    crop,
    frame_mask,
    outlines,
    place,
    silhouette,
)
from agns.errors import ImageContractError


@pytest.fixture
def frames() -> torch.Tensor:
    return torch.rand(2, 3, *FRAME_SIZE, generator=torch.Generator().manual_seed(0))


def test_silhouette_is_binary() -> None:
    mask = silhouette()
    assert mask.shape == (224, 224)
    assert mask.dtype == torch.float32
    assert set(mask.unique().tolist()) == {0.0, 1.0}


def test_silhouette_covers_six_and_a_half_to_seven_hundredths_of_the_face() -> None:
    assert 0.065 <= float(silhouette().mean()) <= 0.069


def test_silhouette_overlaps_the_reference_mask(data_path: Callable[[str], Path]) -> None:
    published = data_path("data/agns/eyeglasses_mask_6percent.png")
    reference = torch.from_numpy(np.asarray(Image.open(published).convert("L")) > 127)
    drawn = silhouette() > 0.5
    assert float((drawn & reference).sum() / (drawn | reference).sum()) >= 0.9


def test_silhouette_is_its_own_mirror_image() -> None:
    assert torch.equal(silhouette(), silhouette().flip(1))


def test_silhouette_encloses_two_lenses() -> None:
    open_space = silhouette() == 0
    seen = torch.zeros_like(open_space)
    regions = 0
    while bool((open_space & ~seen).any()):
        row, column = (open_space & ~seen).nonzero()[0].tolist()
        region = torch.zeros_like(open_space)
        region[row, column] = True
        while True:
            grown = region.clone()
            grown[1:] |= region[:-1]
            grown[:-1] |= region[1:]
            grown[:, 1:] |= region[:, :-1]
            grown[:, :-1] |= region[:, 1:]
            grown &= open_space
            if torch.equal(grown, region):
                break
            region = grown
        seen |= region
        regions += 1
    assert regions == 3


def test_silhouette_stays_within_the_crop() -> None:
    outside = silhouette()
    outside[slice(*FRAME_ROWS), slice(*FRAME_COLUMNS)] = 0
    assert not outside.any()


def test_silhouette_cannot_be_changed_by_its_callers() -> None:
    silhouette().zero_()
    frame_mask().zero_()
    assert silhouette().any()
    assert frame_mask().any()


def test_frame_mask_is_the_silhouette_within_the_crop() -> None:
    mask = frame_mask()
    assert mask.shape == FRAME_SIZE == (64, 176)
    assert torch.equal(mask, silhouette()[53:117, 25:201])


def test_place_puts_the_crop_on_black(frames: torch.Tensor) -> None:
    canvases = place(frames)
    assert canvases.shape == (2, 3, 224, 224)
    assert torch.equal(canvases[:, :, 53:117, 25:201], frames)
    canvases[:, :, 53:117, 25:201] = 0
    assert not canvases.any()


def test_crop_undoes_place(frames: torch.Tensor) -> None:
    assert torch.equal(crop(place(frames)), frames)


def test_place_passes_gradients_to_the_crop_alone(frames: torch.Tensor) -> None:
    frames.requires_grad_()
    weights = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    (gradient,) = torch.autograd.grad((place(frames) * weights).sum(), frames)
    assert torch.equal(gradient, weights[:, :, 53:117, 25:201])


def test_place_refuses_frames_of_another_size() -> None:
    with pytest.raises(ImageContractError, match=r"\(batch, 3, 64, 176\), got \(1, 3, 64, 175\)"):
        place(torch.zeros(1, 3, 64, 175))


def test_crop_refuses_canvases_of_another_size() -> None:
    with pytest.raises(ImageContractError, match=r"\(batch, 3, 224, 224\), got \(1, 3, 96, 96\)"):
        crop(torch.zeros(1, 3, 96, 96))


def test_outlines_enclose_the_silhouette_and_lenses_are_holes_whichever_rule_fills() -> None:
    outer, right, left = outlines()
    areas = [
        float((x * y.roll(-1) - y * x.roll(-1)).sum() / 2)
        for x, y in (one.unbind(1) for one in (outer, right, left))
    ]
    assert areas[1] == pytest.approx(areas[2])
    assert areas[0] * areas[1] < 0
    assert abs(sum(areas)) == pytest.approx(float(silhouette().sum()), rel=0.01)
