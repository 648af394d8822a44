"""The launch of a training on one process or many, and command lines as a shell takes them."""

import contextlib
import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from agns.cli import interrupts
from agns.writing import plain

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from agns.training.parallel import Machines


@contextlib.contextmanager
def launched(machines: "Machines", out: Path, *, resume: bool) -> "Iterator[Fabric]":
    """Start the processes of a training; all but the first are silent.

    Each process runs the command anew from its beginning.

    Args:
        machines: What to run on.
        out: The run directory, which the first process checks before any other starts.
        resume: As `RunDirectory` takes it.

    Raises:
        ConfigError: The directory cannot be used.
    """
    from agns.errors import AgnsError
    from agns.run_directory import RunDirectory
    from agns.training.parallel import is_first_process, running

    if is_first_process():
        RunDirectory.check(out, resume=resume)
        with running(machines) as fabric:
            yield fabric
        return
    try:
        with (
            Path(os.devnull).open("w", encoding="utf-8") as nowhere,
            contextlib.redirect_stdout(nowhere),
            contextlib.redirect_stderr(nowhere),
            running(machines) as fabric,
        ):
            yield fabric
    except AgnsError:
        # The first process says it.
        sys.exit(1)
    except (Exception, KeyboardInterrupt):
        if interrupts.interrupted():
            sys.exit(interrupts.exit_code())
        raise


def command_line() -> str:
    """How this command was called, for the record."""
    return command(*sys.argv[1:])


def command(*words: object) -> str:
    """A command line that a shell takes as it is, whatever names are in it."""
    return " ".join(["agns", *map(_quoted, words)])


def _quoted(word: object) -> str:
    # A path must not pass for an option.
    text = f"./{word}" if isinstance(word, Path) and str(word).startswith("-") else str(word)
    if plain(text) == text:
        return shlex.quote(text)
    # What cannot be printed as it is, shells take byte by byte.
    return "$'" + "".join(f"\\x{byte:02x}" for byte in os.fsencode(text)) + "'"
