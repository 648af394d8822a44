"""`agns demo`: the whole way on drawn faces with the weights that come along, or a part of it."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias, get_args

import typer

from agns.cli.console import bar, percent, prepare, say
from agns.cli.options import FacesOption, RecognizerOption
from agns.loading import load_victim

if TYPE_CHECKING:
    from agns.cli.stage import Stage

Chosen: TypeAlias = Literal["recognise", "generate", "dodge", "impersonate", "physical", "all"]


def demo(
    part: Annotated[
        Chosen | None,
        typer.Argument(help="What to show.  [default: a menu at a terminal, all elsewhere]"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Directory.  [default: demo, demo-2, ...]"),
    ] = None,
    faces: FacesOption = None,
    recognizer: RecognizerOption = None,
    seed: Annotated[
        int | None,
        typer.Option(
            help="Seed of every draw.  [default: asked for at the menu, 0 elsewhere]",
            min=0,
            max=2**63 - 1,
        ),
    ] = None,
) -> None:
    """Recognise, generate, dodge and impersonate on drawn faces, and write a report.

    Or one of these alone, or impersonation with photos of a worn frame, with the commands that do
    it by hand; then also on your own face folder and recogniser.
    """
    from agns.cli.demonstrations import PARTS, show_part
    from agns.cli.stage import Stage
    from agns.errors import ConfigError

    chosen, asked = (part, False) if part else _choose()
    if chosen == "all" and (faces is not None or recognizer is not None):
        raise ConfigError("--faces and --recognizer belong to a single part: name it")
    if seed is None:
        wanted = asked and (chosen == "all" or PARTS[chosen].asks_seed)
        seed = typer.prompt("Seed", default=0, type=int) if wanted else 0
    folder = _free_folder() if out is None else out
    if (folder / "report.html").exists():
        raise ConfigError(f"{folder} already holds a report: name another directory")
    prepare()
    stage = Stage(
        victim=load_victim(recognizer), recognizer=recognizer, faces=faces, out=folder, seed=seed
    )
    if chosen == "all":
        _show_all(stage)
    else:
        show_part(PARTS[chosen], stage)


def _choose() -> tuple[Chosen, bool]:
    """What to show, and whether somebody was asked."""
    from agns.cli.demonstrations import PARTS

    names: tuple[Chosen, ...] = get_args(Chosen)
    # A stream that the shell has closed is None.
    if not all(stream and stream.isatty() for stream in (sys.stdin, sys.stdout)):
        return "all", False
    for number, name in enumerate(names, 1):
        title = PARTS[name].title if name in PARTS else "all of the digital ones, with a report"
        say(f"{number}  {name:12} {title}")
    number = 0
    while number not in range(1, len(names) + 1):
        number = typer.prompt("Which", default=len(names), type=int)
    return names[number - 1], True


def _show_all(stage: "Stage") -> None:
    import time

    from agns.evaluation.showcase import ShowcaseConfig, run_showcase

    started = time.monotonic()
    found = run_showcase(stage.setup(), ShowcaseConfig(seed=stage.seed), stage.out, bar)
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
    say(f"Took {time.monotonic() - started:.0f} s. Open {stage.out / 'report.html'} in a browser.")


def _free_folder() -> Path:
    """The first of demo, demo-2, ... that is not there."""
    number = 1
    while (folder := Path("demo" if number == 1 else f"demo-{number}")).exists():
        number += 1
    return folder
