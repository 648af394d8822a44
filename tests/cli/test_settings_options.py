import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
import typer
from typer.testing import CliRunner

from agns.cli.settings_options import (
    Settings,
    field_docstrings,
    given_settings,
    settings_of,
    with_settings,
)
from agns.errors import ConfigError
from agns.settings import Count, Rate, Share, check_settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    seed: int = 0
    """Seed of every draw."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Training(Base):
    """How something learns."""

    warm_up: Share = 0.25
    """Share of the steps in which
    the rate rises.

    Only the first paragraph is help."""

    rate: Rate = 2e-3
    """Learning rate; see `agns.training`."""

    form: Literal["long", "short"] = "long"
    """Its `form`."""

    frozen: bool = False
    """Whether nothing changes."""

    palette: Path | None = None
    """Colours."""

    sizes: tuple[int, ...] = ()
    """Sizes in pixels."""

    names: tuple[str, ...] = ()
    """Whom to take."""

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    photos: Count
    """Photos to test on."""

    seed: int = 7
    """Of the choice."""


Run = Callable[..., object]


def run(*words: str, settings: tuple[Settings, ...], work: Callable[[], object]) -> object:
    """What a command's function comes to, or what is printed where it is not reached."""
    came: list[object] = []
    app = typer.Typer(add_completion=False, rich_markup_mode=None)

    @app.command(cls=with_settings(*settings), context_settings={"terminal_width": 200})
    def command(out: str = "here") -> None:
        came.append(work())

    outcome = CliRunner().invoke(app, words)
    if isinstance(outcome.exception, ConfigError):
        raise outcome.exception
    return came[0] if came else outcome.output


TRAINING = Settings(f"{__name__}:Training")


def training(*words: str) -> object:
    return run(*words, settings=(TRAINING,), work=lambda: settings_of(Training))


def test_settings_are_the_defaults_where_nothing_is_given() -> None:
    assert training() == Training()


def test_each_kind_of_field_has_its_option() -> None:
    words = (
        "--warm-up 0.5 --rate 1e-4 --form short --frozen --palette p.txt --sizes 64,96 "
        "--names a --names b --seed 3"
    )
    assert training(*words.split()) == Training(
        warm_up=0.5, rate=1e-4, form="short", frozen=True, palette=Path("p.txt"), sizes=(64, 96),
        names=("a", "b"), seed=3,
    )  # fmt: skip


def test_what_is_given_changes_a_base_and_nothing_else_does() -> None:
    base = Training(rate=1.0, frozen=True, warm_up=0.0)
    changed = run(
        "--no-frozen", "--rate", "0.002", settings=(TRAINING,),
        work=lambda: settings_of(Training, base),
    )  # fmt: skip
    assert changed == Training(rate=0.002, frozen=False, warm_up=0.0)


def test_what_is_given_is_told_though_it_is_the_default() -> None:
    given = run(
        "--rate", "0.002", "--out", "there", settings=(TRAINING,),
        work=lambda: given_settings(Training),
    )  # fmt: skip
    assert given == {"rate": 0.002}


def test_help_has_docstrings_ranges_choices_and_defaults() -> None:
    text = " ".join(str(training("--help")).split())
    for part in (
        "--warm-up <float> Share of the steps in which the rate rises, in [0, 1]. [default: 0.25]",
        "--rate <float> Learning rate. [default: 0.002]",
        "--form <long|short> Its form. [default: long]",
        "--frozen / --no-frozen Whether nothing changes. [default: no]",
        "--sizes N,N,... Sizes in pixels.",
        "--seed <int> Seed of every draw. [default: 0]",
    ):
        assert part in text
    assert "first paragraph" not in text
    assert text.index("--out") < text.index("--seed")


def test_help_tells_defaults_that_are_not_the_class_s_own() -> None:
    settings = (TRAINING._replace(defaults={"rate": "the recipe's"}),)
    assert "Learning rate. [default: the recipe's]" in " ".join(
        str(run("--help", settings=settings, work=Training)).split()
    )
    settings = (TRAINING._replace(defaults="the recipe's"),)
    assert str(run("--help", settings=settings, work=Training)).count("the recipe's") == 8


def test_fields_can_be_chosen_and_left_out() -> None:
    for chosen in (
        TRAINING._replace(only=("rate",)),
        TRAINING._replace(
            without=("seed", "warm_up", "form", "frozen", "palette", "sizes", "names")
        ),
    ):
        text = str(run("--help", settings=(chosen,), work=Training))
        assert "--rate" in text
        assert "--warm-up" not in text
        assert "--seed" not in text


def test_fields_of_the_same_name_share_an_option() -> None:
    settings = (TRAINING, Settings(f"{__name__}:Scores"))
    both = run(
        "--photos", "2", "--seed", "5", settings=settings,
        work=lambda: (settings_of(Training), settings_of(Scores)),
    )  # fmt: skip
    assert both == (Training(seed=5), Scores(photos=2, seed=5))
    none = run(
        "--photos",
        "2",
        settings=settings,
        work=lambda: (settings_of(Training), settings_of(Scores)),
    )
    assert none == (Training(), Scores(photos=2))


def test_another_class_s_option_does_not_reach_fields_left_out() -> None:
    settings = (TRAINING._replace(only=("rate",)), Settings(f"{__name__}:Scores"))
    came = run(
        "--photos", "2", "--seed", "5", settings=settings, work=lambda: settings_of(Training)
    )
    assert came == Training()


def test_a_field_without_a_default_must_be_given() -> None:
    text = run(settings=(Settings(f"{__name__}:Scores"),), work=lambda: None)
    assert "Missing option '--photos'" in str(text)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--warm-up 2", r"warm_up must lie in \[0, 1\], got 2"),
        ("--sizes a,b", "--sizes takes whole numbers with commas, got 'a,b'"),
    ],
)
def test_values_that_do_not_do_are_refused_in_a_sentence(words: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        training(*words.split())


@pytest.mark.parametrize("words", ["--form wide", "--rate fast", "--unknown 1"])
def test_misuse_is_told_as_of_other_options(words: str) -> None:
    assert words.split()[0] in str(training(*words.split()))


def test_docstrings_are_those_below_the_fields() -> None:
    told: Mapping[str, str] = field_docstrings(Training)
    assert told["seed"] == "Seed of every draw."
    assert told["warm_up"].endswith("Only the first paragraph is help.")
    assert set(told) == {
        "seed", "warm_up", "rate", "form", "frozen", "palette", "sizes", "names"
    }  # fmt: skip


def test_help_imports_no_settings() -> None:
    script = (
        "import sys; sys.argv = ['agns', '--help']\n"
        "from agns.cli import main\n"
        "try:\n    main()\n"
        "finally:\n    assert 'torch' not in sys.modules\n"
    )
    begun = time.monotonic()
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert b"Commands" in done.stdout
    # Torch alone takes longer; beside other work, so does anything now and then.
    assert time.monotonic() - begun < 20
