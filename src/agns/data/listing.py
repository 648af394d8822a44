"""What lies in a folder: the pictures, and what is left out.

A file is a picture if its name ends as one of `agns.file_kinds.ENDINGS`, or if its first bytes are
those of one. Hidden files and folders, which begin with a dot, are passed over, and so are files
that are not meant for pictures: tables, text and settings beside them. Everything else that is no
picture is left out with a reason.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from agns.errors import ConfigError
from agns.file_kinds import ENDINGS, FORMATS, describe, picture_format, read_head

READ = ", ".join(dict.fromkeys(FORMATS.values()))
"""The formats that are read, for people."""

SYSTEM_FOLDERS = frozenset(
    (
        "__macosx", "@eadir", "#recycle", "@recycle", "@recently-snapshot", "#snapshot",
        "$recycle.bin", "recycler", "system volume information", "lost+found", "thumbs",
        "thumbnails", "__pycache__", "network trash folder", "temporary items",
    )
)  # fmt: skip
"""Names, in lower case, of folders that systems and programs keep beside people's own."""

BESIDE = (
    ".csv", ".tsv", ".json", ".jsonl", ".txt", ".md", ".rst", ".xml", ".xmp", ".yaml", ".yml",
    ".ini", ".db", ".pts", ".mat", ".npy", ".npz", ".aae", ".log", ".py", ".sha256", ".md5",
)  # fmt: skip
"""Endings, in lower case, of files that lie beside pictures for a reason."""


class LeftOut(NamedTuple):
    """Something that is no picture, or not where pictures are taken from."""

    name: str
    """Its path relative to the folder, with forward slashes."""

    why: str
    """What it is, and what to do about it."""

    folder: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What lies in one folder, each sorted by name."""

    pictures: tuple[Path, ...]
    folders: tuple[Path, ...]
    left_out: tuple[LeftOut, ...]

    @property
    def others(self) -> str:
        """What to add to a complaint that pictures are missing; empty if nothing was left out."""
        if not self.left_out:
            return ""
        first = self.left_out[0]
        more = f", and {len(self.left_out) - 1} more" if len(self.left_out) > 1 else ""
        return f"; left out: {first.name} ({first.why}){more}"


def list_folder(folder: Path) -> Listing:
    """Say what lies in a folder; nothing is decoded, and only files of other endings are opened.

    Raises:
        ConfigError: There is no such folder.
        OSError: It cannot be read.
    """
    if not folder.is_dir():
        raise ConfigError(f"there is no folder {folder}")
    pictures: list[Path] = []
    folders: list[Path] = []
    left_out: list[LeftOut] = []
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            path = folder / entry.name
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                if entry.name.casefold() not in SYSTEM_FOLDERS:
                    folders.append(path)
                else:
                    kept = "a folder that a system or a program keeps"
                    left_out.append(LeftOut(entry.name, kept, folder=True))
            elif (why := _why_not(entry, path)) is None:
                pictures.append(path)
            elif why:
                left_out.append(LeftOut(entry.name, why))
    return Listing(pictures=tuple(pictures), folders=tuple(folders), left_out=tuple(left_out))


def _why_not(entry: "os.DirEntry[str]", path: Path) -> str | None:
    """Why something is no picture: None if it is one, empty if nobody would take it for one."""
    if not entry.is_file():
        # A pipe would be waited for.
        return "a link to nothing" if entry.is_symlink() else "no file that could be read"
    name = entry.name.lower()
    if name.endswith(ENDINGS):
        return None
    try:
        head = read_head(path)
    except OSError as error:
        return f"a file that cannot be read: {error.strerror}"
    if picture_format(head, name) is not None:
        return None
    return "" if name.endswith(BESIDE) else describe(head, name)


def without_ending(name: str) -> str:
    """A picture's name without its ending; what follows a dot and is no ending stays."""
    stem, dot, ending = name.rpartition(".")
    return stem if stem and f"{dot}{ending}".lower() in ENDINGS else name
