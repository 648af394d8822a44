"""What a command line gives: which options, be it with their defaults, and mistakes in it."""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import no_type_check

from typer.core import TyperCommand, TyperGroup

from agns.writing import plain

_GIVEN: ContextVar[tuple[str, ...]] = ContextVar("given", default=())


def given() -> tuple[str, ...]:
    """The running command's parameters that its command line names, as Python calls them.

    The command must be a `Command`.
    """
    return _GIVEN.get()


class Command(TyperCommand):
    """A command whose function can ask for what is `given`."""

    # The context is of a library that Typer keeps to itself.
    @no_type_check
    def invoke(self, ctx):
        """Note what is given, and run the function."""
        sources = {name: ctx.get_parameter_source(name) for name in ctx.params}
        token = _GIVEN.set(
            tuple(name for name, source in sources.items() if source.name == "COMMANDLINE")
        )
        try:
            return super().invoke(ctx)
        finally:
            _GIVEN.reset(token)


class Group(TyperGroup):
    """All commands; what is wrong with a command line is told without what steers a terminal."""

    @no_type_check
    def make_context(self, *arguments, **named):
        """Read what stands before the command."""
        with _told_plainly():
            return super().make_context(*arguments, **named)

    @no_type_check
    def invoke(self, ctx):
        """Read what stands after it, and run it."""
        with _told_plainly():
            return super().invoke(ctx)


@contextlib.contextmanager
def _told_plainly() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        message = getattr(error, "message", None)
        # That of a group without a command is its help, of many lines. Typer keeps the class to
        # itself.
        if isinstance(message, str) and type(error).__name__ != "NoArgsIsHelpError":
            error.__dict__["message"] = plain(message)
        raise
