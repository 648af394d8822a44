import pytest
import torch

from agns.accessory.mark_finding import find_marks
from agns.accessory.marks import MARKS
from agns.data.camera import Scene
from agns.data.synthetic import SyntheticConfig, synthetic_faces
from agns.data.wearer import WornPhotos, photograph_wearers
from agns.errors import ConfigError
from agns.geometry import transform_points


def wearers(count: int, *, seed: int = 0, strength: float = 1.0) -> WornPhotos:
    faces = synthetic_faces(SyntheticConfig(identities=1, photos=count)).faces(torch.arange(count))
    draws = torch.Generator().manual_seed(seed)
    return photograph_wearers(faces, draws=draws, strength=strength)


def test_marks_are_found_where_the_truth_has_them() -> None:
    worn = wearers(12)
    near = 0
    for photo, homography in zip(worn.photos, worn.homographies, strict=True):
        expected = transform_points(torch.tensor(MARKS), homography)
        near += float((find_marks(photo).centres - expected).norm(dim=-1).max()) < 1.5
    assert near >= 11


def test_a_plain_photo_wears_the_frame_where_the_canvas_has_it() -> None:
    worn = wearers(2, strength=0)
    assert worn.scenes == (Scene(), Scene())
    torch.testing.assert_close(worn.homographies, torch.eye(3).expand(2, 3, 3), atol=1e-3, rtol=0)


def test_photos_differ_and_come_from_the_generator_alone() -> None:
    first, again, other = wearers(3), wearers(3), wearers(3, seed=1)
    assert torch.equal(first.photos, again.photos)
    assert first.scenes == again.scenes
    assert not torch.equal(first.homographies, other.homographies)
    assert len(set(first.scenes)) == 3


def test_a_strength_out_of_range_is_refused() -> None:
    with pytest.raises(ConfigError, match="strength"):
        wearers(1, strength=1.5)
