"""The launch of a training on one process or many, and command lines as a shell takes them."""

import contextlib
import os
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agns.cli import interrupts
from agns.cli.console import bar
from agns.cli.face_options import FaceOptions, open_faces, open_glasses
from agns.cli.interrupts import between_steps
from agns.writing import plain

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from agns.data.faces import FaceSet
    from agns.training.parallel import Machines
    from agns.training.run import Provenance
    from agns.types import Glasses, Progress


@dataclass(frozen=True, slots=True)
class Begun:
    """A training on photos that has been launched, before its first step."""

    fabric: "Fabric"
    photos: "FaceSet"
    glasses: "Glasses"
    about: "Provenance"
    title: str

    @contextlib.contextmanager
    def steps(self) -> "Iterator[Progress]":
        """Show the steps; what interrupts waits for the end of one, if this process is alone."""
        with (
            bar(f"Training {self.title}") as shown,
            between_steps(shown, processes=self.fabric.world_size) as progress,
        ):
            yield progress


@contextlib.contextmanager
def begin_training(
    machines: "Machines",
    options: FaceOptions,
    glasses: Path | None,
    out: Path,
    title: str,
    *,
    resume: bool,
) -> "Iterator[Begun]":
    """Launch a training, and read what it is made on."""
    from agns.training.parallel import first_then_others
    from agns.training.run import Provenance

    with _launched(machines, out, resume=resume) as fabric:
        # The others find on the disk what the first one has decoded, drawn and downloaded.
        photos = first_then_others(fabric, lambda: open_faces(options))
        frames = first_then_others(fabric, lambda: open_glasses(glasses, count=2000))
        about = Provenance(
            source=options.source, center_crop=options.center_crop, command=command(*sys.argv[1:])
        )
        yield Begun(fabric, photos, frames, about, title)


@contextlib.contextmanager
def _launched(machines: "Machines", out: Path, *, resume: bool) -> "Iterator[Fabric]":
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
