"""`agns demo`: the whole way on drawn faces, with the weights that come along."""

from pathlib import Path
from typing import Annotated

import typer

from agns.cli.console import bar, percent, prepare, say
from agns.cli.options import SeedOption

DEMO_FRAMES = 2880
"""Drawn frames that the demonstration's attacks see; fewer than the whole set saves time."""


def demo(
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Directory.  [default: demo, demo-2, ...]"),
    ] = None,
    seed: SeedOption = 0,
) -> None:
    """Recognise, generate, dodge and impersonate on drawn faces, and write a report."""
    import time

    from agns.cli.attack import open_apparatus
    from agns.cli.options import open_victim
    from agns.errors import ConfigError
    from agns.evaluation.showcase import ShowcaseConfig, run_showcase

    started = time.monotonic()
    prepare()
    folder = _free_folder() if out is None else out
    if (folder / "report.html").exists():
        raise ConfigError(f"{folder} already holds a report: name another directory")
    apparatus = open_apparatus(open_victim(None), None, None, None, count=DEMO_FRAMES)
    found = run_showcase(apparatus, ShowcaseConfig(seed=seed), folder, bar)
    say(f"Recognised {percent(found.accuracy)} of fresh photos without a frame.")
    for report in (found.dodge, found.impersonate):
        rate = percent(report.held_out.success_rate)
        aim = "not recognised" if report.target is None else f"taken for {report.target}"
        benign = percent(report.controls["benign"].success_rate)
        say(
            f"{report.subject} wearing the frame is {aim} on {rate} of "
            f"{report.held_out.images} held-out photos; wearing benign frames, on {benign}."
        )
        for warning in report.warnings:
            say(f"Warning: {warning}")
    say(f"Took {time.monotonic() - started:.0f} s. Open {folder / 'report.html'} in a browser.")


def _free_folder() -> Path:
    """The first of demo, demo-2, ... that is not there."""
    number = 1
    while (folder := Path("demo" if number == 1 else f"demo-{number}")).exists():
        number += 1
    return folder
