from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.path import Path as Polygon

from agns.data.alignment import POSES
from agns.data.face_folder import load_faces
from agns.data.simulation import synthetic
from agns.data.simulation.portrait.person import Person, person
from agns.data.simulation.portrait.pose import moment, pose, seen
from agns.data.simulation.synthetic import (
    SyntheticConfig,
    draw_faces,
    draw_photo,
    identity_name,
    synthetic_faces,
    write_synthetic_folder,
)
from agns.errors import ConfigError
from agns.types import Pixels

SMALL = SyntheticConfig(identities=3, photos=2)
JAW, BROWS, NOSE = range(17), range(17, 27), range(27, 36)
LEFT_EYE, RIGHT_EYE, MOUTH, LIPS = range(36, 42), range(42, 48), range(48, 68), range(48, 60)
MOVES = range(-4, 5)

Pictures = np.ndarray


@pytest.fixture(scope="module")
def portraits() -> Pictures:
    """(6, 5, 224, 224, 3) bytes: six people, five photos."""
    return np.stack(
        [
            np.stack([draw_photo(0, identity, photo)[0] for photo in range(5)])
            for identity in range(6)
        ]
    )


@pytest.fixture(scope="module")
def outlines() -> np.ndarray:
    """(10, 10, 68, 2) landmarks of these and more, of photos that need no painting for them."""

    def outline(who: Person, identity: int, photo: int) -> np.ndarray:
        entropy = np.random.SeedSequence([0, identity, photo + 1])
        now = moment(np.random.default_rng(entropy))
        return seen(pose(who, now).points, now)

    people = [(person(0, identity), identity) for identity in range(10)]
    return np.stack([np.stack([outline(*one, photo) for photo in range(10)]) for one in people])


@pytest.fixture(scope="module")
def drawn() -> tuple[Pixels, torch.Tensor]:
    """The pixels and labels of `SMALL`."""
    return draw_faces(SMALL)


@pytest.fixture(scope="module")
def canonical() -> np.ndarray:
    # Faces are drawn at the published marks, from which aligned ones lie two pixels off.
    return POSES["canonical"].points.numpy() - 2


def test_a_photo_is_the_same_for_the_same_seed_identity_and_number(
    portraits: Pictures, outlines: np.ndarray
) -> None:
    pixels, landmarks = draw_photo(0, 3, 4)
    assert np.array_equal(pixels, portraits[3, 4])
    assert np.array_equal(landmarks, outlines[3, 4])


@pytest.mark.parametrize("other", [(1, 3, 4), (0, 4, 4), (0, 3, 5)])
def test_a_photo_differs_with_seed_identity_and_number(
    portraits: Pictures, outlines: np.ndarray, other: tuple[int, int, int]
) -> None:
    pixels, landmarks = draw_photo(*other)
    assert not np.array_equal(pixels, portraits[3, 4])
    assert not np.array_equal(landmarks, outlines[3, 4])


def test_drawn_faces_are_the_photos_grouped_by_identity(
    drawn: tuple[Pixels, torch.Tensor], portraits: Pictures
) -> None:
    pixels, labels = drawn
    assert labels.tolist() == [0, 0, 1, 1, 2, 2]
    for place, (identity, photo) in enumerate((i, p) for i in range(3) for p in range(2)):
        expected = portraits[identity, photo].transpose(2, 0, 1)
        assert np.array_equal(pixels[place].numpy(), expected)


def test_drawing_more_people_and_photos_leaves_the_first_as_they_were(
    drawn: tuple[Pixels, torch.Tensor],
) -> None:
    few, _ = draw_faces(SyntheticConfig(identities=2, photos=1))
    assert torch.equal(drawn[0][[0, 2]], few)


def test_later_photos_are_those_of_a_longer_set(drawn: tuple[Pixels, torch.Tensor]) -> None:
    later, _ = draw_faces(replace(SMALL, first_photo=1, photos=1))
    assert torch.equal(later, drawn[0][1::2])


def test_people_drawn_in_processes_are_the_same(
    drawn: tuple[Pixels, torch.Tensor],
    handed_over: Callable[..., Iterator[object]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(synthetic, "each_in_order", handed_over)
    reports: list[tuple[int, int]] = []
    there, labels = draw_faces(
        SMALL, workers=2, progress=lambda done, total, figures: reports.append((done, total))
    )
    here, expected = drawn
    assert torch.equal(there, here)
    assert torch.equal(labels, expected)
    assert reports == [(1, 3), (2, 3), (3, 3)]


def test_no_two_photos_are_equal(portraits: Pictures) -> None:
    assert len({picture.tobytes() for picture in portraits.reshape(30, -1)}) == 30


def test_photos_of_one_person_differ_in_light_and_pose(
    portraits: Pictures, outlines: np.ndarray
) -> None:
    brightness = portraits.mean((2, 3, 4))
    assert (brightness.std(1) > 5).all()
    assert (outlines.std(1).mean((1, 2)) > 1).all()


def test_photos_are_neither_flat_nor_burnt_out(portraits: Pictures) -> None:
    flat = portraits.reshape(30, -1)
    assert (flat.std(1) > 10).all()
    assert ((flat == 255).mean(1) < 0.2).all()


def test_the_mean_colour_does_not_give_people_away(portraits: Pictures) -> None:
    colours = portraits.mean((2, 3))
    classes = colours[:, :3].mean(1)
    distances = np.linalg.norm(colours[:, 3:, None] - classes, axis=-1)
    right = distances.argmin(-1) == np.arange(6)[:, None]
    assert right.mean() < 0.5


def test_people_have_different_faces(outlines: np.ndarray) -> None:
    """Mean landmarks differ from one to another by more than chance lets them."""
    halves = outlines[:, ::2].mean(1), outlines[:, 1::2].mean(1)
    distances = np.abs(halves[0][:, None] - halves[1][None]).mean((2, 3))
    assert (distances.argmin(1) == np.arange(10)).mean() >= 0.8


@pytest.mark.parametrize(
    ("part", "near", "far"),
    [
        (JAW, 12, 20),
        (BROWS, 9, 16),
        (NOSE, 6, 14),
        (LEFT_EYE, 4, 12),
        (RIGHT_EYE, 4, 12),
        (MOUTH, 8, 16),
    ],
)
def test_landmarks_are_near_the_canonical_pose(
    outlines: np.ndarray,
    canonical: np.ndarray,
    part: Sequence[int],
    near: float,
    far: float,
) -> None:
    """On the average each point is near, and in each photo the part's centre is not far."""
    landmarks = outlines.reshape(100, 68, 2)[:, part]
    assert np.linalg.norm(landmarks.mean(0) - canonical[part], axis=1).mean() < near
    centres = landmarks.mean(1) - canonical[part].mean(0)
    assert np.linalg.norm(centres, axis=1).max() < far


def redness(picture: Pictures) -> np.ndarray:
    shades = picture.astype(float)
    return (shades[..., 0] - shades[..., 1]) / shades.sum(-1).clip(30)


def paleness(picture: Pictures) -> np.ndarray:
    shades = picture.astype(float)
    return (shades.min(-1) - shades.max(-1)) / shades.max(-1).clip(10)


def contrasts(shade: np.ndarray, outline: np.ndarray) -> np.ndarray:
    """How a polygon stands out from the seam around it, moved down and moved to the right."""
    places = np.indices((224, 224))[::-1].reshape(2, -1).T
    inside = Polygon(outline).contains_points(places).reshape(224, 224)
    steps = range(-3, 4)
    seam = np.any([np.roll(inside, (y, x), (0, 1)) for y in steps for x in steps], 0) & ~inside
    rows = []
    for axis in (0, 1):
        shifted = [np.roll(shade, -move, axis) for move in MOVES]
        rows.append([moved[inside].mean() - moved[seam].mean() for moved in shifted])
    return np.array(rows) / np.abs(rows).max()


def peak(values: np.ndarray) -> float:
    """Which of MOVES gives the highest value, by the parabola through it and its neighbours."""
    at = int(values[1:-1].argmax()) + 1
    before, top, after = values[at - 1 : at + 2]
    return MOVES[at] + (before - after) / (before - 2 * top + after) / 2


# The dark line of the upper lid, which is no skin either, lies above the landmarks.
@pytest.mark.parametrize(
    ("shade", "parts", "within"),
    [(redness, [LIPS], (0.5, 0.5)), (paleness, [LEFT_EYE, RIGHT_EYE], (1.5, 0.5))],
)
def test_lips_and_eyes_are_seen_where_their_landmarks_lie(
    portraits: Pictures,
    outlines: np.ndarray,
    shade: Callable[[Pictures], np.ndarray],
    parts: list[Sequence[int]],
    within: tuple[float, float],
) -> None:
    pixels, landmarks = (
        values[:6, :5].reshape(30, *values.shape[2:]) for values in (portraits, outlines)
    )
    found = sum(
        contrasts(shade(picture), points[part])
        for picture, points in zip(pixels, landmarks, strict=True)
        for part in parts
    )
    down, right = map(peak, found)
    assert abs(down) < within[0]
    assert abs(right) < within[1]


def test_a_written_folder_reads_back_with_the_same_pixels(
    tmp_path: Path, drawn: tuple[Pixels, torch.Tensor]
) -> None:
    root = tmp_path / "people"
    write_synthetic_folder(root, SMALL)
    faces = load_faces(root)
    expected, labels = drawn
    assert torch.equal(faces.pixels, expected)
    assert torch.equal(faces.labels, labels)
    assert faces.identities == ("Synthetic_000", "Synthetic_001", "Synthetic_002")


def test_a_drawn_set_is_the_written_folder(tmp_path: Path) -> None:
    config = replace(SMALL, identities=2, first_photo=9)
    write_synthetic_folder(tmp_path / "people", config)
    read, drawn = load_faces(tmp_path / "people"), synthetic_faces(config)
    assert (drawn.photos, drawn.digests) == (read.photos, read.digests)
    assert torch.equal(drawn.labels, read.labels)


def test_one_identity_drawn_alone_is_as_in_the_whole_set() -> None:
    config = replace(SMALL, photos=1)
    whole, alone = synthetic_faces(config), synthetic_faces(config, only="Synthetic_001")
    expected = whole.of("Synthetic_001")
    assert (alone.photos, alone.digests) == (expected.photos, expected.digests)
    assert torch.equal(alone.labels, expected.labels)
    assert alone.identities == whole.identities


def test_landmarks_are_written_as_a_tree_beside_the_faces(
    tmp_path: Path, outlines: np.ndarray
) -> None:
    write_synthetic_folder(tmp_path / "people", SMALL)
    for identity in range(SMALL.identities):
        name = identity_name(identity)
        for photo in range(SMALL.photos):
            path = tmp_path / "people.landmarks" / name / f"{name}_{photo + 1:04d}.csv"
            landmarks = outlines[identity, photo]
            assert np.abs(np.loadtxt(path, delimiter=",") - landmarks).max() <= 5e-4 + 1e-9


def test_the_working_directory_can_be_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "people").mkdir()
    monkeypatch.chdir(tmp_path / "people")
    write_synthetic_folder(Path("."), SyntheticConfig(identities=1, photos=1))
    written = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*g")}
    assert written == {"people/Synthetic_000/Synthetic_000_0001.png"}
    assert (tmp_path / "people.landmarks" / "Synthetic_000" / "Synthetic_000_0001.csv").is_file()


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "people").write_text("none")
    with pytest.raises(ConfigError, match="is a file, not a folder to write faces to"):
        write_synthetic_folder(tmp_path / "people", SMALL)


@pytest.mark.parametrize(
    "change", [{"identities": 0}, {"photos": 0}, {"seed": -1}, {"first_photo": -1}]
)
def test_a_set_that_cannot_be_drawn_is_refused(change: dict[str, int]) -> None:
    (name,) = change
    with pytest.raises(ConfigError, match=f"{name} must be at least"):
        replace(SMALL, **change)


@pytest.mark.parametrize(
    "draw",
    [
        lambda: draw_photo(0, -1, 0),
        lambda: draw_photo(0, 0, -1),
        lambda: draw_photo(-1, 0, 0),
        lambda: draw_faces(SMALL, workers=-1),
        lambda: synthetic_faces(SMALL, only="Synthetic_003"),
    ],
)
def test_drawing_refuses_what_is_not_there(draw: Callable[[], object]) -> None:
    with pytest.raises(ConfigError, match=r"at least 0|no identity 'Synthetic_003'"):
        draw()
