"""What pictures were made of: the file `photographs.json` beside them.

Pictures of pictures, such as simulated photos of somebody's face, have digests of their own.
Whoever was trained on one has seen the other, so the file names the digest of what each is of, and
readers take that for the picture's own.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from agns.errors import DataError
from agns.storage import read_json, versions, write_json

PHOTOGRAPHS = "photographs.json"


def write_sources(folder: Path, rows: Sequence[Mapping[str, object]], **about: object) -> None:
    """Write what each picture of a folder is of.

    Args:
        folder: Where the pictures are.
        rows: For each picture at least `photo`, its name, and `digest`, that of what it is of.
        about: What holds for all.
    """
    write_json(folder / PHOTOGRAPHS, {"photographs": list(rows), **about, "versions": versions()})


def read_sources(folder: Path) -> dict[str, str]:
    """Digests of what pictures are of, by the pictures' names; empty where nothing tells.

    Raises:
        DataError: The file is not what `write_sources` writes.
    """
    path = folder / PHOTOGRAPHS
    if not path.is_file():
        return {}
    listed = read_json(path).get("photographs")
    if not isinstance(listed, list) or not all(
        isinstance(row, dict) and {"photo", "digest"} <= row.keys() for row in listed
    ):
        raise DataError(f"{path} does not say what each picture is of: make them anew")
    return {str(row["photo"]): str(row["digest"]) for row in listed}
