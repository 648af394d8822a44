"""`agns demo`: the whole way on drawn faces with the weights that come along, or a part of it."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import typer

from agns.cli.console import bar, percent, prepare, say
from agns.cli.options import FacesOption, RecognizerOption
from agns.loading import load_victim

if TYPE_CHECKING:
    from agns.cli.demo_parts import Demo

Chosen: TypeAlias = Literal["recognise", "generate", "dodge", "impersonate", "physical", "all"]

_MENU: dict[Chosen, str] = {
    "recognise": "recognise faces",
    "generate": "generate eyeglasses",
    "dodge": "dodge: not be recognised",
    "impersonate": "impersonate: be taken for somebody",
    "physical": "impersonate physically: with photos of a worn frame",
    "all": "all of the digital ones, with a report",
}


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
    from agns.errors import ConfigError

    chosen, asked = (part, False) if part else _choose()
    if chosen == "all" and (faces is not None or recognizer is not None):
        raise ConfigError("--faces and --recognizer belong to a single part: name it")
    if seed is None:
        # Recognising draws nothing.
        wanted = asked and chosen != "recognise"
        seed = typer.prompt("Seed", default=0, type=int) if wanted else 0
    number = 1
    while out is None or (number > 1 and out.exists()):
        out = Path("demo" if number == 1 else f"demo-{number}")
        number += 1
    if (out / "report.html").exists():
        raise ConfigError(f"{out} already holds a report: name another directory")
    prepare()
    from agns.cli.demo_parts import Demo, show_part

    shown = Demo(load_victim(recognizer), recognizer, faces, out, seed)
    if chosen == "all":
        _show_all(shown)
    else:
        show_part(chosen, shown)


def _choose() -> tuple[Chosen, bool]:
    """What to show, and whether somebody was asked."""
    # A stream that the shell has closed is None.
    if not all(stream and stream.isatty() for stream in (sys.stdin, sys.stdout)):
        return "all", False
    for number, (name, title) in enumerate(_MENU.items(), 1):
        say(f"{number}  {name:12} {title}")
    number = 0
    while number not in range(1, len(_MENU) + 1):
        number = typer.prompt("Which", default=len(_MENU), type=int)
    return [*_MENU][number - 1], True


def _show_all(shown: "Demo") -> None:
    from agns.evaluation.demonstration import demonstrate

    started = time.monotonic()
    found = demonstrate(shown.setup(), shown.out, bar, seed=shown.seed, tell=say)
    say(f"Recognised {percent(found.accuracy)} of fresh photos without a frame.")
    for report in found.attacks:
        rate = percent(report.held_out.success_rate)
        aim = "not recognised" if report.target is None else f"taken for {report.target}"
        benign = percent(report.controls["benign"].success_rate)
        say(
            f"{report.subject} wearing the frame is {aim} on {rate} of "
            f"{report.held_out.images} held-out photos; wearing benign frames, on {benign}."
        )
        for warning in report.warnings:
            say(f"Warning: {warning}")
    say(
        "These people are shown because frames are found for them soon. For most of the ten, none "
        "is found that looks like eyeglasses."
    )
    say(f"Took {time.monotonic() - started:.0f} s. Open {shown.out / 'report.html'} in a browser.")
