"""Ctrl-C, and the signals by which clusters and terminals end a program: each ends a command alike.

A command sees all of them as `KeyboardInterrupt`. Slurm sends SIGTERM (or what `--signal` says)
some time before it kills; what a command does on Ctrl-C must fit into that time.
"""

import _thread
import contextlib
import functools
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agns.types import Progress

_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU")
_SAME_SECONDS = 2.0
"""What comes within this time after a signal counts as the same: schedulers send several."""
_AGAIN_SECONDS = 0.02


@dataclass
class _State:
    """What has come so far, of which there is one in a process, as there is of handlers."""

    first: int | None = None
    """The number of the signal that came first."""
    last: float = -1e9
    """When the last one was heeded."""
    waits: bool = False
    """Whether the next one waits for the end of a step."""
    due: bool = False
    """Whether one waits."""


_state = _State()


def interruptible(work: Callable[[], None]) -> None:
    """Do some work, which any of the signals interrupts; after it none has an effect any more.

    Python tells of what interrupts its own end with a traceback, so that a program's last words
    belong after this.

    Args:
        work: Signals that the process was begun to ignore, it goes on ignoring.

    Raises:
        KeyboardInterrupt: A signal came.
    """
    global _state
    _state = _State()
    if threading.current_thread() is threading.main_thread():
        for name in _SIGNALS:
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, _heed)
        sys.unraisablehook = _raise_later
    work()


def exit_code() -> int:
    """What a program that was interrupted leaves with: 128 and the number of the signal."""
    return 128 + (signal.SIGINT if _state.first is None else _state.first)


def interrupted() -> bool:
    """Whether any of the signals has come."""
    return _state.first is not None


def how() -> str:
    """What happened, in words."""
    if _state.first in (None, signal.SIGINT):
        return "interrupted"
    return f"interrupted by {signal.Signals(_state.first or 0).name}"


@contextlib.contextmanager
def between_steps(progress: "Progress", *, processes: int = 1) -> "Iterator[Progress]":
    """Let a signal wait until a loop has told of a step that it has taken in full.

    There it can keep what it has. A second one, some seconds later, does not wait.

    Args:
        progress: Told of every step.
        processes: That take each step together. If there are several, no signal waits: each would
            for a step of its own, and some would wait for others that are gone.
    """

    def told(done: int, total: int, figures: Mapping[str, float]) -> None:
        progress(done, total, figures)
        _raise_what_waits()

    _state.waits = processes == 1
    try:
        yield told
    finally:
        _state.waits = False
    _raise_what_waits()


def _raise_what_waits() -> None:
    if _state.due:
        _state.due = False
        raise KeyboardInterrupt


def _heed(number: int, frame: FrameType | None) -> None:
    # Neither before the work nor after it, however little: the frame says exactly.
    while frame is not None and not (
        frame.f_code.co_name == "interruptible" and frame.f_globals is globals()
    ):
        frame = frame.f_back
    now = time.monotonic()
    if frame is None or now - _state.last < _SAME_SECONDS:
        return
    _state.last = now
    _state.first = number if _state.first is None else _state.first
    if _state.waits and not _state.due:
        _state.due = True
        return
    _state.due = False
    raise KeyboardInterrupt


def _raise_later(unraisable: "sys.UnraisableHookArgs") -> None:
    """Where Python cannot raise, as while it frees an object, the signal comes once more."""
    if issubclass(unraisable.exc_type, KeyboardInterrupt):
        _state.last = -1e9
        again = functools.partial(
            _thread.interrupt_main, signal.Signals(_state.first or signal.SIGINT)
        )
        # At once, it would come while Python is still at this.
        threading.Timer(_AGAIN_SECONDS, again).start()
        return
    sys.__unraisablehook__(unraisable)
