"""The commands, put together. Nothing here imports torch, so that help comes at once."""

from typing import Annotated

import typer

from agns import __version__
from agns.cli import (
    align,
    attack,
    campaign,
    defend,
    demo,
    end_to_end,
    enrol,
    faces,
    glasses,
    models,
    recognize,
    studio,
    survey,
    survive,
    train,
    universal,
    verify,
)
from agns.cli.given import Command, Group
from agns.cli.settings_options import with_settings

app = typer.Typer(
    name="agns",
    cls=Group,
    help="Measure how far eyeglasses can fool a face recogniser that you are allowed to test.",
    no_args_is_help=True,
    # Commands take it over from here.
    context_settings={"help_option_names": ["-h", "--help"]},
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("demo")(demo.demo)
app.command("align", cls=Command)(align.align)
app.command("enrol", cls=Command)(enrol.enrol)
app.command("verify")(verify.verify)
app.command("recognize")(recognize.recognize)
app.command("attack", cls=attack.AttackCommand)(attack.attack)
app.command("universal", cls=with_settings(*universal.SETTINGS))(universal.universal)
app.command("survive")(survive.survive)
app.command("end-to-end")(end_to_end.end_to_end)
app.command("studio")(studio.studio)
app.add_typer(survey.app, name="survey")
app.add_typer(campaign.app, name="campaign")
app.add_typer(models.app, name="models")
app.add_typer(train.app, name="train")
app.add_typer(defend.app, name="defend")
app.add_typer(glasses.app, name="glasses")
app.add_typer(faces.app, name="faces")


def _show_version(asked: bool) -> bool:
    if asked:
        typer.echo(f"agns {__version__}")
        raise typer.Exit
    return asked


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Say which.")
    ] = False,
) -> None:
    """Measure how far eyeglasses can fool a face recogniser that you are allowed to test."""
