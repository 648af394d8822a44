"""Options that say where a training runs, and its launch on one process or many."""

import contextlib
import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import typer

from agns.cli import interrupts
from agns.writing import plain

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from agns.training.parallel import Machines

AcceleratorOption: TypeAlias = Annotated[
    Literal["auto", "cpu", "cuda"],
    typer.Option("--accelerator", help="auto takes a GPU where there is one."),
]
DevicesOption: TypeAlias = Annotated[
    int, typer.Option("--devices", help="Processes on each machine, one a GPU where there are any.")
]
NodesOption: TypeAlias = Annotated[
    int, typer.Option("--num-nodes", help="Machines; start each with torchrun.")
]
StrategyOption: TypeAlias = Annotated[
    Literal["auto", "ddp"],
    typer.Option("--strategy", help="How processes work together; several always as ddp."),
]
FabricPrecisionOption: TypeAlias = Annotated[
    Literal["auto", "32", "bf16-mixed", "16-mixed"],
    typer.Option(
        "--precision",
        help="Of the networks' steps. auto takes bf16-mixed where the hardware is fast at it.",
    ),
]


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
