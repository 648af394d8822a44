"""Writing files whole or not at all, and saying which one could not be written."""

import contextlib
import errno
import os
import re
import uuid
from collections.abc import Iterator
from pathlib import Path

import safetensors


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
