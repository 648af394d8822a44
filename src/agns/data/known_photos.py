"""Photos known again by content, whatever their files and folders are called by then."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import torch

from agns.data.cache import WORKERS, digest
from agns.data.faces import FaceSet
from agns.data.selection import composed
from agns.errors import ConfigError, DataError


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
    with ThreadPoolExecutor(WORKERS) as pool:
        pictures = list(pool.map(digest, faces.pixels.numpy()))
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
