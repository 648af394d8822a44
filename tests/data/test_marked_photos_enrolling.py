"""Somebody known only by photos with the marked frame on, made an identity to train on."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from agns.accessory.frame import frame_mask
from agns.data.face_folder import load_faces
from agns.data.known_photos import PHOTOGRAPHS
from agns.data.marked_photos import MarkedPhotos, load_marked_photos, write_enrolment
from agns.data.simulation.synthetic import SyntheticConfig, synthetic_faces
from agns.data.simulation.wearer import photograph_wearers
from agns.data.splits import craft_held_out_split, stratified_split
from agns.errors import ConfigError, DataError
from agns.images import write_image
from agns.storage import write_json
from agns.types import Glasses


@pytest.fixture(scope="module")
def marked(tmp_path_factory: pytest.TempPathFactory) -> MarkedPhotos:
    folder = tmp_path_factory.mktemp("marked") / "Anna"
    faces = synthetic_faces(SyntheticConfig(identities=1, photos=4)).faces(torch.arange(4))
    worn = photograph_wearers(faces, rng=torch.Generator().manual_seed(0), strength=0.3)
    for number, photo in enumerate(worn.photos):
        write_image(folder / f"{number}.png", photo)
    return load_marked_photos(folder, "Anna")


@pytest.fixture(scope="module")
def frames() -> Glasses:
    # Bright, so that what is covered can be told from what was worn, and each of its own colour.
    colors = torch.stack([torch.full((12,), 250), torch.arange(12) + 230, torch.full((12,), 240)])
    return (colors.T[:, :, None, None] * frame_mask()).to(torch.uint8)


@pytest.fixture(scope="module")
def written(
    tmp_path_factory: pytest.TempPathFactory, marked: MarkedPhotos, frames: Glasses
) -> Path:
    faces = tmp_path_factory.mktemp("written") / "faces"
    taken = write_enrolment(faces / "Anna", marked, frames, per_photo=5)
    assert len(taken) == 2
    others = synthetic_faces(SyntheticConfig(identities=1, photos=3, seed=9))
    for number in range(3):
        write_image(faces / "Bert" / f"{number}.png", others.faces(torch.tensor([number]))[0])
    return faces


@pytest.fixture
def root(tmp_path: Path, written: Path) -> Path:
    """A copy for each test to do with as it likes."""
    return shutil.copytree(written, tmp_path / "faces")


def test_each_photo_is_written_with_several_frames_over_the_worn_one(
    root: Path, marked: MarkedPhotos
) -> None:
    enrolled = load_faces(root)
    own = enrolled.of("Anna")
    assert len(own) == 10
    photos = {digest: at for at, digest in enumerate(marked.faces.digests)}
    for place in range(10):
        rows, columns = marked.marks[photos[own.digests[place]]].round().long().mT.flip(0)
        seen = own.faces(torch.tensor([place]))[0]
        assert float(seen[:, rows, columns].min()) > 0.85, "every mark is covered"
    shades = {int(picture[1, 60:110][picture[0, 60:110] >= 249].max()) for picture in own.pixels}
    assert len(shades) == 10, "each wears another frame"


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


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"per_photo": 0}, "takes two photos at least"),
        ({"most": 1}, "takes two photos at least"),
        ({"per_photo": 7}, "2 photos with 7 frames each need 14 of them, and there are 12"),
    ],
)
def test_what_cannot_be_enrolled_is_refused(
    tmp_path: Path, marked: MarkedPhotos, frames: Glasses, settings: dict[str, int], complaint: str
) -> None:
    with pytest.raises(ConfigError, match=complaint):
        write_enrolment(tmp_path / "Anna", marked, frames, **settings)


def test_a_few_photos_leave_nothing_to_test_on(
    tmp_path: Path, marked: MarkedPhotos, frames: Glasses
) -> None:
    two = replace(
        marked, faces=marked.faces.subset(torch.arange(2)),
        placement=marked.placement.part(torch.arange(2)),
    )  # fmt: skip
    with pytest.raises(DataError, match="half of the 2 photos of Anna are fewer than two"):
        write_enrolment(tmp_path / "Anna", two, frames)


def test_what_a_killed_run_leaves_is_known_for_what_it_is(
    tmp_path: Path, marked: MarkedPhotos, frames: Glasses
) -> None:
    def kill(done: int, total: int, figures: object) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_enrolment(tmp_path / "faces/Anna", marked, frames, progress=kill, per_photo=2)
    left = load_faces(tmp_path / "faces")
    assert len(left) == 3
    assert set(left.digests) <= set(marked.faces.digests)


def test_pictures_are_known_under_other_names_and_in_an_inner_folder(
    root: Path, marked: MarkedPhotos
) -> None:
    inner = root / "Anna" / "aligned"
    inner.mkdir()
    for path in (root / "Anna").glob("*.*"):
        path.rename(inner / path.name)
    (inner / "001.png").rename(inner / "other.png")
    enrolled = load_faces(root)
    own = enrolled.of("Anna")
    assert len(own) == 10
    assert set(own.digests) <= set(marked.faces.digests)


def test_another_picture_under_a_name_on_record_is_refused(root: Path) -> None:
    (root / "Bert" / "0.png").replace(root / "Anna" / "003.png")
    with pytest.raises(DataError, match=r"003\.png is not the picture of this name"):
        load_faces(root)


@pytest.mark.parametrize(
    "row", [{"photo": "001.png"}, {"photo": "001.png", "digest": None}, "001.png", {"a": 1}]
)
def test_a_record_that_tells_nothing_is_refused(root: Path, row: object) -> None:
    write_json(root / "Anna" / PHOTOGRAPHS, {"photographs": [row]})
    with pytest.raises(DataError, match="does not say what each picture is of"):
        load_faces(root)
