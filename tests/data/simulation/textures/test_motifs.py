"""Motifs scattered over a frame."""

import numpy as np
import pytest

from agns.data.simulation.textures.fields import banded, relief
from agns.data.simulation.textures.motifs import (
    CELLS,
    PATCHES,
    SITES,
    Motifs,
    Shape,
    chips,
    discs,
    lobed,
    rods,
    scatter,
)  # fmt: skip


def rng() -> np.random.Generator:
    return np.random.default_rng(4)


def size(pixels: float) -> np.ndarray:
    return np.full(SITES, pixels, np.float32)


def positions(motifs: Motifs) -> np.ndarray:
    """Where each pixel's site lies, as (column, row)."""
    return np.stack([relief().column - motifs.x, relief().row - motifs.y], 1)


def test_a_pixel_belongs_to_the_cell_of_the_nearest_site() -> None:
    motifs = scatter(rng(), 9, CELLS, jitter=0.25)
    pixels = np.stack([relief().column, relief().row], 1)
    sites = positions(motifs)[np.unique(motifs.site, return_index=True)[1]]
    away = np.sort(np.linalg.norm(pixels[:, None] - sites, axis=-1), axis=1)
    assert np.allclose(-motifs.depth, away[:, 0], atol=0.01)
    # A site that owns no pixel of the frame may be the second nearest.
    further = away[:, 1] - away[:, 0] - motifs.gap
    assert float(further.min()) > -0.01
    assert float((further < 0.01).mean()) > 0.8


def test_patches_without_jitter_are_squares() -> None:
    motifs = scatter(rng(), 8, PATCHES, jitter=0, stagger=0)
    assert float(np.abs([motifs.x, motifs.y]).max()) <= 4 + 1e-3
    assert len(np.unique(motifs.site)) > 60


def test_a_site_is_the_same_all_over_its_motif() -> None:
    motifs = scatter(rng(), 8, CELLS)
    for site in np.unique(motifs.site)[:20]:
        own = positions(motifs)[motifs.site == site]
        assert np.allclose(own, own[0], atol=1e-2)


@pytest.mark.parametrize(
    ("shape", "reach"),
    [
        (discs(size(3)), 3),
        (lobed(rng(), size(3), (5, 2), 0.2), 3),
        (rods(size(0.5), size(2), size(1)), 3),
        (chips(rng(), size(2)), 5),
    ],
)
def test_motifs_lie_within_their_reach(shape: Shape, reach: float) -> None:
    motifs = scatter(rng(), 9, shape)
    inside = motifs.depth > 0
    assert 0.05 < inside.mean() < 0.6
    assert float(np.hypot(motifs.x, motifs.y)[inside].max()) <= reach
    assert set(np.unique(motifs.cover[motifs.depth < -0.6])) == {0}
    assert motifs.cover.max() == 1


def test_motifs_turn_with_the_lattice() -> None:
    level = scatter(rng(), 9, rods(size(0), size(4), size(1)), jitter=0)
    upright = scatter(rng(), 9, rods(size(0), size(4), size(1)), jitter=0, angle=np.pi / 2)
    for motifs in (level, upright):
        inside = motifs.depth > 0
        assert np.abs(motifs.x[inside]).max() > 3
        assert np.abs(motifs.y[inside]).max() <= 1


def test_bands_are_as_wide_as_they_are_told_to_be_and_come_again() -> None:
    colours = np.eye(3, dtype=np.float32)
    bands = banded(colours, np.array([2, 3, 5], np.float32), np.arange(0.5, 40.5, dtype=np.float32))
    assert np.allclose(bands[:10].sum(0), [2, 3, 5], atol=0.01)
    assert np.allclose(bands[:10], bands[10:20])
