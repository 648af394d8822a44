"""What the terminal shows: progress bars, tables, and sentences.

Rich is imported where it is used, so that help comes at once.
"""

import contextlib
import io
import math
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import typer

from agns.cli.interrupts import interrupted
from agns.writing import plain

if TYPE_CHECKING:
    from pathlib import Path

    from agns.types import Progress


MINUTE = 60.0
"""Seconds between two lines about a loop where output is a file, as on a cluster."""


def accept_every_name() -> None:
    """Let output that lacks a letter of a name, as Latin-1 does most, take an escape for it."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def say(sentence: str, *, aside: bool = False) -> None:
    """Print a sentence on one line, without wrapping or markup.

    Args:
        sentence: It may hold names of any kind.
        aside: Print it on standard error, where standard output is for a program to read.
    """
    stream = sys.stderr if aside else sys.stdout
    if stream is None:  # It was closed before the command began.
        return
    # Not Typer's: it writes UTF-8 where a stream says that it takes ASCII alone.
    stream.write(f"{plain(sentence)}\n")
    stream.flush()


def print_json(content: object) -> None:
    """Print content as JSON that every reader takes: numbers that are not finite become null."""
    import json

    typer.echo(json.dumps(_finite(content), indent=2, allow_nan=False))


def _finite(content: object) -> object:
    if isinstance(content, dict):
        return {name: _finite(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


@contextlib.contextmanager
def bar(title: str) -> "Iterator[Progress]":
    """A progress bar that a loop can report to.

    Where output is a file, a line a minute and, at the end, the finished bar.
    """
    from rich.cells import cell_len
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.table import Column

    title = plain(title)
    # On a narrow terminal the figures give way, not the title.
    width = Column(min_width=cell_len(title), no_wrap=True)
    columns = (
        # Names are no markup, whatever brackets they have.
        TextColumn("{task.description}", markup=False, table_column=width),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
        TextColumn("{task.fields[figures]}", table_column=Column(max_width=24, no_wrap=True)),
    )
    console = Console(stderr=True, highlight=False)
    with Progress(*columns, console=console) as bars:
        task = bars.add_task(title, total=None, figures="", visible=False)
        begun = told = time.monotonic()
        first: tuple[int, float] | None = None
        last = 0

        def progress(done: int, total: int, figures: Mapping[str, float]) -> None:
            nonlocal begun, told, first, last
            if done < last:
                # Another part of the work, whose steps take a time of their own.
                begun, first = time.monotonic(), None
                bars.reset(task, total=total)
            last = done
            text = "  ".join(f"{name} {value:.3g}" for name, value in figures.items())
            bars.update(task, completed=done, total=total, figures=text, visible=True)
            now = time.monotonic()
            # Neither what an earlier run has done counts, nor, from the second step on, what
            # comes before the first.
            first = (done, now) if first is None else first
            before, since = first if done > first[0] else (done - 1, begun)
            if not console.is_terminal and now - told >= MINUTE:
                told = now
                left = (now - since) / 60 * (total - done) / (done - before)
                line = (f"{title}: {done} of {total}", f"about {left:.0f} min left", text)
                say(", ".join(filter(None, line)), aside=True)

        yield progress
        # A loop that reached its aim early is done all the same, unless it was interrupted.
        if not interrupted():
            bars.update(task, total=bars.tasks[task].completed)


def show(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; columns whose heads begin with `>` are aligned to the right.

    A terminal too narrow for it folds words, but breaks no number; elsewhere nothing is folded.
    """
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, pad_edge=False, header_style="bold")
    least, most = 0, 0
    for place, column in enumerate(head):
        name = plain(column.removeprefix(">"))
        cells = max((cell_len(plain(row[place])) for row in rows), default=0)
        word = max(map(cell_len, name.split()), default=0)
        side: Literal["left", "right"] = "right" if column.startswith(">") else "left"
        narrow = max(cells, word) if side == "right" else min(8, cells)
        # As text, in which neither brackets nor :words: between colons mean anything.
        made.add_column(
            Text(name), justify=side, overflow="fold", min_width=narrow, no_wrap=side == "right"
        )
        least, most = least + narrow + 2, most + max(cells, cell_len(name)) + 2
    for row in rows:
        made.add_row(*(Text(plain(cell)) for cell in row))
    console = Console(highlight=False)
    console.width = max(console.width, least) if console.is_terminal else most
    console.print(made)


def show_picture(path: "Path", *, most: int = 100) -> None:
    """Show a picture as coloured half blocks where the terminal can, and else nothing.

    Args:
        path: Its file.
        most: Columns that it takes at most.
    """
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    shows = console.is_terminal and console.color_system == "truecolor"
    if not shows or console.encoding != "utf-8":
        return
    from PIL import Image

    with Image.open(path) as opened:
        columns = min(most, console.width)
        # A letter is twice as high as it is wide, and holds two points, one above the other.
        lines = max(1, round(columns * opened.height / opened.width / 2))
        picture = opened.convert("RGB").resize((columns, 2 * lines), Image.Resampling.BOX)
    values = picture.tobytes()
    colours = [f"#{values[place : place + 3].hex()}" for place in range(0, len(values), 3)]
    for line in range(lines):
        above, below = (colours[(2 * line + half) * columns :][:columns] for half in (0, 1))
        parts = [("▀", f"{up} on {down}") for up, down in zip(above, below, strict=True)]
        console.print(Text.assemble(*parts), no_wrap=True, crop=True)


def percent(share: float | None) -> str:
    """A share as a percentage."""
    return "-" if share is None else f"{share:.1%}"


def prepare() -> None:
    """Set PyTorch up for speed; numbers too small for normal form become 0."""
    from agns.training.precision import set_up_process

    set_up_process()


def workers() -> int:
    """Processes to draw in."""
    return min(4, os.cpu_count() or 1)
