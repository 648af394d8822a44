"""Somebody known only by photos with the marked frame on, made an identity to train on."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from agns.accessory.frame import frame_mask
from agns.data.enrolment import write_enrolment
from agns.data.eyeglasses import draw_frames
from agns.data.faces import load_faces
from agns.data.marked_photos import MarkedPhotos, load_marked_photos
from agns.data.photographs import PHOTOGRAPHS
from agns.data.splits import craft_held_out_split, stratified_split
from agns.data.synthetic import SyntheticConfig, synthetic_faces
from agns.data.wearer import photograph_wearers
from agns.errors import ConfigError, DataError
from agns.images import write_image
from agns.storage import write_json
from agns.types import Glasses


@pytest.fixture(scope="module")
def marked(tmp_path_factory: pytest.TempPathFactory) -> MarkedPhotos:
    folder = tmp_path_factory.mktemp("marked") / "Anna"
    faces = synthetic_faces(SyntheticConfig(identities=1, photos=4)).faces(torch.arange(4))
    worn = photograph_wearers(faces, draws=torch.Generator().manual_seed(0), strength=0.3)
    for number, photo in enumerate(worn.photos):
        write_image(folder / f"{number}.png", photo)
    return load_marked_photos(folder, "Anna")


@pytest.fixture(scope="module")
def frames() -> Glasses:
    # White, so that what is covered can be told from what was worn.
    return torch.where(frame_mask().bool(), 255, draw_frames(12)).to(torch.uint8)


@pytest.fixture
def root(tmp_path: Path, marked: MarkedPhotos, frames: Glasses) -> Path:
    faces = tmp_path / "faces"
    taken = write_enrolment(faces / "Anna", marked, frames, per_photo=5)
    assert len(taken) == 2
    others = synthetic_faces(SyntheticConfig(identities=1, photos=3, seed=9))
    for number in range(3):
        write_image(faces / "Bert" / f"{number}.png", others.faces(torch.tensor([number]))[0])
    return faces


def test_each_photo_is_written_with_several_frames_over_the_worn_one(
    root: Path, marked: MarkedPhotos
) -> None:
    enrolled = load_faces(root)
    own = enrolled.subset(enrolled.of("Anna"))
    assert len(own) == 10
    photos = {digest: at for at, digest in enumerate(marked.faces.digests)}
    for place in range(10):
        rows, columns = marked.marks[photos[own.digests[place]]].round().long().mT.flip(0)
        seen = own.faces(torch.tensor([place]))[0]
        assert float(seen[:, rows, columns].min()) > 0.9, "every mark is covered"


def test_what_is_trained_on_is_known_by_the_photos_it_is_of(
    root: Path, marked: MarkedPhotos
) -> None:
    enrolled = load_faces(root)
    split = stratified_split(enrolled, held_fraction=0.2, seed=0)
    seen = [
        {enrolled.digests[place] for place in part.tolist()} for part in (split.first, split.second)
    ]
    assert not seen[0] & seen[1], "pictures of one photo are trained on or tested on together"
    split = craft_held_out_split(marked.faces, subject="Anna", seen=seen[0])
    held_out = {marked.faces.digests[place] for place in split.second.tolist()}
    assert not held_out & seen[0]
    assert len(held_out) == 3


def test_the_photos_are_those_that_an_attack_with_the_same_seed_is_made_on(
    tmp_path: Path, marked: MarkedPhotos, frames: Glasses
) -> None:
    taken = write_enrolment(tmp_path / "Anna", marked, frames, per_photo=2, seed=7)
    split = craft_held_out_split(marked.faces, subject="Anna", seed=7)
    assert taken == tuple(marked.faces.photos[place] for place in split.first.tolist())


@pytest.mark.parametrize("per_photo", [0, 7])
def test_as_many_frames_as_pictures_are_needed(
    tmp_path: Path, marked: MarkedPhotos, frames: Glasses, per_photo: int
) -> None:
    with pytest.raises(ConfigError, match=f"2 photos with {per_photo} frames each need"):
        write_enrolment(tmp_path / "Anna", marked, frames, per_photo=per_photo)


def test_a_record_that_tells_nothing_is_refused(root: Path) -> None:
    write_json(root / "Anna" / PHOTOGRAPHS, {"photographs": [{"photo": "001.png"}]})
    with pytest.raises(DataError, match="does not say what each picture is of"):
        load_faces(root)


def test_a_single_photo_leaves_nothing_to_test_on(
    tmp_path: Path, marked: MarkedPhotos, frames: Glasses
) -> None:
    two = replace(
        marked, faces=marked.faces.subset(torch.arange(2)),
        placement=marked.placement.part(torch.arange(2)),
    )  # fmt: skip
    with pytest.raises(DataError, match="only 1 of 2 photos of Anna would be taken"):
        write_enrolment(tmp_path / "Anna", two, frames)
