"""Photos known by their content: what pictures are of, and photos of a record found again.

Pictures of pictures, such as simulated photos of somebody's face, have digests of their own.
Whoever was trained on one has seen the other, so `photographs.json` beside them names the digest of
what each is of, and readers take that for the picture's own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

import torch

from agns.data.cache import digest, in_threads
from agns.data.faces import FaceSet, composed
from agns.errors import ConfigError, DataError
from agns.storage import read_json, versions, write_json

PHOTOGRAPHS = "photographs.json"


@dataclass(frozen=True, slots=True)
class Sources:
    """Digests of what the pictures of one folder are of."""

    path: Path
    """The file that tells."""

    by_name: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    """By a picture's name in composed Unicode: the digest of what it is of, and its own if the
    file tells it."""

    def digest_of(self, name: str, own: str, *, whole: str | None = None) -> str:
        """What counts as a picture's digest.

        Args:
            name: The picture's.
            own: Its own digest.
            whole: Where the picture was cut after it was written, its digest before that.

        Raises:
            DataError: The picture is another one than that of this name in the file.
        """
        written = own if whole is None else whole
        of, told = self.by_name.get(composed(name), (None, None))
        if of is None:
            # A picture that was given another name is still the same.
            return next((of for of, told in self.by_name.values() if told == written), own)
        if told is not None and told != written:
            raise DataError(
                f"{self.path.with_name(name)} is not the picture of this name that {self.path} "
                "tells of: give it another name"
            )
        return of


def write_sources(
    folder: Path, rows: Sequence[Mapping[str, object]], about: Mapping[str, object]
) -> None:
    """Write what each picture of a folder is of; to be done before the picture is.

    Args:
        folder: Where the pictures are.
        rows: For each picture at least `photo`, its name, `picture`, its digest, and `digest`,
            that of what it is of.
        about: What holds for all.
    """
    write_json(folder / PHOTOGRAPHS, {"photographs": list(rows), **about, "versions": versions()})


def read_sources(folder: Path) -> Sources:
    """Read what the pictures of a folder are of; nothing where there is no such file.

    Raises:
        DataError: The file is not what `write_sources` writes.
    """
    path = folder / PHOTOGRAPHS
    if not path.is_file():
        return Sources(path)
    listed = read_json(path).get("photographs")
    by_name: dict[str, tuple[str, str | None]] = {}
    for row in listed if isinstance(listed, list) else [None]:
        told = row if isinstance(row, dict) else {}
        name, of, own = told.get("photo"), told.get("digest"), told.get("picture")
        if not (
            isinstance(name, str)
            and isinstance(of, str)
            and (own is None or isinstance(own, str))
            and composed(name) not in by_name
        ):
            raise DataError(f"{path} does not say what each picture is of: make them anew")
        by_name[composed(name)] = (of, own)
    return Sources(path, by_name)


@dataclass(frozen=True, slots=True, kw_only=True)
class PhotoRow:
    """One photo of a record."""

    photo: str
    """Its path relative to the face folder, when it was recorded."""

    identity: str

    digest: str
    """What it counts as; see `FaceSet.digests`."""

    picture: str
    """Of its own pixels; of a picture of a picture it is another than `digest`."""

    def as_json(self) -> dict[str, str]:
        """The row as a JSON object."""
        return asdict(self)


def rows_of(faces: FaceSet) -> list[PhotoRow]:
    """A row for each photo, in the set's order."""
    pictures = in_threads(digest, faces.pixels.numpy())
    return [
        PhotoRow(photo=photo, identity=faces.identities[label], digest=own, picture=picture)
        for photo, label, own, picture in zip(
            faces.photos, faces.labels.tolist(), faces.digests, pictures, strict=True
        )
    ]


def read_rows(listed: object, path: Path) -> list[PhotoRow]:
    """Rows from JSON; keys beside theirs are passed over.

    Raises:
        DataError: They are no rows.
    """
    names = [field.name for field in fields(PhotoRow)]
    rows = []
    for row in listed if isinstance(listed, list) else [None]:
        told = row if isinstance(row, dict) else {}
        texts = {name: told[name] for name in names if isinstance(told.get(name), str)}
        if len(texts) < len(names):
            raise DataError(f"{path} does not list photos with their digests")
        rows.append(PhotoRow(**{**texts, "identity": composed(texts["identity"])}))
    return rows


def as_recorded(faces: FaceSet, rows: Sequence[PhotoRow], where: str) -> FaceSet:
    """Photos in the order of a record, under the names and digests they have there.

    Args:
        faces: The same pictures of the same identities, under any names and in any order.
        rows: The record.
        where: Who was begun with them, for the error.

    Raises:
        ConfigError: Some pictures are others.
    """
    there: dict[tuple[str, str], list[int]] = {}
    for place, row in enumerate(rows_of(faces)):
        there.setdefault((row.identity, row.picture), []).append(place)
    order = [
        own.pop(0) for row in rows if (own := there.get((composed(row.identity), row.picture)))
    ]
    gone, new = len(rows) - len(order), len(faces) - len(order)
    if gone or new:
        raise ConfigError(
            f"{where} was begun with other photos: {gone} of its {len(rows)} are not among these, "
            f"and {new} of these are new: go on with the photos that it was begun with"
        )
    places = torch.tensor(order, dtype=torch.int64)
    if not torch.equal(places, torch.arange(len(faces))):
        faces = faces.subset(places)
    return replace(
        faces,
        photos=tuple(row.photo for row in rows),
        digests=tuple(row.digest for row in rows),
    )
