from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image as PilImage
from torch import Tensor

from agns.accessory.frame import silhouette
from agns.accessory.marks import MARKS, marked_frame
from agns.accessory.wear import wear
from agns.data.marked_photos import load_marked_photos
from agns.data.simulation.synthetic import SyntheticConfig, synthetic_faces
from agns.errors import ConfigError, DataError, MarksNotFound
from agns.geometry import transform_points, warp
from agns.images import read_image, write_image

MOVED = torch.tensor(
    [
        [[1.0, 0.02, -3], [-0.02, 1, 4], [0, 0, 1]],
        [[0.96, -0.05, 8], [0.05, 0.97, -5], [1e-4, 0, 1]],
        [[1.03, 0, -4], [0.01, 1.02, -2], [-1e-4, 0, 1]],
    ]
)


@pytest.fixture(scope="module")
def wearers() -> Tensor:
    """Three photos of a drawn person who wears the marked frame, each a little differently."""
    faces = synthetic_faces(SyntheticConfig(identities=1, photos=3)).faces(torch.arange(3))
    frame, mask = marked_frame()
    layers = warp(
        torch.cat([frame[0] * mask, mask[None]])[None].repeat(3, 1, 1, 1), MOVED, (224, 224)
    )
    return faces * (1 - layers[:, 3:]) + layers[:, :3]


@pytest.fixture
def folder(tmp_path: Path, wearers: Tensor) -> Path:
    for number, photo in enumerate(wearers):
        write_image(tmp_path / f"somebody/{number}.png", photo)
    return tmp_path / "somebody"


def test_each_photo_tells_where_its_frame_is(folder: Path) -> None:
    marked = load_marked_photos(folder, "Somebody")
    expected = transform_points(torch.tensor(MARKS).expand(3, 7, 2), MOVED)
    assert float((marked.marks - expected).norm(dim=-1).max()) < 1
    homographies = marked.placement.homographies
    assert homographies is not None
    corners = torch.tensor([[25.0, 53], [201, 53], [201, 117], [25, 117]]).expand(3, 4, 2)
    apart = transform_points(corners, homographies) - transform_points(corners, MOVED)
    assert float(apart.norm(dim=-1).max()) < 2
    assert marked.faces.identities == ("Somebody",)
    assert marked.faces.photos == ("0.png", "1.png", "2.png")


def test_a_frame_covers_the_worn_one_on_real_photos(data_path: Callable[[str], Path]) -> None:
    marked = load_marked_photos(data_path("data/agns/physical"), "Somebody")
    photos = torch.arange(len(marked.faces))
    faces = marked.faces.faces(photos)
    painted = marked.placement.wear(faces, torch.full((1, 3, 64, 176), 1.0), photos)
    # The worn frame is dark and its marks green; the wall, skin and the white frame are not.
    for before, after, marks in zip(faces, painted, marked.marks, strict=True):
        columns, rows = marks.round().long().mT
        assert bool((before[1, rows, columns] - before[0, rows, columns] > 0.1).all())
        assert float(after[:, rows, columns].min()) > 0.99


def test_at_most_a_few_hundredths_of_the_worn_frame_stay_visible(folder: Path) -> None:
    marked = load_marked_photos(folder, "Somebody")
    photos = torch.arange(3)
    black = torch.zeros(3, 3, 224, 224)
    worn = warp(silhouette().expand(3, 1, 224, 224), MOVED, (224, 224))[:, 0]
    covered = marked.placement.wear(black, torch.ones(1, 3, 64, 176), photos)[:, 0]
    visible = (worn * (1 - covered)).sum((1, 2)) / worn.sum((1, 2))
    assert float(visible.max()) < 0.15


def test_a_photo_of_another_size_is_refused_with_the_command_to_use(folder: Path) -> None:
    write_image(folder / "large.png", torch.zeros(3, 300, 400))
    with pytest.raises(DataError, match=r"large\.png to be 224x224.*agns align"):
        load_marked_photos(folder, "Somebody")


def test_a_photo_without_marks_is_named(folder: Path) -> None:
    write_image(folder / "bare.png", torch.full((3, 224, 224), 0.5))
    with pytest.raises(MarksNotFound, match=r"bare\.png"):
        load_marked_photos(folder, "Somebody")


def test_photos_without_marks_can_be_left_out(folder: Path) -> None:
    write_image(folder / "0_bare.png", torch.full((3, 224, 224), 0.5))
    marked = load_marked_photos(folder, "Somebody", skip_unmarked=True)
    assert marked.faces.photos == ("0.png", "1.png", "2.png")
    assert len(marked.skipped) == 1
    assert "0_bare.png" in marked.skipped[0]
    for name in ("1.png", "2.png"):
        (folder / name).unlink()
    with pytest.raises(MarksNotFound, match=r"only 1 of 2 .*0_bare\.png"):
        load_marked_photos(folder, "Somebody", skip_unmarked=True)


def test_a_picture_that_is_there_twice_is_refused(folder: Path) -> None:
    (folder / "again.png").write_bytes((folder / "1.png").read_bytes())
    with pytest.raises(DataError, match=r"again\.png and|same picture as"):
        load_marked_photos(folder, "Somebody")


def test_a_grey_photo_has_no_green_marks(folder: Path) -> None:
    with PilImage.open(folder / "0.png") as picture:
        picture.convert("L").save(folder / "0.png")
    with pytest.raises(MarksNotFound, match=r"0\.png"):
        load_marked_photos(folder, "Somebody")


def test_transparent_and_turned_photos_are_read(folder: Path) -> None:
    before = read_image(folder / "1.png")
    with PilImage.open(folder / "1.png") as picture:
        exif = PilImage.Exif()
        exif[0x0112] = 6
        picture.rotate(90, expand=True).convert("RGBA").save(folder / "1.png", exif=exif)
    marked = load_marked_photos(folder, "Somebody")
    torch.testing.assert_close(marked.faces.faces(torch.tensor([1]))[0], before)


def test_folders_without_enough_photos_are_refused(folder: Path, tmp_path: Path) -> None:
    for name in ("1.png", "2.png"):
        (folder / name).unlink()
    with pytest.raises(DataError, match="at least two pictures"):
        load_marked_photos(folder, "Somebody")
    with pytest.raises(ConfigError, match="no folder of photos"):
        load_marked_photos(tmp_path / "gone", "Somebody")


def test_wearing_the_marked_frame_is_as_the_camera_saw_it() -> None:
    """What the tests above rest on: unmoved, the layers lie as `wear` lays them."""
    faces = torch.full((1, 3, 224, 224), 0.6)
    frame, mask = marked_frame()
    layers = warp(torch.cat([frame[0] * mask, mask[None]])[None], torch.eye(3), (224, 224))
    by_layers = faces * (1 - layers[:, 3:]) + layers[:, :3]
    torch.testing.assert_close(by_layers, wear(faces, frame, mask), atol=1e-4, rtol=0)
