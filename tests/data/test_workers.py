"""Work spread over processes."""

import operator
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agns.data.workers import each_in_order
from agns.errors import DataError

INTERRUPTED = """
import multiprocessing, os, signal, sys, threading, time
from agns.data.workers import each_in_order

def work(path):
    open(path, "w").close()
    time.sleep(30)

def press(how, path):
    time.sleep(0.2)
    while how != "early" and not os.path.exists(path):
        time.sleep(0.02)
    if how == "alone":
        # As a scheduler may.
        os.kill(os.getpid(), signal.SIGINT)
    else:
        # To the whole group, as a terminal sends it.
        os.killpg(0, signal.SIGINT)

if __name__ == "__main__":
    # Whoever runs the tests in the background of a shell has it ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=press, args=sys.argv[1:]).start()
    try:
        list(each_in_order(work, sys.argv[2:] * 20, workers=2))
    except KeyboardInterrupt:
        print(len(multiprocessing.active_children()), "left", flush=True)
"""

KILLED = """
import multiprocessing, os, sys, time
from agns.data.workers import begin_quietly

def work(path):
    begin_quietly()
    with open(path + ".tmp", "w") as file:
        file.write(str(os.getpid()))
    os.rename(path + ".tmp", path)
    time.sleep(30)

if __name__ == "__main__":
    multiprocessing.get_context("spawn").Process(target=work, args=sys.argv[1:]).start()
    while not os.path.exists(sys.argv[1]):
        time.sleep(0.02)
    os._exit(9)
"""


DAEMON = """
import multiprocessing, operator
from agns.data.workers import each_in_order

def negate(answers):
    answers.put(list(each_in_order(operator.neg, range(3), workers=2)))

if __name__ == "__main__":
    spawn = multiprocessing.get_context("spawn")
    answers = spawn.Queue()
    spawn.Process(target=negate, args=(answers,), daemon=True).start()
    print(answers.get(timeout=90))
"""


@pytest.mark.parametrize(("workers", "chunk"), [(0, 1), (1, 1), (2, 1), (2, 3)])
def test_results_come_in_order_from_any_number_of_processes(workers: int, chunk: int) -> None:
    found = list(each_in_order(operator.neg, range(7), workers=workers, chunk=chunk))
    assert found == [0, -1, -2, -3, -4, -5, -6]


def test_a_process_that_may_have_none_of_its_own_does_everything_itself(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(DAEMON, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, program], capture_output=True, text=True, timeout=100, check=True
    )
    assert done.stdout == "[0, -1, -2]\n"


def test_nothing_to_do_starts_nothing() -> None:
    assert list(each_in_order(operator.neg, [], workers=2)) == []


def test_a_failure_elsewhere_is_raised_here() -> None:
    with pytest.raises(TypeError, match="bad operand"):
        list(each_in_order(operator.neg, [1, "a"], workers=2))


def test_a_killed_process_is_told() -> None:
    with pytest.raises(DataError, match="was killed"):
        list(each_in_order(os._exit, [0, 0], workers=2))


# While the others are still starting, and in the middle of their work.
@pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs groups of processes")
@pytest.mark.parametrize("how", ["early", "group", "alone"])
def test_an_interrupt_ends_all_at_once_without_a_word(tmp_path: Path, how: str) -> None:
    program = tmp_path / "program.py"
    program.write_text(INTERRUPTED, encoding="utf-8")
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, program, how, tmp_path / "begun"], capture_output=True, text=True,
        check=False, start_new_session=True, timeout=120,
    )  # fmt: skip
    assert (done.stdout, done.stderr, done.returncode) == ("0 left\n", "", 0)
    assert time.monotonic() - begun < 28, "nobody's work was waited for"


@pytest.mark.skipif(os.name == "nt", reason="there, asking for a process would end it")
def test_a_process_ends_with_the_one_that_began_it(tmp_path: Path) -> None:
    program, path = tmp_path / "program.py", tmp_path / "process"
    program.write_text(KILLED, encoding="utf-8")
    subprocess.run([sys.executable, program, path], check=False, timeout=100)
    child = int(path.read_text(encoding="utf-8"))
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    pytest.fail("it works on")
