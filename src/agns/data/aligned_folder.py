"""Whole folders of photos aligned: in parallel, resumed where they stopped, with a record.

Beside the aligned pictures lie `alignment.csv`, a line for each photo and what became of it, and
`alignment.json`, the settings and versions. Nothing that is there already is deleted; a picture
is written again only if its photo is another one by now.
"""

import functools
import importlib
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from agns.data.alignment import POSES, align
from agns.data.alignment_jobs import (
    FACE,
    Job,
    Row,
    append_row,
    check_further_faces,
    read_record,
    write_record,
)
from agns.data.cache import digest_if_readable
from agns.data.landmark_finding import FINDERS, Finder, load_landmarker
from agns.data.landmarks import (
    Choice,
    Landmarker,
    chosen_faces,
    read_landmarks,
    write_landmarks,
)
from agns.data.workers import each_in_order
from agns.errors import ConfigError, DataError, FaceNotFound, UnreadableImage
from agns.images import read_image, write_image
from agns.storage import file_digest, read_json, versions, write_json
from agns.types import Image, Progress, silent

RECORD = "alignment.csv"
SETTINGS = "alignment.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlignConfig:
    """How photos are aligned."""

    pose: str = "canonical"
    """A key of `POSES`."""

    faces: Choice = "largest"
    """Which face of a photo to align: the largest, the one nearest to the photo's middle, whom
    Labeled Faces in the Wild means, or every one, the largest first."""

    def __post_init__(self) -> None:
        if self.pose not in POSES:
            raise ConfigError(f"there is no pose {self.pose!r}: choose one of {', '.join(POSES)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class LandmarkSource:
    """Where landmarks come from, and where they go besides."""

    finder: Finder = "mediapipe"
    """What finds them."""

    model: Path | None = None
    """Its model file."""

    files: Path | None = None
    """In place of finding them: a folder with a CSV file for each photo, or the one file."""

    first: int = 0
    """Number of the first row and column of pixels in those files."""

    export: Path | None = None
    """Folder to write those found to."""


def align_folder(
    jobs: Sequence[Job],
    destination: Path,
    config: AlignConfig,
    landmarks: LandmarkSource,
    *,
    workers: int = 0,
    progress: Progress = silent,
) -> list[Row]:
    """Align photos into a folder, and record what became of each.

    Args:
        jobs: As `list_jobs` gives them.
        destination: The folder; made if it is not there.
        config: How.
        landmarks: Where landmarks come from.
        workers: Processes; 0 or 1 works in this one, to the same pictures.
        progress: Told after each photo.

    Returns:
        A row for each job, in their order.

    Raises:
        ConfigError: The folder holds pictures aligned with other settings, the finder is not
            installed, `workers` is negative, or of every face, two would become one picture.
        DataError: The model cannot be used, or a process broke down.
    """
    if workers < 0:
        raise ConfigError(f"workers must be at least 0, got {workers}")
    record = read_record(destination / RECORD)
    if config.faces == "all":
        check_further_faces(jobs, [row.name for row in record.values() if row.written])
    if landmarks.files is None:
        # Loaded here too, so that what is wrong with it is said once, before any process starts.
        _landmarker(landmarks)
    _check_settings(destination, config, landmarks)
    done = {job.name: _done(job, destination, record, landmarks) for job in jobs}
    rows = {name: row for name, row in done.items() if row is not None}
    left = [job for job in jobs if job.name not in rows]
    progress(len(rows), len(jobs), {})
    if left:
        work = functools.partial(_align, destination, config, landmarks)
        write_record(destination / RECORD, record.values())
        for row in each_in_order(work, left, workers=workers, chunk=4):
            # Written as it comes: a killed run has a record of what it did.
            append_row(destination / RECORD, row)
            rows[row.name] = row
            progress(len(rows), len(jobs), {})
    record.update(rows)
    write_record(destination / RECORD, (record[name] for name in sorted(record)))
    return [rows[job.name] for job in jobs]


def align_picture(
    photo: Path, aligned: Path, config: AlignConfig, landmarks: LandmarkSource, *, name: str = ""
) -> tuple[int, list[Path]]:
    """Align one photo to a picture.

    Args:
        photo: A picture, as `agns.decoding.read_pixels` takes it.
        aligned: The PNG or JPEG file to write; of several faces, the second's name ends in
            `.face2` and so on.
        config: How.
        landmarks: Where landmarks come from.
        name: What files of landmarks are called, without their ending; as `aligned` by default.

    Returns:
        How many faces were found, and the pictures written.

    Raises:
        ConfigError: There is no such photo or file of landmarks, or the finder is not installed.
        UnreadableImage: The photo does not decode.
        FaceNotFound: There is no face in it.
        DataError: The landmarks cannot be those of a face.
    """
    name = name or aligned.stem
    image = read_image(photo)
    faces = _find(photo, name, image, landmarks)
    written = []
    for number, points in enumerate(chosen_faces(faces, image, config.faces), 1):
        which = "" if number == 1 else f"{FACE}{number}"
        place = aligned.with_stem(f"{aligned.stem}{which}")
        write_image(place, align(image, points, POSES[config.pose]), quick=True)
        if landmarks.export is not None:
            write_landmarks(landmarks.export / f"{name}{which}.csv", points)
        written.append(place)
    return len(faces), written


def _find(
    photo: Path, name: str, image: Image, landmarks: LandmarkSource
) -> Float[Tensor, "faces 68 2"]:
    if landmarks.files is not None:
        given = landmarks.files
        path = given / f"{name}.csv" if given.is_dir() else given
        return read_landmarks(path, first=landmarks.first)[None]
    faces = _landmarker(landmarks)(image)
    if not len(faces):
        raise FaceNotFound(f"there is no face to be found in {photo}")
    return faces


def _landmarker(landmarks: LandmarkSource) -> Landmarker:
    if landmarks.model is None:
        raise ConfigError("without files of landmarks, a landmarker's model is needed")
    return load_landmarker(landmarks.finder, landmarks.model)


_digest = functools.lru_cache(maxsize=1)(file_digest)


def _align(destination: Path, config: AlignConfig, landmarks: LandmarkSource, job: Job) -> Row:
    """Do a job, and say what became of its photo."""
    row = Row(
        name=job.name,
        photo=os.path.abspath(job.photo),
        outcome="aligned",
        content=_content(job, landmarks),
    )
    files = landmarks.files
    if files is not None and files.is_dir() and not (files / f"{job.name}.csv").is_file():
        detail = f"there is no {files / job.name}.csv"
        return row._replace(outcome="no landmarks", detail=detail)
    place = destination / f"{job.name}.png"
    try:
        found, written = align_picture(job.photo, place, config, landmarks, name=job.name)
    except FaceNotFound as error:
        return row._replace(outcome="no face", detail=str(error))
    except (UnreadableImage, ConfigError) as error:
        # Of a photo that has gone since it was listed, or was a link to nothing, a ConfigError.
        return row._replace(outcome="unreadable", detail=str(error))
    except DataError as error:
        return row._replace(outcome="bad landmarks", detail=f"{job.photo}: {error}")
    names = (path.relative_to(destination).as_posix() for path in written)
    return row._replace(faces=found, written=";".join(names))


def _content(job: Job, landmarks: LandmarkSource) -> str:
    """Digests of all that a photo's picture is made from."""
    files = landmarks.files
    if files is None:
        return digest_if_readable(job.photo)
    marks = files / f"{job.name}.csv" if files.is_dir() else files
    return f"{digest_if_readable(job.photo)} {digest_if_readable(marks)}"


def _done(
    job: Job, destination: Path, record: dict[str, Row], landmarks: LandmarkSource
) -> Row | None:
    """The row of a photo whose pictures are there, or of what is no photo.

    Raises:
        ConfigError: The picture is there, but of another photo, or not by this folder's record.
    """
    if job.left_out:
        path = os.path.abspath(job.photo)
        return Row(name=job.name, photo=path, outcome="left out", detail=job.left_out)
    row = record.get(job.name)
    if row is None or row.outcome != "aligned":
        if (picture := destination / f"{job.name}.png").exists():
            raise ConfigError(
                f"{picture} is there already, and {RECORD} does not say that it is {job.photo} "
                "aligned: name another folder, or move it away"
            )
        return None
    if row.content == _content(job, landmarks):
        # The same photo, wherever it lies by now.
        return row if all((destination / name).is_file() for name in row.pictures) else None
    if os.path.realpath(row.photo) != os.path.realpath(job.photo):
        raise ConfigError(
            f"{destination / row.name}.png is {row.photo} aligned, not {job.photo}: name another "
            "folder"
        )
    return None


def _check_settings(destination: Path, config: AlignConfig, landmarks: LandmarkSource) -> None:
    """Refuse a folder that holds pictures aligned otherwise; note how these are."""
    if destination.exists() and not destination.is_dir():
        raise ConfigError(f"{destination} is a file, not a folder for aligned pictures")
    path = destination / SETTINGS
    settings: dict[str, object] = {**asdict(config)}
    finder = {}
    if landmarks.files is not None:
        settings["landmarks"] = f"from files that count pixels from {landmarks.first}"
    elif landmarks.model is not None:
        settings["landmarks"] = _found_by(FINDERS[landmarks.finder])
        settings["model"] = _digest(landmarks.model)
        finder[landmarks.finder] = str(importlib.import_module(landmarks.finder).__version__)
    if path.is_file():
        before = read_json(path).get("config")
        # Records of earlier versions do not say which model it was.
        unsaid = {"model"} - before.keys() if isinstance(before, dict) else set()
        if before != {name: value for name, value in settings.items() if name not in unsaid}:
            raise ConfigError(
                f"{destination} holds pictures aligned with other settings ({before}): "
                "name another folder"
            )
    write_json(path, {"config": settings, "versions": {**versions(), **finder}})


def aligned_by(folder: Path) -> tuple[Finder | None, Choice]:
    """What found the faces of an aligned folder, if known, and which of a photo's faces it took.

    Raises:
        DataError: The folder's settings are damaged.
    """
    path = folder / SETTINGS
    config = read_json(path).get("config") if path.is_file() else None
    told = config if isinstance(config, dict) else {}
    finder = next(
        (name for name, one in FINDERS.items() if told.get("landmarks") == _found_by(one)), None
    )
    return finder, "central" if told.get("faces") == "central" else "largest"


def _found_by(finder: type) -> str:
    return f"found by {getattr(finder, 'title', finder)}"
