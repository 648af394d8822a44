"""Progress bars: what is left on the terminal."""

import io
import json
import sys
from pathlib import Path

import pytest

from agns.cli import console
from agns.cli.console import accept_every_name, bar, print_json, say, show
from agns.cli.launching import command


def test_a_loop_that_ends_early_leaves_a_full_bar(capsys: pytest.CaptureFixture[str]) -> None:
    with bar("Trying") as progress:
        for step in range(4):
            progress(step + 1, 300, {"loss": 0.25})
    assert " 4/4 " in capsys.readouterr().err


def test_a_loop_that_breaks_down_leaves_the_bar_where_it_was(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupted() -> None:
        with bar("Trying") as progress:
            progress(4, 300, {})
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert " 4/300 " in capsys.readouterr().err


def test_a_file_gets_a_line_a_minute(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(0, 999, 25))
    monkeypatch.setattr(console.time, "monotonic", lambda: next(clock))
    with bar("Trying") as progress:
        for step in range(8):
            progress(step + 1, 100, {"loss": 0.25})
    lines = capsys.readouterr().err.splitlines()
    # The reports come at 25, 50, ... 200 seconds.
    assert lines[:2] == [
        "Trying: 3 of 100, about 40 min left, loss 0.25",
        "Trying: 6 of 100, about 39 min left, loss 0.25",
    ]
    assert len(lines) == 3


def test_the_time_before_the_first_step_is_not_taken_for_a_steps(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0, *range(600, 999, 25)])
    monkeypatch.setattr(console.time, "monotonic", lambda: next(clock))
    with bar("Trying") as progress:
        for step in range(4):
            progress(step + 1, 100, {})
    assert "Trying: 4 of 100, about 40 min left" in capsys.readouterr().err.splitlines()


def test_the_time_of_one_part_is_not_taken_for_anothers(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([*range(0, 601, 10), 601, 631, 661, 691, 692])
    monkeypatch.setattr(console.time, "monotonic", lambda: next(clock))
    with bar("Trying") as progress:
        for step in range(60):
            progress(step + 1, 60, {})
        for part in range(3):
            progress(part + 1, 9, {})
    lines = capsys.readouterr().err.splitlines()
    assert "Trying: 2 of 9, about 4 min left" in lines


def test_a_loop_that_reports_nothing_leaves_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with bar("Trying"):
        pass
    assert capsys.readouterr().err.strip() == ""


ODD = "[red]a[/] :heart: {} %s \x1b[31m\n\u202e\udce9"
PLAIN = r"[red]a[/] :heart: {} %s \x1b[31m\n\u202e\udce9"


def test_a_sentence_stays_on_one_line_and_steers_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    say(ODD)
    assert capsys.readouterr().out == f"{PLAIN}\n"


def test_a_name_is_no_markup_in_the_title_of_a_bar(capsys: pytest.CaptureFixture[str]) -> None:
    with bar(ODD) as progress:
        progress(1, 1, {})
    assert PLAIN in capsys.readouterr().err


def test_a_name_is_no_markup_in_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    show((f">{ODD}", "identity"), [("1", ODD)])
    head, row = capsys.readouterr().out.splitlines()
    assert head.startswith(PLAIN)
    assert row.split(maxsplit=1) == ["1", PLAIN]


def test_a_stream_of_ascii_alone_gets_escapes(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    accept_every_name()
    say("Zo\xeb")
    assert written.getvalue() == b"Zo\\xeb\n"


def test_letters_of_other_scripts_are_printed_as_they_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    name = "\u5f35\u5049 \u0645\u064a\u200c\u0646 \U0001f469\u200d\U0001f680"
    say(name)
    assert capsys.readouterr().out == f"{name}\n"


@pytest.mark.parametrize("columns", ["0", "1", "20"])
def test_the_narrowest_terminal_breaks_no_number(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    show(("identity", ">photos"), [("somebody with a name", "134,301,514")])
    assert "134,301,514" in capsys.readouterr().out


def test_a_table_in_a_file_is_not_folded(capsys: pytest.CaptureFixture[str]) -> None:
    show(("identity", ">photos"), [("n" * 300, "1")])
    assert "n" * 300 in capsys.readouterr().out


def test_numbers_that_are_not_finite_are_null_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    print_json([{"a": float("nan"), "b": (float("-inf"), 0.5)}])
    assert json.loads(capsys.readouterr().out) == [{"a": None, "b": [None, 0.5]}]


@pytest.mark.parametrize(
    ("word", "quoted"),
    [
        ("a b", "'a b'"),
        ("it's", "'it'\"'\"'s'"),
        (Path("-x"), "./-x"),
        ("a\n\udce9", r"$'\x61\x0a\xe9'"),
    ],
)
def test_a_command_line_is_one_that_a_shell_takes(word: object, quoted: str) -> None:
    assert command("recognize", word) == f"agns recognize {quoted}"
