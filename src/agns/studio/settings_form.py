"""The settings of an attack as fields of a form: names, ranges and explanations of its class."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, get_args, get_origin

import gradio as gr

from agns.attack.baselines import Baseline
from agns.attack.library_attack import LibraryAttack
from agns.cli.settings_fields import Field, read_fields
from agns.cli.settings_options import help_text
from agns.errors import ConfigError
from agns.settings import kind_of

if TYPE_CHECKING:
    from agns.attack.attack import Attack


def fields_of(usual: "Attack") -> list[Field]:
    """The settings that a form has, with the values that this attack has for defaults."""
    kind = type(usual)
    return [
        field._replace(default=getattr(usual, field.name))
        for field in read_fields(kind.__module__, kind.__qualname__)
        # By it, methods of one class are told apart.
        if not (field.name == "kind" and kind in (Baseline, LibraryAttack))
    ]


def component(field: Field) -> gr.components.Component:
    """One setting's input; what it holds is read by `given`."""
    kind = kind_of(field.type)
    label, value = field.name.replace("_", " "), field.default
    info = help_text(field.text, kind.range)
    if kind.many:
        shown = ", ".join(map(str, value)) if isinstance(value, tuple) else ""
        return gr.Textbox(shown, label=label, info=f"{info} With commas between.",
                          interactive=True)  # fmt: skip
    if get_origin(kind.plain) is Literal:
        return gr.Dropdown(
            list(get_args(kind.plain)), value=value, label=label, info=info, interactive=True
        )
    if kind.plain is bool:
        return gr.Checkbox(bool(value), label=label, info=info, interactive=True)
    if kind.plain in (int, float):
        whole = kind.plain is int
        ends = (kind.range.low, kind.range.high) if kind.range else (-math.inf, math.inf)
        closed = (
            kind.range is not None and kind.range.text.endswith("]") and kind.range.text[0] == "["
        )
        if closed and ends[1] <= 100 and isinstance(value, int | float):
            step = 1 if whole else 0.01
            return gr.Slider(
                *ends, value=value, step=step, label=label, info=info, interactive=True
            )
        if isinstance(value, int | float):
            return gr.Number(
                value, precision=0 if whole else None, label=label, info=info, interactive=True
            )
    return gr.Textbox("" if value is None else str(value), label=label, info=info, interactive=True)


def given(fields: Sequence[Field], values: Sequence[object]) -> dict[str, object]:
    """The settings that differ from their defaults, as their class takes them.

    Raises:
        ConfigError: A list of numbers is none.
    """
    found = {}
    for field, value in zip(fields, values, strict=True):
        kind = kind_of(field.type)
        read: object = value
        if kind.many:
            read = _many(field.name, kind.plain, str(value or ""))
        elif kind.plain is int and isinstance(value, int | float) and float(value).is_integer():
            read = int(value)
        elif kind.plain is float and isinstance(value, int) and not isinstance(value, bool):
            read = float(value)
        elif value == "" and kind.optional:
            read = None
        elif isinstance(value, str) and kind.plain in (int, float):
            read = _number(field.name, kind.plain, value)
        if read is None and not kind.optional:
            raise ConfigError(f"{field.name} is empty: give a number")
        if read != field.default:
            found[field.name] = read
    return found


def _number(name: str, plain: object, text: str) -> float:
    try:
        return int(text) if plain is int else float(text)
    except ValueError:
        raise ConfigError(f"{name} takes a number, got {text!r}") from None


def _many(name: str, plain: object, text: str) -> tuple[object, ...]:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    make = plain if plain in (int, float) else str
    try:
        return tuple(make(part) for part in parts)
    except ValueError:
        what = "whole numbers" if plain is int else "numbers"
        raise ConfigError(f"{name} takes {what} with commas, got {text!r}") from None
