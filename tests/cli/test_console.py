"""Progress bars: what is left on the terminal."""

import pytest

from agns.cli import console
from agns.cli.console import bar


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


def test_a_loop_that_reports_nothing_leaves_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with bar("Trying"):
        pass
    assert capsys.readouterr().err.strip() == ""
