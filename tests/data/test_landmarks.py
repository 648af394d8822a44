from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from agns.data.alignment import align, alignment
from agns.data.assets import ASSETS
from agns.data.landmarks import (
    MEDIAPIPE_POINTS,
    MediaPipeLandmarker,
    landmarker_model,
    largest_first,
    read_landmarks,
    write_landmarks,
)
from agns.errors import ConfigError, DataError
from agns.geometry import transform_points
from agns.images import read_image
from agns.storage import write_text

SHARED = Path(__file__).parents[2].parent / "shared"
PORTRAIT = SHARED / "data/agns/portrait"
MODEL = SHARED / "models/face_landmarker.task"


@pytest.fixture(scope="module")
def landmarker() -> MediaPipeLandmarker:
    return MediaPipeLandmarker(MODEL)


def test_the_portraits_landmarks_lie_near_the_supplied_ones(
    landmarker: MediaPipeLandmarker,
) -> None:
    (found,) = landmarker(read_image(PORTRAIT / "brad_pitt.jpg"))
    supplied = read_landmarks(PORTRAIT / "Fast_Marks_brad_pitt.jpg.csv", first=1)
    between_eyes = (supplied[36:42].mean(0) - supplied[42:48].mean(0)).norm()
    distance = (found - supplied).norm(dim=1) / between_eyes
    assert float(distance[17:].mean()) <= 0.04
    assert float(distance[:17].mean()) <= 0.08


def test_the_aligned_portrait_lies_as_the_originals_does(landmarker: MediaPipeLandmarker) -> None:
    portrait = read_image(PORTRAIT / "brad_pitt.jpg")
    ours = align(portrait, landmarker(portrait)[0])
    (found,) = landmarker(ours)
    (reference,) = landmarker(read_image(PORTRAIT / "aligned_vgg_brad_pitt.jpg"))
    rms = (found - reference).square().sum(1).mean().sqrt()
    assert float(rms) <= 3


def test_supplied_and_found_landmarks_align_alike(landmarker: MediaPipeLandmarker) -> None:
    portrait = read_image(PORTRAIT / "brad_pitt.jpg")
    supplied = read_landmarks(PORTRAIT / "Fast_Marks_brad_pitt.jpg.csv", first=1)
    (found,) = landmarker(portrait)
    apart = transform_points(supplied, alignment(found)) - transform_points(
        supplied, alignment(supplied)
    )
    assert float(apart.square().sum(1).mean().sqrt()) <= 3


def test_each_landmark_has_a_point_of_its_own() -> None:
    assert len(MEDIAPIPE_POINTS) == len(set(MEDIAPIPE_POINTS)) == 68


def test_a_face_that_fills_its_picture_is_found(landmarker: MediaPipeLandmarker) -> None:
    photos = sorted((SHARED / "data/lfw143").glob("A*/*.jpg"))[::20]
    for photo in photos:
        # The central 120 pixels hold the face from brow to chin.
        tight = read_image(photo)[:, 65:185, 65:185].contiguous()
        whole = landmarker(read_image(photo))[0] - 65
        assert len(landmarker(tight))
        assert float((landmarker(tight)[0] - whole).norm(dim=1).mean()) < 4


def test_a_picture_without_a_face_has_none(
    landmarker: MediaPipeLandmarker, generator: torch.Generator
) -> None:
    assert landmarker(torch.rand(3, 120, 200, generator=generator)).shape == (0, 68, 2)


def test_two_faces_come_largest_first(landmarker: MediaPipeLandmarker) -> None:
    portrait = read_image(PORTRAIT / "aligned_vgg_brad_pitt.jpg")
    canvas = torch.full((3, 500, 800), 0.5)
    canvas[:, 100:212, 40:152] = portrait[:, ::2, ::2]
    canvas[:, 100:324, 400:624] = portrait
    faces = landmarker(canvas)
    assert len(faces) == 2
    assert [float(face[:, 0].mean()) > 300 for face in faces] == [True, False]


def test_faces_are_sorted_by_their_box() -> None:
    square = torch.rand(68, 2, generator=torch.Generator().manual_seed(0))
    faces = torch.stack([square, 3 * square, 2 * square])
    assert torch.equal(largest_first(faces), faces[[1, 2, 0]])


def test_landmarks_come_back_as_they_were_written(tmp_path: Path) -> None:
    points = 200 * torch.rand(68, 2, generator=torch.Generator().manual_seed(1))
    write_landmarks(tmp_path / "face.csv", points)
    torch.testing.assert_close(read_landmarks(tmp_path / "face.csv"), points, atol=6e-4, rtol=0)
    assert torch.equal(
        read_landmarks(tmp_path / "face.csv", first=1), read_landmarks(tmp_path / "face.csv") - 1
    )


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("1,2\n" * 67, "holds 67 lines"),
        ("1,2\n" * 69, "holds 69 lines"),
        ("1,2,3\n" * 68, "68 lines of x,y"),
        ("1,2\n" * 67 + "1,two\n", "'two'"),
        ("1,2\n" * 67 + "1,nan\n", "finite"),
        ("", "holds 0 lines"),
    ],
)
def test_files_that_are_not_landmarks_are_refused(
    text: str, complaint: str, tmp_path: Path
) -> None:
    write_text(tmp_path / "face.csv", text)
    with pytest.raises(DataError, match=complaint):
        read_landmarks(tmp_path / "face.csv")


def test_a_file_of_landmarks_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "face.csv").write_bytes(bytes(range(256)))
    with pytest.raises(DataError, match="68 lines"):
        read_landmarks(tmp_path / "face.csv")


def test_a_model_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.task").write_bytes(b"not a model")
    with pytest.raises(DataError, match=r"model\.task is not a face landmarker's model"):
        MediaPipeLandmarker(tmp_path / "model.task")
    with pytest.raises(ConfigError, match="there is no landmarker model"):
        MediaPipeLandmarker(tmp_path / "elsewhere.task")


def test_the_model_is_the_one_given_or_the_environments_or_a_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, named = tmp_path / "given.task", tmp_path / "named.task"
    for path in (given, named):
        path.touch()

    def fetching(name: str, **options: Callable[..., None]) -> Path:
        return tmp_path / name

    monkeypatch.delenv("AGNS_LANDMARKER", raising=False)
    assert landmarker_model(fetching=fetching) == tmp_path / "face-landmarker"
    monkeypatch.setenv("AGNS_LANDMARKER", str(named))
    assert landmarker_model(fetching=fetching) == named
    assert landmarker_model(given, fetching=fetching) == given
    monkeypatch.setenv("AGNS_LANDMARKER", str(tmp_path / "gone.task"))
    with pytest.raises(ConfigError, match="AGNS_LANDMARKER"):
        landmarker_model(fetching=fetching)


def test_a_download_that_fails_says_how_to_do_without(monkeypatch: pytest.MonkeyPatch) -> None:
    def fetching(name: str, **options: Callable[..., None]) -> Path:
        raise DataError("the network is gone")

    monkeypatch.delenv("AGNS_LANDMARKER", raising=False)
    with pytest.raises(DataError, match=r"the network is gone.*--landmarker"):
        landmarker_model(fetching=fetching)


def test_the_model_that_is_downloaded_is_the_one_tested_here() -> None:
    import hashlib

    content = MODEL.read_bytes()
    assert ASSETS["face-landmarker"].size == len(content)
    assert ASSETS["face-landmarker"].sha256 == hashlib.sha256(content).hexdigest()


def test_without_mediapipe_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "mediapipe.tasks.python", None)
    with pytest.raises(ConfigError, match=r"agns\[align\]"):
        MediaPipeLandmarker(MODEL)


def test_finding_landmarks_draws_nothing(landmarker: MediaPipeLandmarker) -> None:
    image = read_image(PORTRAIT / "aligned_vgg_brad_pitt.jpg")
    assert np.array_equal(landmarker(image).numpy(), landmarker(image).numpy())


def test_spaces_and_byte_order_marks_do_not_matter(tmp_path: Path) -> None:
    points = torch.arange(136.0).reshape(68, 2)
    lines = "".join(f"{x:g}, {y:g}\r\n" for x, y in points.tolist())
    (tmp_path / "face.csv").write_bytes(b"\xef\xbb\xbf" + lines.encode())
    assert torch.equal(read_landmarks(tmp_path / "face.csv"), points)


def test_a_large_picture_is_searched_in_a_smaller_copy(landmarker: MediaPipeLandmarker) -> None:
    portrait = read_image(PORTRAIT / "brad_pitt.jpg")
    large = torch.nn.functional.interpolate(portrait[None], scale_factor=4, mode="nearest")[0]
    (small_found,), (large_found,) = landmarker(portrait), landmarker(large)
    apart = (large_found - (small_found * 4 + 1.5)).norm(dim=1)
    assert float(apart.mean()) < 12


def test_a_file_too_large_for_landmarks_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "huge.csv").open("wb") as file:
        file.truncate(2**34)
    with pytest.raises(DataError, match=r"huge\.csv should hold 68 lines of x,y, but is 171798691"):
        read_landmarks(tmp_path / "huge.csv")
