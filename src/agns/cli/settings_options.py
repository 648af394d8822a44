"""Options made of the fields of settings: their names, types, defaults and docstrings.

A command says whose options it has, by names; its function asks for what the command line makes of
them. Fields of a module that is not imported yet are read from its source, so that help comes
without PyTorch:

    NETS = Settings("agns.training.gan:GanTraining")

    @app.command("gan", cls=with_settings(NETS))
    def train_gan(out: OutOption) -> None:
        from agns.training.gan import GanTraining

        config = settings_of(GanTraining)

- A field `warm_up` becomes `--warm-up`. A bool has `--no-...`, too. A `Literal` has its words to
  choose from; `tuple[int, ...]` is written `1,2,3`; of `tuple[str, ...]` the option is repeated.
- `settings_of(kind, base)` is `base` with what was given changed. So defaults may depend on
  other options: `settings_of(AGN, PHYSICAL if physical else AGN())`. `given_settings(kind)` is
  what was given alone, by the names of the fields.
- Help is the first paragraph of the field's docstring, with its range (`agns.settings`) where both
  ends are finite, and its default. `Settings(..., defaults={"jitter": "0, physically 1"})` says
  what help tells instead; a string is told of all fields.
- A command may have several `Settings`. Of fields with the same name there is one option, which
  goes to all; the help is that of the first.
- Values out of range are refused by the settings' own class.
"""

import dataclasses
import functools
import inspect
import re
import types
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Annotated, NamedTuple, TypeVar, no_type_check

import typer

from agns.cli.given import Command
from agns.cli.settings_fields import Field, read_fields
from agns.errors import ConfigError
from agns.settings import Range, kind_of

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    _Settings = TypeVar("_Settings", bound=DataclassInstance)
else:
    _Settings = TypeVar("_Settings")

_GIVEN: ContextVar[Mapping[str, Mapping[str, object]]] = ContextVar("given settings")


class Settings(NamedTuple):
    """A dataclass whose fields become options."""

    source: str
    """`package.module:Class`."""

    only: tuple[str, ...] = ()
    """Fields to take; none for all."""

    without: tuple[str, ...] = ()
    """Fields to leave out."""

    defaults: Mapping[str, str] | str = {}
    """What help says of defaults that are not the class's own, by fields, or of all of them."""

    def fields(self) -> "list[Field]":
        """Those that become options."""
        module, _, name = self.source.partition(":")
        return [
            field
            for field in read_fields(module, name)
            if field.name not in self.without and (not self.only or field.name in self.only)
        ]


def with_settings(*settings: Settings) -> type[Command]:
    """The class of a command that has options for the fields of these settings, after its own."""
    return type("SettingsCommand", (SettingsCommand,), {"settings": settings})


def settings_of(kind: type[_Settings], base: _Settings | None = None) -> _Settings:
    """Settings as the running command's line has them.

    Args:
        kind: A class that the command is made `with_settings` of.
        base: What is taken where nothing is given; `kind()` by default.

    Raises:
        ConfigError: As the class does.
    """
    given = given_settings(kind)
    return kind(**given) if base is None else dataclasses.replace(base, **given)


def given_settings(kind: "type[DataclassInstance]") -> dict[str, object]:
    """What the running command's line says of such settings, by the names of their fields."""
    return dict(_GIVEN.get()[f"{kind.__module__}:{kind.__name__}"])


class SettingsCommand(Command):
    """A command with options for the fields of its `settings`, which may change between calls."""

    settings: tuple[Settings, ...] = ()
    made: tuple[Settings, ...] = ()

    # The context is of a library that Typer keeps to itself.
    @no_type_check
    def make_context(self, *arguments, **named):
        """Make the options when the command is called, or its help is asked for."""
        if self.made != self.settings:
            old = {field.name for one in self.made for field in one.fields()}
            self.params = [one for one in self.params if one.name not in old]
            taken = {one.name for one in self.params}
            for one in self.settings:
                for field in one.fields():
                    if field.name in taken:
                        raise ConfigError(
                            f"{one.source} has a setting {field.name}, which is an option of the "
                            "command itself: give it another name"
                        )
            self.params += _options(self.settings)
            self.made = self.settings
        return super().make_context(*arguments, **named)

    @no_type_check
    def invoke(self, ctx):
        """Keep the options' values for `settings_of`, and pass the others to the function."""
        names = {one.source: [field.name for field in one.fields()] for one in self.settings}
        values = {name: ctx.params.pop(name) for name in set().union(*names.values())}
        # Of an option that may be repeated, Typer gives an empty list where it is not.
        given = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in values.items()
            if value not in (None, [], ())
        }
        token = _GIVEN.set(
            {
                source: {name: given[name] for name in own if name in given}
                for source, own in names.items()
            }
        )
        try:
            return super().invoke(ctx)
        finally:
            _GIVEN.reset(token)


@no_type_check
def _options(settings: tuple[Settings, ...]):
    """Options, as Typer makes them of a function's parameters."""
    parameters = {}
    for one in settings:
        for field in one.fields():
            told = one.defaults if isinstance(one.defaults, str) else one.defaults.get(field.name)
            parameters.setdefault(field.name, _parameter(field, told))

    def stand_in() -> None:
        pass

    stand_in.__signature__ = inspect.Signature(list(parameters.values()))
    stand_in.__annotations__ = {name: one.annotation for name, one in parameters.items()}
    app = typer.Typer(add_completion=False)
    app.command()(stand_in)
    return [one for one in typer.main.get_command(app).params if one.name in parameters]


@no_type_check
def _parameter(field: Field, told: str | None) -> inspect.Parameter:
    kind = kind_of(field.type)
    flag, plain, more = f"--{field.name.replace('_', '-')}", kind.plain, {}
    if kind.many and plain in (int, float):
        more = {"metavar": "N,N,...", "parser": functools.partial(_numbers, flag, plain)}
        plain = tuple
    elif kind.many:
        plain = types.GenericAlias(list, (plain,))
    elif plain is bool:
        flag += f"/--no-{flag[2:]}"
    required = field.default is dataclasses.MISSING
    told = "" if required else told or _shown(field.default)
    text = help_text(field.text, kind.range) + (f"  [default: {told}]" if told else "")
    option = typer.Option(flag, help=text, **more)
    # None where nothing is given: the settings themselves say what that comes to.
    return inspect.Parameter(
        field.name,
        inspect.Parameter.KEYWORD_ONLY,
        annotation=Annotated.__class_getitem__((plain if required else plain | None, option)),
        default=inspect.Parameter.empty if required else None,
    )


def _numbers(flag: str, kind: Callable[[str], float], text: str) -> tuple[float, ...]:
    try:
        return tuple(kind(part) for part in text.split(","))
    except ValueError:
        what = "whole numbers" if kind is int else "numbers"
        raise ConfigError(f"{flag} takes {what} with commas, got {text!r}") from None


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def help_text(text: str, numbers: Range | None) -> str:
    """The first paragraph of a field's docstring, with its range where both ends are finite."""
    told = " ".join(text.split("\n\n")[0].split()).replace("`", "")
    # A terminal cannot follow where the docstring refers to.
    told = re.sub(r"[;,] see agns[\w.]*\w", "", told)
    if numbers is not None and max(map(abs, (numbers.low, numbers.high))) < 2**31:
        told = f"{told.removesuffix('.')}, in {numbers.text}."
    return told
