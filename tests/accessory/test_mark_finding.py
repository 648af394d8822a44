from pathlib import Path

import pytest
import torch

from agns.accessory.mark_finding import find_marks, find_marks_in_each
from agns.images import read_image

DATA = Path(__file__).resolve().parents[2].parent / "shared/data"
PHYSICAL = DATA / "agns/physical"
PLACED = {
    1: [(31.6, 67.7), (112.0, 65.8), (193.4, 61.4),
        (50.0, 104.5), (95.1, 96.4), (134.8, 96.1), (178.9, 97.5)],
    2: [(35.0, 67.5), (116.8, 66.5), (196.8, 63.4),
        (53.2, 104.6), (98.8, 97.4), (138.9, 97.2), (181.9, 99.2)],
    3: [(37.7, 64.5), (117.9, 64.4), (195.0, 63.5),
        (55.3, 101.6), (100.4, 95.3), (139.3, 96.0), (180.9, 98.5)],
    4: [(31.7, 64.4), (112.5, 62.4), (193.5, 59.6),
        (49.3, 101.4), (95.0, 93.4), (134.8, 93.9), (178.9, 95.6)],
    5: [(32.9, 66.4), (111.9, 64.5), (192.9, 61.5),
        (50.3, 103.1), (94.5, 95.8), (134.1, 95.8), (177.7, 97.4)],
    6: [(33.0, 66.4), (113.3, 65.5), (194.3, 61.8),
        (50.9, 103.5), (95.9, 96.2), (135.4, 96.1), (179.2, 97.8)],
}  # fmt: skip
"""Where the marks' centres are in the six photos, placed by eye on a 14-fold enlargement."""

real_photos = pytest.mark.skipif(not PHYSICAL.is_dir(), reason=f"needs the photos in {PHYSICAL}")


@real_photos
@pytest.mark.parametrize("number", PLACED)
def test_the_marks_of_a_real_photo_are_found_where_a_person_puts_them(number: int) -> None:
    path = PHYSICAL / f"aligned_vgg_ms{number}.png"
    found = find_marks(read_image(path), name=str(path))
    off = (found.centres - torch.tensor(PLACED[number])).norm(dim=1)
    assert float(off.max()) <= 1.5
    assert found.confidence >= 0.8


@real_photos
def test_a_batch_gives_what_its_photos_give_alone() -> None:
    photos = [read_image(PHYSICAL / f"aligned_vgg_ms{number}.png") for number in (1, 2, 3)]
    together = find_marks_in_each(torch.stack(photos))
    for photo, found in zip(photos, together, strict=True):
        alone = find_marks(photo)
        assert torch.equal(found.centres, alone.centres)
        assert found.confidence == alone.confidence
