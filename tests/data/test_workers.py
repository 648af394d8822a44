"""Work spread over processes."""

import operator
import os
import subprocess
import sys
from concurrent.futures.process import BrokenProcessPool

import pytest

from agns.data.workers import each_in_order

INTERRUPTED = """
import os, signal, threading, time
from agns.data.workers import each_in_order

if __name__ == "__main__":
    # To the whole group, as a terminal sends it, while the others are still starting.
    threading.Timer(0.2, lambda: os.killpg(0, signal.SIGINT)).start()
    try:
        list(each_in_order(time.sleep, [0.05] * 200, workers=2))
    except KeyboardInterrupt:
        print("ended", flush=True)
"""


@pytest.mark.parametrize(("workers", "chunk"), [(0, 1), (1, 1), (2, 1), (2, 3)])
def test_results_come_in_order_from_any_number_of_processes(workers: int, chunk: int) -> None:
    found = list(each_in_order(operator.neg, range(7), workers=workers, chunk=chunk))
    assert found == [0, -1, -2, -3, -4, -5, -6]


def test_nothing_to_do_starts_nothing() -> None:
    assert list(each_in_order(operator.neg, [], workers=2)) == []


def test_a_failure_elsewhere_is_raised_here() -> None:
    with pytest.raises(TypeError, match="bad operand"):
        list(each_in_order(operator.neg, [1, "a"], workers=2))


def test_a_killed_process_is_told() -> None:
    with pytest.raises(BrokenProcessPool):
        list(each_in_order(os._exit, [0, 0], workers=2))


def test_an_interrupt_is_this_process_own_affair(tmp_path_factory: pytest.TempPathFactory) -> None:
    program = tmp_path_factory.mktemp("program") / "program.py"
    program.write_text(INTERRUPTED, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, program], capture_output=True, text=True, check=False,
        start_new_session=True, timeout=120,
    )  # fmt: skip
    assert (done.stdout, done.stderr, done.returncode) == ("ended\n", "", 0)
