"""What the terminal shows: progress bars, tables, and sentences.

Rich is imported where it is used, so that help comes at once.
"""

import contextlib
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from agns.types import Progress


MINUTE = 60.0
"""Seconds between two lines about a loop where output is a file, as on a cluster."""


def say(sentence: str) -> None:
    """Print a sentence as it is, without wrapping or markup."""
    typer.echo(sentence)


@contextlib.contextmanager
def bar(title: str) -> "Iterator[Progress]":
    """A progress bar that a loop can report to.

    Where output is a file, a line a minute and, at the end, the finished bar.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.table import Column

    columns = (
        # On a narrow terminal the figures give way, not the title.
        TextColumn("{task.description}", table_column=Column(min_width=len(title), no_wrap=True)),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
        TextColumn("{task.fields[figures]}", table_column=Column(max_width=24, no_wrap=True)),
    )
    console = Console(file=sys.stderr, highlight=False)
    with Progress(*columns, console=console) as bars:
        task = bars.add_task(title, total=None, figures="", visible=False)
        begun = told = time.monotonic()

        def progress(done: int, total: int, figures: Mapping[str, float]) -> None:
            nonlocal told
            text = "  ".join(f"{name} {value:.3g}" for name, value in figures.items())
            bars.update(task, completed=done, total=total, figures=text, visible=True)
            now = time.monotonic()
            if not console.is_terminal and now - told >= MINUTE:
                told = now
                left = (now - begun) / 60 * (total / max(1, done) - 1)
                line = (f"{title}: {done} of {total}", f"about {left:.0f} min left", text)
                typer.echo(", ".join(filter(None, line)), err=True)

        yield progress
        # A loop that reached its aim early is done all the same.
        bars.update(task, total=bars.tasks[task].completed)


def show(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; columns whose heads begin with `>` are aligned to the right."""
    from rich.console import Console
    from rich.table import Table

    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in head:
        name = column.removeprefix(">")
        made.add_column(name, justify="right" if column != name else "left", overflow="fold")
    for row in rows:
        made.add_row(*row)
    Console(highlight=False, markup=False).print(made)


def percent(share: float | None) -> str:
    """A share as a percentage."""
    return "-" if share is None else f"{share:.1%}"


def prepare() -> None:
    """Set PyTorch up for speed; numbers too small for normal form become 0."""
    import torch

    torch.set_flush_denormal(True)


def workers() -> int:
    """Processes to draw in."""
    return min(4, os.cpu_count() or 1)
