"""Which photos are to be aligned, and the record of what became of each."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, TextIO, TypeAlias, get_args

from agns.data.cache import digest_if_readable
from agns.data.listing import READ, list_folder, without_ending
from agns.errors import ConfigError, DataError
from agns.writing import replacing, writing

Outcome: TypeAlias = Literal[
    "aligned", "there already", "no face", "unreadable", "no landmarks", "bad landmarks", "left out"
]

FACE = ".face"
"""What stands before the number of a photo's second face and further ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One photo to be aligned."""

    photo: Path
    """The file."""

    name: str
    """Its path among the aligned pictures, without its ending, with forward slashes."""

    left_out: str = ""
    """Why it is no photo to be aligned; it then keeps its ending."""


class Row(NamedTuple):
    """What became of one photo: a line of the record."""

    name: str
    photo: str
    outcome: Outcome
    faces: int = 0
    """How many were found."""

    written: str = ""
    """The aligned pictures, relative to the folder, with semicolons between them."""

    detail: str = ""
    """What was wrong, in words."""

    content: str = ""
    """Digest of the photo's file, by which it is known again; records of older ones lack it."""

    @property
    def pictures(self) -> tuple[str, ...]:
        """The aligned pictures one by one."""
        # Their names follow from the photo's, which may have semicolons in it.
        found = [picture_name(self.name)]
        while len(joined := ";".join(found)) < len(self.written):
            found.append(picture_name(self.name, len(found) + 1))
        return tuple(found) if joined == self.written else (self.written,)


def picture_name(name: str, number: int = 1) -> str:
    """What an aligned picture is called: the name of its photo, and which of its faces it is."""
    return f"{name}{'' if number == 1 else f'{FACE}{number}'}.png"


def list_jobs(sources: Sequence[Path], destination: Path) -> list[Job]:
    """Say what is to be aligned, and to where, sorted by name.

    Args:
        sources: Pictures, and folders, whose pictures are found at any depth. The pictures of a
            single folder keep their paths in it; those of one among several begin with its name.
        destination: The folder for the aligned pictures.

    Raises:
        ConfigError: A source is not there, the destination lies in a source or around it, or two
            photos would become the same picture.
        DataError: There are no pictures.
    """
    jobs: dict[str, Job] = {}
    for source in sources:
        if source == Path() or destination == Path():
            raise ConfigError("name the sources and the destination, not the current folder")
        if not source.exists():
            raise ConfigError(f"there is no picture or folder {source}")
        real, real_destination = source.resolve(), destination.resolve()
        if not source.is_dir():
            if real.parent == real_destination:
                raise ConfigError(f"{source} lies in {destination} itself: name a folder beside")
            found = [(source.name, source, "")]
        elif real.is_relative_to(real_destination) or real_destination.is_relative_to(real):
            raise ConfigError(
                f"{destination} lies in {source}, or the other way round: name a folder beside"
            )
        else:
            before = f"{real.name}/" if len(sources) > 1 else ""
            found = [(before + path.relative_to(source).as_posix(), path, why)
                     for path, why in _walk(source)]  # fmt: skip
        for place, photo, why in found:
            name = place if why else without_ending(place)
            if name in jobs:
                raise ConfigError(
                    f"{jobs[name].photo} and {photo} would both become {name}.png: rename one"
                )
            jobs[name] = Job(photo=photo, name=name, left_out=why)
    listed = [jobs[name] for name in sorted(jobs)]
    if all(job.left_out for job in listed):
        others = f" but {listed[0].photo} ({listed[0].left_out})" if listed else ""
        raise DataError(
            f"expected pictures ({READ}) in {', '.join(map(str, sources))}, found none{others}"
        )
    return listed


def check_further_faces(jobs: Iterable[Job], recorded: Iterable[str] = ()) -> None:
    """Refuse photos that may become the pictures of another photo's further faces.

    `recorded` are the names of photos that were aligned to the same folder before.

    Raises:
        ConfigError: Beside a photo `a`, one is called `a.face2` or the like.
    """
    named = {job.name: str(job.photo) for job in jobs if not job.left_out}
    known = dict.fromkeys(recorded, "a photo aligned before") | named
    for name, photo in sorted(known.items()):
        first, _, number = name.rpartition(FACE)
        if number.isdecimal() and int(number) > 1 and first in known and {name, first} & {*named}:
            raise ConfigError(
                f"{photo} and the face number {number} of {known[first]} would both become "
                f"{name}.png: rename one"
            )


def _walk(folder: Path) -> Iterator[tuple[Path, str]]:
    """What lies in a folder at any depth, and why it is no picture to align; links are followed."""
    seen: set[Path] = set()
    left = [folder]
    while left:
        # A link to a folder around it would go round for ever.
        if (real := (directory := left.pop(0)).resolve()) in seen:
            continue
        seen.add(real)
        listing = list_folder(directory)
        left[:0] = listing.folders
        yield from ((path, "") for path in listing.pictures)
        yield from ((directory / one.name, one.why) for one in listing.left_out)


def _open(path: Path, mode: Literal["r", "w", "a"]) -> TextIO:
    """Open a record; file names need not be text, and their bytes come back as they were."""
    return path.open(mode, newline="", encoding="utf-8", errors="surrogateescape")


def write_record(path: Path, rows: Iterable[Row]) -> None:
    """Write a record anew, atomically."""
    with replacing(path) as temporary, _open(temporary, "w") as file:
        csv.writer(file).writerows([Row._fields, *rows])


def append_row(path: Path, row: Row) -> None:
    """Add a line to a record that is there."""
    with writing(path), _open(path, "a") as file:
        csv.writer(file).writerow(row)


def read_record(path: Path) -> dict[str, Row]:
    """Read a record, by name; a line that a killed run left incomplete is passed over.

    Raises:
        DataError: The file is not a record.
    """
    if not path.is_file():
        return {}
    rows: dict[str, Row] = {}
    with _open(path, "r") as file:
        lines = csv.reader(file)
        try:
            # Records of older ones do not have the last column.
            if tuple(next(lines, ())) not in (Row._fields, Row._fields[:-1]):
                raise DataError(f"{path} is not a record of alignment: move it away")
            for line in lines:
                name, photo, outcome, faces, *rest = [*line, *[""] * len(Row._fields)]
                if outcome in get_args(Outcome) and faces.isascii() and faces.isdigit():
                    rows[name] = Row._make([name, photo, outcome, int(faces), *rest[:3]])
        except csv.Error as error:
            raise DataError(f"{path} is not a record of alignment: move it away") from error
    return rows


def raw_photos(record: Path, pictures: Sequence[str]) -> list[Path]:
    """The photos that aligned pictures were made from, by the record beside these.

    Args:
        record: The file that `write_record` wrote.
        pictures: Names of aligned pictures, relative to their folder.

    Raises:
        ConfigError: There is no record, it does not tell of a picture, or a photo is not where it
            was, or another by now.
        DataError: The file is not a record.
    """
    if not record.is_file():
        raise ConfigError(
            f"{record} is missing, which tells what photos the faces come from: align the photos "
            "with agns align, and attack the faces that it writes"
        )
    rows = {name: row for row in read_record(record).values() for name in row.pictures}
    found = []
    for name in pictures:
        if (row := rows.get(name)) is None:
            raise ConfigError(f"{record} does not tell what photo {name} comes from")
        photo = Path(row.photo)
        if not photo.is_file() or digest_if_readable(photo) not in ("", row.content.split(" ")[0]):
            raise ConfigError(
                f"{photo}, from which {name} was aligned, is gone or another photo by now: align "
                "it anew"
            )
        found.append(photo)
    return found
