"""Writing files whole or not at all, and saying which one could not be written."""

import contextlib
import errno
import html
import os
import re
import uuid
from collections.abc import Iterator
from pathlib import Path

import safetensors

_STEERING = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""Control characters, those that turn the direction of writing, and bytes that are no text."""

_MARKS = re.compile(r"[\\`*|~]|\](?=\()|(?<![^\W_])_|_(?![^\W_])|^\[|^[-+#](?= )")
"""What Markdown does not take as it is; an underscore within a word it does."""


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary file beside `path` that takes its place once written in full.

    Raises:
        OSError: It cannot be written, as on a full disk; names `path`, which stays as it was.
    """
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    # Of a long name a part: with more the file system would refuse it.
    temporary = path.with_name(f".{path.name[:40]}.{uuid.uuid4().hex[:8]}.tmp")
    with writing(path, temporary):
        try:
            yield temporary
            with temporary.open("rb+") as written:
                os.fsync(written.fileno())
            temporary.replace(path)
        finally:
            # A disk that has become read-only keeps it, and the write's own error is told.
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def writing(path: Path, temporary: Path | None = None) -> Iterator[None]:
    """Name `path` in what goes wrong while it is written: the system names a full disk alone.

    Args:
        path: What is written.
        temporary: The file that is written in its place, whose name means nothing to anybody.

    Raises:
        OSError: As it came, with the path; also for what safetensors raises in its place.
    """
    try:
        yield
    except safetensors.SafetensorError as error:
        # It tells what the system said only in words of its own.
        said = re.search(r"(?:code:|os error) (\d+)", str(error))
        if said is None:
            raise
        raise OSError(int(said[1]), os.strerror(int(said[1])), str(path)) from error
    except OSError as error:
        if error.filename is not None and error.filename not in (temporary, str(temporary)):
            raise
        number = error.errno or errno.EIO
        raise OSError(number, error.strerror or str(error), str(path)) from error


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically; bytes of file names that are no text come as escapes."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def is_text(name: str) -> bool:
    """Whether a name is UTF-8 text, which those of files need not be on Linux."""
    return name.encode(errors="ignore").decode() == name


def plain(text: str) -> str:
    """Text on one line that cannot steer a terminal: letters that could come as escapes."""
    return _STEERING.sub(lambda at: at[0].encode("unicode_escape").decode("ascii"), text)


def in_markdown(text: str) -> str:
    """Text as Markdown that shows it as it is, on one line, whatever marks are in it."""
    return _MARKS.sub(lambda at: f"\\{at[0]}", html.escape(plain(text), quote=False))
