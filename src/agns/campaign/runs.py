"""Who works on a ledger, so that no two machines do the same jobs."""

import contextlib
import os
import platform
import re
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from agns.errors import ConfigError

RUNS_SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (
    host TEXT NOT NULL, process INTEGER NOT NULL, job TEXT NOT NULL, restart INTEGER NOT NULL
);
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One call of `agns campaign run`."""

    host: str
    process: int
    job: str = ""
    """The task of a Slurm job array, or the job, that it is; empty outside of Slurm."""
    restart: int = 0
    """How often Slurm has begun that anew."""

    @staticmethod
    def here(environment: Mapping[str, str] = os.environ) -> "Run":
        """That of this process."""
        job = environment.get("SLURM_ARRAY_JOB_ID", environment.get("SLURM_JOB_ID", ""))
        restart = environment.get("SLURM_RESTART_COUNT", "0")
        task = environment.get("SLURM_ARRAY_TASK_ID", "")
        return Run(
            host=platform.node(),
            process=os.getpid(),
            # As the ledger holds it, whatever the environment does.
            job=job and f"{job}_{task}".encode(errors="backslashreplace").decode(),
            restart=int(restart) if re.fullmatch("[0-9]{1,9}", restart) else 0,
        )

    def may_go_on(self, here: "Run") -> bool:
        """Whether it is another one than this, and may be at work.

        One on another machine cannot be asked. But before Slurm begins a job anew, it ends it.
        """
        if self.job and self.job == here.job and self.restart < here.restart:
            return False
        if self.host != here.host:
            return True
        return self.process != here.process and is_running(self.process)

    def refusal(self, path: Path) -> str:
        """Why nobody else may work on its ledger, in a sentence."""
        return (
            f"{path} is in work by process {self.process} on {self.host}: wait until it ends, or "
            "give --reopen if that process is gone"
        )


def is_running(process: int) -> bool:
    """Whether a process of this machine is there; on Windows, where asking would end it, yes."""
    if os.name == "nt":
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def runs_in(file: sqlite3.Connection) -> list[Run]:
    """Those that are at work, or were when they were killed."""
    found = file.execute("SELECT host, process, job, restart FROM runs").fetchall()
    return [
        Run(host=host, process=process, job=job, restart=restart)
        for host, process, job, restart in found
    ]


@contextlib.contextmanager
def at_work(
    file: sqlite3.Connection, path: Path, run: Run, *, alone: bool, sure: bool = False
) -> Iterator[None]:
    """Enter a run that works on a ledger, for as long as it does.

    Args:
        file: The ledger.
        path: Where it lies.
        run: The one of this process.
        alone: Whether no other may be at work meanwhile.
        sure: That those entered are gone, although nobody can tell.

    Raises:
        ConfigError: Another one is at work, or may be.
    """
    file.execute("BEGIN IMMEDIATE")
    try:
        others = [] if sure else [one for one in runs_in(file) if one.may_go_on(run)]
        if alone and others:
            raise ConfigError(others[0].refusal(path))
        file.execute("DELETE FROM runs")
        file.executemany(
            "INSERT INTO runs VALUES (?, ?, ?, ?)",
            [(one.host, one.process, one.job, one.restart) for one in (*others, run)],
        )
    except BaseException:
        file.execute("ROLLBACK")
        raise
    file.execute("COMMIT")
    try:
        yield
    finally:
        file.execute("DELETE FROM runs WHERE host = ? AND process = ?", (run.host, run.process))
