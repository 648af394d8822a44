"""One picture saved twice is known; two pictures of one person are not taken for one."""

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image as PilImage

from agns.data.faces import FaceSet, faces_from_pixels
from agns.data.simulation.synthetic import SyntheticConfig, synthetic_faces
from agns.data.twins import count_saved_anew, find_twins, were_seen


def again(picture: torch.Tensor) -> torch.Tensor:
    """A picture as a smaller JPEG, back in its size."""
    stored = io.BytesIO()
    small = PilImage.fromarray(picture.permute(1, 2, 0).numpy()).resize((150, 150))
    small.save(stored, "JPEG", quality=60)
    decoded = np.asarray(PilImage.open(stored).resize((224, 224)))
    return torch.from_numpy(decoded.copy()).permute(2, 0, 1)


def saved_anew(faces: FaceSet) -> FaceSet:
    """The photos, and after them each one saved anew under another name."""
    pixels = torch.cat([faces.pixels, torch.stack([again(one) for one in faces.pixels])])
    photos = [*faces.photos, *(f"{name}.again.jpg" for name in faces.photos)]
    return faces_from_pixels(pixels, faces.labels.repeat(2), faces.identities, photos)


@pytest.fixture(scope="module")
def faces() -> FaceSet:
    return synthetic_faces(SyntheticConfig(identities=2, photos=3))


def test_photos_of_one_person_are_no_twins(faces: FaceSet) -> None:
    assert find_twins(faces).tolist() == list(range(6))


def test_a_photo_saved_anew_is_a_twin(faces: FaceSet) -> None:
    twice = saved_anew(faces)
    twins = find_twins(twice)
    assert twins.tolist() == [*range(6), *range(6)]
    assert count_saved_anew(twice, twins) == 6


def test_a_lighter_photo_is_a_twin_and_one_colour_is_like_nothing(faces: FaceSet) -> None:
    plain = torch.full((2, 3, 224, 224), 128, dtype=torch.uint8)
    plain[1, 0, 0, 0] = 129
    pixels = torch.cat([faces.pixels[:1], 120 + faces.pixels[:1] // 2, plain])
    mixed = faces_from_pixels(pixels, torch.zeros(4).long(), ["Ann"], list("abcd"))
    assert find_twins(mixed).tolist() == [0, 0, 2, 3]


def test_equal_digests_are_twins_but_not_saved_anew(faces: FaceSet) -> None:
    copied = replace(faces, digests=("same", "same", *faces.digests[2:]))
    twins = find_twins(copied)
    assert twins.tolist() == [0, 0, 2, 3, 4, 5]
    assert count_saved_anew(copied, twins) == 0


def test_who_was_trained_on_a_photo_has_seen_it_saved_anew(faces: FaceSet) -> None:
    seen = {faces.digests[1], "another"}
    assert were_seen(saved_anew(faces), seen).nonzero()[:, 0].tolist() == [1, 7]
