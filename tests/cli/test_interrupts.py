"""Ctrl-C, SIGTERM and their like."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from agns.cli import interrupts
from agns.cli.interrupts import between_steps
from agns.models import summary

Agns = Callable[..., Any]


def send(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize(
    ("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129), ("SIGUSR1", 138)]
)
def test_each_signal_ends_a_command_in_good_order(
    agns: Agns, monkeypatch: pytest.MonkeyPatch, name: str, code: int
) -> None:
    left: list[str] = []

    def works() -> None:
        try:
            send(getattr(signal, name))
            pytest.fail("goes on")
        finally:
            left.append("in good order")

    monkeypatch.setattr(summary, "list_networks", works)
    done = agns("models")
    assert (done.code, left) == (code, ["in good order"])
    assert done.complaint == ("interrupted" if code == 130 else f"interrupted by {name}")


def test_a_second_signal_at_once_is_the_same(agns: Agns, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []

    def works() -> None:
        try:
            send(signal.SIGTERM)
        finally:
            send(signal.SIGINT)
            send(signal.SIGTERM)
            written.append("all")

    monkeypatch.setattr(summary, "list_networks", works)
    assert (agns("models").code, written) == (143, ["all"])


def test_a_signal_some_time_later_interrupts_what_is_done_after_the_first(
    agns: Agns, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 10.0])
    monkeypatch.setattr(interrupts.time, "monotonic", lambda: next(clock))

    def works() -> None:
        try:
            send(signal.SIGINT)
        except KeyboardInterrupt:
            send(signal.SIGTERM)
            pytest.fail("goes on")

    monkeypatch.setattr(summary, "list_networks", works)
    assert agns("models").code == 130


def test_a_signal_that_comes_while_an_object_is_freed_is_not_lost(
    agns: Agns, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Freed:
        def __del__(self) -> None:
            send(signal.SIGTERM)

    def works() -> None:
        freed = Freed()
        del freed
        time.sleep(2)
        pytest.fail("goes on")

    monkeypatch.setattr(summary, "list_networks", works)
    done = agns("models")
    assert (done.code, done.complaint) == (143, "interrupted by SIGTERM")


def test_after_a_command_no_signal_has_an_effect(agns: Agns) -> None:
    assert agns("models").code == 0
    for name in ("SIGINT", "SIGTERM"):
        send(getattr(signal, name))


def test_what_was_begun_to_ignore_a_signal_goes_on_ignoring_it(
    agns: Agns, monkeypatch: pytest.MonkeyPatch
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    monkeypatch.setattr(summary, "list_networks", lambda: send(signal.SIGINT) or [])
    assert agns("models").code == 0
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_a_breakdown_after_a_signal_is_no_traceback(
    agns: Agns, monkeypatch: pytest.MonkeyPatch
) -> None:
    def works() -> None:
        try:
            send(signal.SIGTERM)
        finally:
            raise RuntimeError("the others are gone")

    monkeypatch.setattr(summary, "list_networks", works)
    done = agns("models")
    assert done.code == 143
    assert done.complaint == "interrupted by SIGTERM (RuntimeError: the others are gone)"


def test_a_signal_waits_for_the_end_of_a_step(agns: Agns, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[int] = []

    def shown(done: int, total: int, figures: Mapping[str, float]) -> None:
        steps.append(done)

    def works() -> None:
        with between_steps(shown) as progress:
            for step in range(1, 9):
                if step == 3:
                    send(signal.SIGTERM)
                progress(step, 9, {})

    monkeypatch.setattr(summary, "list_networks", works)
    assert (agns("models").code, steps) == (143, [1, 2, 3])


def test_a_signal_after_the_last_step_is_not_lost(
    agns: Agns, monkeypatch: pytest.MonkeyPatch
) -> None:
    def works() -> None:
        with between_steps(lambda *_: None):
            send(signal.SIGTERM)

    monkeypatch.setattr(summary, "list_networks", works)
    assert agns("models").code == 143


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs groups of processes")
def test_signals_up_to_pythons_end_leave_no_traceback(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import atexit, os, signal, sys\n"
        "from agns.cli import main\n"
        "atexit.register(os.kill, os.getpid(), signal.SIGINT)\n"
        "sys.argv = ['agns', '--version']\n"
        "main()\n",
        encoding="utf-8",
    )
    done = subprocess.run(
        [sys.executable, program], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
