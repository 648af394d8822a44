"""What pictures were made of: the file `photographs.json` beside them.

Pictures of pictures, such as simulated photos of somebody's face, have digests of their own.
Whoever was trained on one has seen the other, so the file names the digest of what each is of, and
readers take that for the picture's own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agns.data.selection import composed
from agns.errors import DataError
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
