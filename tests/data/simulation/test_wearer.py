import functools
from pathlib import Path

import pytest
import torch

from agns.accessory.mark_finding import find_marks
from agns.accessory.marks import MARKS
from agns.data.faces import FaceSet
from agns.data.marked_photos import load_marked_photos
from agns.data.simulation.camera import Scene
from agns.data.simulation.synthetic import SyntheticConfig, synthetic_faces
from agns.data.simulation.wearer import WornPhotos, photograph_wearers, write_wearer
from agns.data.splits import craft_held_out_split
from agns.errors import ConfigError
from agns.geometry import transform_points


@functools.cache
def drawn() -> FaceSet:
    return synthetic_faces(SyntheticConfig(identities=1, photos=8))


def wearers(count: int, *, seed: int = 0, strength: float = 1.0) -> WornPhotos:
    faces = drawn().faces(torch.arange(count))
    draws = torch.Generator().manual_seed(seed)
    return photograph_wearers(faces, rng=draws, strength=strength)


def test_marks_are_found_where_the_truth_has_them() -> None:
    worn = wearers(8)
    near = 0
    for photo, homography in zip(worn.photos, worn.homographies, strict=True):
        expected = transform_points(torch.tensor(MARKS), homography)
        near += float((find_marks(photo).centres - expected).norm(dim=-1).max()) < 1.5
    assert near >= 7


def test_a_plain_photo_wears_the_frame_where_the_canvas_has_it() -> None:
    worn = wearers(2, strength=0)
    assert worn.scenes == (Scene(), Scene())
    torch.testing.assert_close(worn.homographies, torch.eye(3).expand(2, 3, 3), atol=1e-3, rtol=0)


def test_photos_differ_and_come_from_the_generator_alone() -> None:
    first, again, other = wearers(2), wearers(2), wearers(2, seed=1)
    assert torch.equal(first.photos, again.photos)
    assert first.scenes == again.scenes
    assert not torch.equal(first.homographies, other.homographies)
    assert len(set(first.scenes)) == 2


def test_a_strength_out_of_range_is_refused() -> None:
    with pytest.raises(ConfigError, match="strength"):
        wearers(1, strength=1.5)


def test_photos_know_what_they_are_of_so_that_none_is_crafted_and_scored_on(
    tmp_path: Path,
) -> None:
    faces = drawn().subset(torch.arange(5))
    copied = faces.subset(torch.tensor([0, 1, 2, 3, 4, 1, 1]))
    subject = faces.identities[0]
    written = write_wearer(
        tmp_path / "worn", copied, subject, seen={faces.digests[4]}, most=9,
        rng=torch.Generator().manual_seed(0), strength=0.3,
    )  # fmt: skip
    assert written == 4
    marked = load_marked_photos(tmp_path / "worn", subject)
    assert marked.faces.digests == faces.digests[:4]
    split = craft_held_out_split(marked.faces, subject=subject, seen={faces.digests[2]})
    assert split.first.tolist() == [2]
