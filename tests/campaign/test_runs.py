"""Who is at work on a ledger."""

import contextlib
import os
import platform
from pathlib import Path

import pytest

from agns.campaign.ledger import Ledger
from agns.campaign.runs import Run, at_work, runs_in
from agns.errors import ConfigError

HERE = Run(host=platform.node(), process=os.getpid())
GONE = 2**22 + 1
"""The number of no process: Linux and macOS deal out smaller ones."""


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "part-1-of-2.sqlite")


@pytest.mark.parametrize(
    ("other", "here", "may"),
    [
        (Run(host="a", process=os.getppid()), Run(host="a", process=os.getpid()), True),
        (Run(host="a", process=GONE), Run(host="a", process=os.getpid()), False),
        # A restarted machine deals out the same numbers again.
        (Run(host="a", process=os.getpid()), Run(host="a", process=os.getpid()), False),
        (Run(host="b", process=GONE), Run(host="a", process=1), True),
        (Run(host="b", process=1, job="7"), Run(host="a", process=1, job="7", restart=1), False),
        # Its number may be another's by now.
        (
            Run(host="a", process=os.getppid(), job="7"),
            Run(host="a", process=1, job="7", restart=1),
            False,
        ),
        (Run(host="b", process=1, job="7"), Run(host="a", process=1, job="7"), True),
        (Run(host="b", process=1, job="7"), Run(host="a", process=1, job="8", restart=1), True),
    ],
)
def test_a_run_goes_on_unless_it_is_known_to_be_gone(other: Run, here: Run, may: bool) -> None:
    assert other.may_go_on(here) is may


def test_a_task_of_a_job_array_is_known_by_its_place_and_its_restarts() -> None:
    told = {"SLURM_ARRAY_JOB_ID": "70", "SLURM_JOB_ID": "75", "SLURM_ARRAY_TASK_ID": "3"}
    own = Run.here({**told, "SLURM_RESTART_COUNT": "2"})
    assert (own.job, own.restart) == ("70_3", 2)
    assert Run.here({}) == HERE


def test_two_runs_do_not_work_on_one_part(ledger: Ledger) -> None:
    other = Run(host="elsewhere", process=7)
    with at_work(ledger.file, ledger.path, other, alone=True):
        refused = at_work(ledger.file, ledger.path, HERE, alone=True)
        with pytest.raises(ConfigError, match="in work by process 7 on elsewhere: wait"), refused:
            pass
        # Whoever knows that it is gone says so.
        with at_work(ledger.file, ledger.path, HERE, alone=True, sure=True):
            assert runs_in(ledger.file) == [HERE]


def test_a_run_that_is_broken_off_is_at_work_no_more(ledger: Ledger) -> None:
    with (
        contextlib.suppress(KeyboardInterrupt),
        at_work(ledger.file, ledger.path, HERE, alone=True),
    ):
        assert runs_in(ledger.file) == [HERE]
        raise KeyboardInterrupt
    assert runs_in(ledger.file) == []


@pytest.mark.parametrize("restart", ["9" * 30, "x", "-1", "\u0661"])
def test_odd_variables_of_slurm_can_be_entered(restart: str) -> None:
    told = {"SLURM_JOB_ID": "1\udcff", "SLURM_RESTART_COUNT": restart}
    run = Run.here(told)
    assert run.restart == 0
    run.job.encode()
