"""The run of a training: what it was begun with, by content, and where it comes from.

`photos.json` in the run's directory lists the photos in their order, each with the part of the
split that it belongs to, and `frames.json` the frames. A run that goes on takes names, order and
split from there, so that renamed files and folders change nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from agns.data.cache import digest
from agns.data.faces import FaceSet
from agns.data.known_photos import PhotoRow, as_recorded, read_rows, rows_of
from agns.errors import ConfigError, DataError
from agns.run_directory import RunDirectory
from agns.storage import read_json, write_json
from agns.training.training_data import PhotoSplit
from agns.types import Pixels

PHOTOS, FRAMES = "photos.json", "frames.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where a training's photos come from, and how it was called, for its record."""

    source: str = ""
    """Where the photos came from."""

    center_crop: int | None = None
    """How the photos were cut, for those who use the recogniser."""

    command: str = ""
    """The command line, if there was one."""


def open_run(
    out: Path,
    config: Mapping[str, object],
    about: Provenance,
    faces: FaceSet,
    split: PhotoSplit,
    glasses: Pixels,
    *,
    resume: bool,
    origin: Mapping[str, object] | None = None,
) -> RunDirectory:
    """Begin a run directory, or go on with it.

    A run that goes on must agree in `config` and in how the photos are cut; what it may call
    otherwise is the source and `origin`.

    Raises:
        ConfigError: As `RunDirectory` raises it.
    """
    if not resume:
        RunDirectory.check(out, resume=False)
        parts = {
            place: name for name, places in split._asdict().items() for place in places.tolist()
        }
        rows = [
            {**row.as_json(), "part": parts.get(at, "")} for at, row in enumerate(rows_of(faces))
        ]
        write_json(out / PHOTOS, {"photos": rows})
        record_frames(out, glasses)
    return RunDirectory(
        out,
        {**config, "center_crop": about.center_crop},
        resume=resume,
        command=about.command,
        origin={"source": about.source, **(origin or {})},
    )


def photos_as_begun(out: Path, faces: FaceSet) -> tuple[FaceSet, PhotoSplit]:
    """The photos as a run was begun with them, under the names they had, and its split.

    Raises:
        ConfigError: There is no run, or these are other photos.
        DataError: The run does not tell what it was begun with.
    """
    listed = _listed(out, PHOTOS, "photos")
    rows: list[PhotoRow] = read_rows(listed, out / PHOTOS)
    parts = [row.get("part") if isinstance(row, dict) else None for row in listed]
    split = PhotoSplit(
        *(
            torch.tensor([at for at, part in enumerate(parts) if part == name]).long()
            for name in PhotoSplit._fields
        )
    )
    if sum(map(len, split)) < len(rows):
        raise DataError(f"{out / PHOTOS} does not say which photos are for training")
    return as_recorded(faces, rows, str(out)), split


def record_frames(out: Path, frames: Pixels) -> None:
    """Write `frames.json`, which belongs into the directory before the run's configuration.

    Raises:
        ConfigError: The directory holds a run already.
    """
    RunDirectory.check(out, resume=False)
    write_json(out / FRAMES, {"frames": _digests(frames)})


def frames_as_begun(out: Path, frames: Pixels) -> Pixels:
    """The frames in the order in which a run was begun with them; errors as for photos."""
    known = _listed(out, FRAMES, "frames")
    there: dict[str, list[int]] = {}
    for place, own in enumerate(_digests(frames)):
        there.setdefault(own, []).append(place)
    order = [there[own].pop(0) for own in map(str, known) if there.get(own)]
    if (gone := len(known) - len(order)) or len(frames) > len(order):
        raise ConfigError(
            f"the run in {out} was begun with other eyeglasses: {gone} of its {len(known)} frames "
            f"are not there, and {len(frames) - len(order)} are new: resume it with those that it "
            "began with"
        )
    places = torch.tensor(order)
    return frames if torch.equal(places, torch.arange(len(frames))) else frames[places]


def _digests(frames: Pixels) -> list[str]:
    return [digest(frame) for frame in frames.numpy()]


def _listed(out: Path, name: str, what: str) -> Sequence[object]:
    RunDirectory.check(out, resume=True)
    path = out / name
    if not path.is_file():
        raise DataError(
            f"the run in {out} does not say which {what} it was begun with, as {name} is missing: "
            "train anew into another directory"
        )
    listed = read_json(path).get(what)
    if not isinstance(listed, list):
        raise DataError(f"{path} does not list {what}")
    return listed
