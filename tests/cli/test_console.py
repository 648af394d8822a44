"""Progress bars: what is left on the terminal."""

import pytest

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


def test_a_loop_that_reports_nothing_leaves_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with bar("Trying"):
        pass
    assert capsys.readouterr().err.strip() == ""
