"""Objects named as Python's entry points name them, `package.module:Name`: the user's own code."""

import difflib
import importlib
import re
import sys
import traceback
from pathlib import Path

from agns.errors import AgnsError, ConfigError

_REFERENCE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")


def is_reference(text: str) -> bool:
    """Whether a text has the form `package.module:Name`."""
    return _REFERENCE.fullmatch(text) is not None


def names_code(source: Path | str | None) -> bool:
    """Whether what is to be opened is such a name, and no file of that name lies there."""
    return source is not None and is_reference(str(source)) and not Path(source).exists()


def load_object(reference: str) -> object:
    """Import what `package.module:Name` names; modules of the working directory are found too.

    Raises:
        ConfigError: It is no such name, there is no such module, or it fails, or lacks the name.
    """
    if not is_reference(reference):
        raise ConfigError(f"{reference!r} should have the form package.module:Name")
    module_name, _, name = reference.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        raise ConfigError(
            f"{module_name} cannot be imported for {reference}: {type(error).__name__}: {error}"
        ) from error
    if not hasattr(module, name):
        close = difflib.get_close_matches(name, dir(module), n=3)
        hint = f": did you mean {' or '.join(close)}?" if close else ""
        raise ConfigError(f"module {module_name} has no {name!r}{hint}")
    found: object = getattr(module, name)
    return found


def call_reference(reference: str, *inner: object) -> object:
    """What the user's own function or class makes of what it is called with.

    Raises:
        ConfigError: As `load_object`, or it cannot be called, or fails.
    """
    make = load_object(reference)
    if not callable(make):
        raise ConfigError(f"{reference} should be a function or a class")
    try:
        return make(*inner)
    except AgnsError:
        raise
    except (Exception, SystemExit) as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        raise ConfigError(
            f"{reference} failed with {type(error).__name__}: {error} ({where.filename}, line "
            f"{where.lineno})"
        ) from error
