"""What a run was begun with, by content: its photos and frames are known again under any name.

`photos.json` in the run's directory lists the photos in their order, each with the part of the
split that it belongs to, and `frames.json` the frames. A run that goes on takes names, order and
split from there, so that renamed files and folders change nothing.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from agns.data.cache import digest
from agns.data.faces import FaceSet
from agns.data.known_photos import PhotoRow, as_recorded, read_rows, rows_of
from agns.errors import ConfigError, DataError
from agns.run_directory import RunDirectory
from agns.storage import read_json, write_json
from agns.training.material import PhotoSplit
from agns.types import Pixels

PHOTOS, FRAMES = "photos.json", "frames.json"
PARTS = ("training", "validation", "test")


def record_photos(out: Path, faces: FaceSet, split: PhotoSplit) -> None:
    """Write `photos.json`, which belongs into the directory before the run's configuration.

    Raises:
        ConfigError: The directory holds a run already.
    """
    RunDirectory.check(out, resume=False)
    parts = [""] * len(faces)
    for name, places in zip(PARTS, split, strict=True):
        for place in places.tolist():
            parts[place] = name
    rows = [
        {**row.as_json(), "part": part} for row, part in zip(rows_of(faces), parts, strict=True)
    ]
    write_json(out / PHOTOS, {"photos": rows})


def photos_as_begun(out: Path, faces: FaceSet) -> tuple[FaceSet, PhotoSplit]:
    """The photos as a run was begun with them, under the names they had, and its split.

    Raises:
        ConfigError: There is no run, or these are other photos.
        DataError: The run does not tell what it was begun with.
    """
    RunDirectory.check(out, resume=True)
    listed = _listed(out, PHOTOS, "photos")
    rows: list[PhotoRow] = read_rows(listed, out / PHOTOS)
    parts = [row.get("part") if isinstance(row, dict) else None for row in listed]
    places = {
        name: torch.tensor([at for at, part in enumerate(parts) if part == name]).long()
        for name in PARTS
    }
    if sum(map(len, places.values())) < len(rows):
        raise DataError(f"{out / PHOTOS} does not say which photos are for training")
    return as_recorded(faces, rows, str(out)), PhotoSplit(**places)


def record_frames(out: Path, frames: Pixels) -> None:
    """Write `frames.json`, as `record_photos` does with photos."""
    RunDirectory.check(out, resume=False)
    write_json(out / FRAMES, {"frames": _digests(frames)})


def frames_as_begun(out: Path, frames: Pixels) -> Pixels:
    """The frames in the order in which a run was begun with them; errors as for photos."""
    RunDirectory.check(out, resume=True)
    there: dict[str, list[int]] = {}
    for place, own in enumerate(_digests(frames)):
        there.setdefault(own, []).append(place)
    known = _listed(out, FRAMES, "frames")
    order = [there[own].pop(0) for own in map(str, known) if there.get(own)]
    if (gone := len(known) - len(order)) or len(frames) > len(order):
        raise ConfigError(
            f"the run in {out} was begun with other eyeglasses: {gone} of its {len(known)} frames "
            f"are not there, and {len(frames) - len(order)} are new: resume it with those that it "
            "began with"
        )
    places = torch.tensor(order)
    return frames if torch.equal(places, torch.arange(len(frames))) else frames[places]


def _digests(frames: Tensor) -> list[str]:
    return [digest(frame) for frame in frames.numpy()]


def _listed(out: Path, name: str, what: str) -> Sequence[object]:
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
