import hashlib
import os
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from agns.data import landmark_finding
from agns.data.alignment import POSES, align, alignment
from agns.data.assets import ASSETS, packaged_model
from agns.data.landmark_finding import (
    MEDIAPIPE_POINTS,
    DlibLandmarker,
    MediaPipeLandmarker,
    choose_finder,
    landmarker_model,
    load_landmarker,
)
from agns.data.landmarks import Landmarker, read_landmarks
from agns.errors import ConfigError, DataError
from agns.geometry import resize, transform_points
from agns.images import read_image

PARTS = {
    "left eye": range(36, 42),
    "right eye": range(42, 48),
    "tip of the nose": [30],
    "left of the mouth": [48],
    "right of the mouth": [54],
    "chin": [8],
}
ASTRONAUT = {
    "left eye": (203.8, 101.3),
    "right eye": (246.8, 103.0),
    "tip of the nose": (226.0, 126.0),
    "left of the mouth": (204.3, 140.3),
    "right of the mouth": (244.0, 141.5),
    "chin": (224.8, 178.0),
}
"""Read off a fourfold enlargement by eye."""

MIRRORED = [
    *range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1),
    45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40,
    *range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), 67, 66, 65,
]  # fmt: skip
"""What each landmark is called in a mirror."""


@pytest.fixture(scope="module")
def mediapipe_model(data_path: Callable[[str], Path]) -> Path:
    return data_path("models/face_landmarker.task")


@pytest.fixture(scope="module")
def mediapipe(mediapipe_model: Path) -> Landmarker:
    pytest.importorskip("mediapipe")
    return load_landmarker("mediapipe", mediapipe_model)


@pytest.fixture(scope="module")
def dlib(dlib_model: Path) -> Landmarker:
    return load_landmarker("dlib", dlib_model)


@pytest.fixture(scope="module", params=["dlib", pytest.param("mediapipe", marks=pytest.mark.data)])
def landmarker(request: pytest.FixtureRequest) -> Landmarker:
    found: Landmarker = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="module")
def originals(data_path: Callable[[str], Path]) -> Path:
    """The portrait that the original code supplies, its landmarks, and how it aligned it."""
    return data_path("data/agns/portrait")


def test_the_astronauts_features_are_found_where_a_person_sees_them(
    landmarker: Landmarker, astronaut: torch.Tensor
) -> None:
    face = landmarker(astronaut)[0]
    for part, seen in ASTRONAUT.items():
        off = face[list(PARTS[part])].mean(0) - torch.tensor(seen)
        # Where along the jaw the chin is, nobody sees.
        assert float(off.norm()) < (6 if part == "chin" else 4), part


def test_the_aligned_astronaut_lies_in_the_canonical_pose(
    landmarker: Landmarker, portrait: torch.Tensor
) -> None:
    aligned = align(portrait, landmarker(portrait)[0])
    assert aligned.shape == (3, 224, 224)
    (found,) = landmarker(aligned)
    off = found - POSES["canonical"].points
    assert float(off.mean(0).norm()) < 1.5
    assert float(off.norm(dim=1).mean()) < 7
    for eye in ("left eye", "right eye"):
        assert float(off[list(PARTS[eye])].mean(0).norm()) < 4


def test_a_mirrored_picture_has_mirrored_landmarks(
    landmarker: Landmarker, portrait: torch.Tensor
) -> None:
    mirrored = landmarker(portrait.flip(2))[0][MIRRORED]
    # The centres of the outer columns are 0 and 199: counted from 1, these would be 2 apart.
    back = torch.stack([199 - mirrored[:, 0], mirrored[:, 1]], 1)
    assert float((back - landmarker(portrait)[0]).mean(0).abs().max()) < 0.5


def test_a_face_that_fills_its_picture_is_found(
    landmarker: Landmarker, portrait: torch.Tensor
) -> None:
    # The middle holds the face from brow to chin.
    tight = portrait[:, 55:165, 50:150].contiguous()
    off = landmarker(tight)[0] + torch.tensor([50, 55]) - landmarker(portrait)[0]
    assert float(off.norm(dim=1).mean()) < 4


@pytest.mark.parametrize("size", [(120, 200), (1, 1), (2, 90), (90, 1)])
def test_a_picture_without_a_face_has_none(
    size: tuple[int, int], landmarker: Landmarker, generator: torch.Generator
) -> None:
    assert landmarker(torch.rand(3, *size, generator=generator)).shape == (0, 68, 2)


def test_two_faces_come_largest_first(landmarker: Landmarker, portrait: torch.Tensor) -> None:
    canvas = torch.full((3, 320, 520), 0.5)
    canvas[:, 60:260, 10:210] = portrait
    canvas[:, 10:310, 215:515] = resize(portrait[None], (300, 300))[0]
    faces = landmarker(canvas)
    assert [float(face[:, 0].mean()) > 215 for face in faces] == [True, False]


def test_finding_landmarks_draws_nothing(landmarker: Landmarker, portrait: torch.Tensor) -> None:
    assert np.array_equal(landmarker(portrait).numpy(), landmarker(portrait).numpy())


def test_a_large_picture_is_searched_in_a_smaller_copy(
    landmarker: Landmarker, portrait: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = landmarker(portrait)[0]
    monkeypatch.setattr(landmark_finding, "LONGEST", 150)
    off = landmarker(portrait)[0] - whole
    assert float(off.mean(0).abs().max()) < 0.5
    assert 0 < float(off.norm(dim=1).mean()) < 2


def test_each_landmark_has_a_point_of_its_own() -> None:
    assert len(MEDIAPIPE_POINTS) == len(set(MEDIAPIPE_POINTS)) == 68


@pytest.mark.parametrize(
    ("finder", "features", "jaw"),
    [("dlib", 0.03, 0.02), pytest.param("mediapipe", 0.04, 0.08, marks=pytest.mark.data)],
)
def test_the_portraits_landmarks_lie_near_the_supplied_ones(
    finder: str, features: float, jaw: float, originals: Path, request: pytest.FixtureRequest
) -> None:
    (found,) = request.getfixturevalue(finder)(read_image(originals / "brad_pitt.jpg"))
    supplied = read_landmarks(originals / "Fast_Marks_brad_pitt.jpg.csv", first=1)
    between_eyes = (supplied[36:42].mean(0) - supplied[42:48].mean(0)).norm()
    distance = (found - supplied).norm(dim=1) / between_eyes
    assert float(distance[17:].mean()) <= features
    assert float(distance[:17].mean()) <= jaw


def test_the_aligned_portrait_lies_as_the_originals_does(
    landmarker: Landmarker, originals: Path
) -> None:
    whole = read_image(originals / "brad_pitt.jpg")
    ours = align(whole, landmarker(whole)[0])
    (found,) = landmarker(ours)
    (reference,) = landmarker(read_image(originals / "aligned_vgg_brad_pitt.jpg"))
    rms = (found - reference).square().sum(1).mean().sqrt()
    assert float(rms) <= 3


def test_supplied_and_found_landmarks_align_alike(landmarker: Landmarker, originals: Path) -> None:
    supplied = read_landmarks(originals / "Fast_Marks_brad_pitt.jpg.csv", first=1)
    (found,) = landmarker(read_image(originals / "brad_pitt.jpg"))
    apart = transform_points(supplied, alignment(found)) - transform_points(
        supplied, alignment(supplied)
    )
    assert float(apart.square().sum(1).mean().sqrt()) <= 3


@pytest.mark.parametrize(
    "kind", [pytest.param(MediaPipeLandmarker, marks=pytest.mark.data), DlibLandmarker]
)
def test_a_model_that_is_none_is_refused(
    kind: type[MediaPipeLandmarker] | type[DlibLandmarker], tmp_path: Path
) -> None:
    if kind is MediaPipeLandmarker:
        pytest.importorskip("mediapipe")
    (tmp_path / "model.dat").write_bytes(b"not a model")
    with pytest.raises(DataError, match=rf"model\.dat is not a .* for {kind.title}"):
        kind(tmp_path / "model.dat")
    with pytest.raises(ConfigError, match="there is no landmarker model"):
        kind(tmp_path / "elsewhere.dat")


@pytest.mark.parametrize("size", [0, 100_000])
def test_a_dlib_model_that_was_cut_off_is_refused(
    size: int, dlib_model: Path, tmp_path: Path
) -> None:
    with dlib_model.open("rb") as file:
        (tmp_path / "model.dat").write_bytes(file.read(size))
    with pytest.raises(DataError, match="or is damaged"):
        DlibLandmarker(tmp_path / "model.dat")


def test_a_dlib_model_of_five_points_is_refused_whatever_its_name(tmp_path: Path) -> None:
    # No text, as a file's name may be.
    strange = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.dat"))
    strange.symlink_to(packaged_model("shape_predictor_5_face_landmarks.dat"))
    with pytest.raises(DataError, match="should predict 68 landmarks, but predicts 5"):
        DlibLandmarker(strange)


def test_mediapipes_model_is_the_one_given_or_the_environments_or_a_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, named = tmp_path / "given.task", tmp_path / "named.task"
    for path in (given, named):
        path.touch()

    def fetching(name: str, **options: Callable[..., None]) -> Path:
        return tmp_path / name

    assert landmarker_model("mediapipe", fetching=fetching) == tmp_path / "face-landmarker"
    monkeypatch.setenv("AGNS_LANDMARKER", str(named))
    assert landmarker_model("mediapipe", fetching=fetching) == named
    assert landmarker_model("mediapipe", given, fetching=fetching) == given
    monkeypatch.setenv("AGNS_LANDMARKER", str(tmp_path / "gone.task"))
    with pytest.raises(ConfigError, match="AGNS_LANDMARKER"):
        landmarker_model("mediapipe", fetching=fetching)


def test_dlibs_model_is_the_one_given_or_the_packages(
    tmp_path: Path, dlib_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGNS_LANDMARKER", str(tmp_path / "gone.task"))
    (tmp_path / "given.dat").touch()
    assert landmarker_model("dlib") == dlib_model
    assert landmarker_model("dlib", tmp_path / "given.dat") == tmp_path / "given.dat"


def test_without_the_package_of_models_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "face_recognition_models", None)
    with pytest.raises(ConfigError, match=r"face-recognition-models.*agns\[dlib\]"):
        landmarker_model("dlib")


def test_a_download_that_fails_says_how_to_do_without() -> None:
    def fetching(name: str, **options: Callable[..., None]) -> Path:
        raise DataError("the network is gone")

    with pytest.raises(DataError, match=r"the network is gone.*--landmarker"):
        landmarker_model("mediapipe", fetching=fetching)


def test_the_model_that_is_downloaded_is_the_one_tested_here(mediapipe_model: Path) -> None:
    content = mediapipe_model.read_bytes()
    assert ASSETS["face-landmarker"].size == len(content)
    assert ASSETS["face-landmarker"].sha256 == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    ("kind", "module", "extra"),
    [
        (MediaPipeLandmarker, "mediapipe.tasks.python", "align"),
        (DlibLandmarker, "dlib", "dlib"),
    ],
)
def test_a_finder_that_does_not_import_says_what_to_install(
    kind: type[MediaPipeLandmarker] | type[DlibLandmarker],
    module: str,
    extra: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    (tmp_path / "model").touch()
    with pytest.raises(ConfigError, match=rf'pip install "agns\[{extra}\]"'):
        kind(tmp_path / "model")


def test_mediapipe_finds_landmarks_by_default_and_dlib_where_it_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    installed = ModuleType("mediapipe")
    installed.__spec__ = ModuleSpec("mediapipe", None)
    monkeypatch.setitem(sys.modules, "mediapipe", installed)
    assert choose_finder() == "mediapipe"
    assert choose_finder("dlib") == "dlib"
    monkeypatch.setitem(sys.modules, "mediapipe", None)
    assert choose_finder() == "dlib"
