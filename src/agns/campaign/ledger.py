"""The campaign's ledger: one SQLite file in which each job is open, claimed, done or failed.

Several processes may work through one ledger: a claim is taken in one transaction. A claim whose
process is gone is open again. A part of a campaign has a ledger of its own, in which the jobs of
other parts are `elsewhere`. Tables and columns keep the names of older ledgers, in which a job is a
cell, and what speaks against a victim its doubts.
"""

import contextlib
import json
import os
import platform
import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TypeAlias

from agns.campaign.jobs import Job
from agns.campaign.plan import same_plan
from agns.campaign.records import (
    JobRecord,
    Remaining,
    Result,
    TransferRecord,
    TransferScore,
    read_result,
    read_score,
    result_as_json,
)
from agns.campaign.runs import RUNS_SCHEMA, is_running
from agns.data.known_photos import PhotoRow, read_rows
from agns.errors import ConfigError, DataError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS campaign (plan TEXT NOT NULL, versions TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS cells (
    place INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, cell TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'open', host TEXT, process INTEGER, seconds REAL,
    peak_memory_mb REAL, result TEXT, sentence TEXT
);
CREATE TABLE IF NOT EXISTS victims (
    name TEXT PRIMARY KEY, weights TEXT NOT NULL, doubts TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS transfers (
    key TEXT NOT NULL, victim TEXT NOT NULL, score TEXT NOT NULL, PRIMARY KEY (key, victim)
);
CREATE TABLE IF NOT EXISTS photos (
    victim TEXT, subject TEXT, listed TEXT NOT NULL, PRIMARY KEY (victim, subject)
);
"""

Begun: TypeAlias = dict[tuple[str, str], list[PhotoRow]]
"""By victim and subject, the photos that a campaign was begun with; by the subject `""`, those of
everybody."""


class Ledger:
    """A campaign's jobs and what became of them.

    Args:
        path: The SQLite file, made when it is not there.
        copy: What to work on in its place.
    """

    def __init__(self, path: Path, *, copy: sqlite3.Connection | None = None) -> None:
        self.path = path
        try:
            if copy is None:
                path.parent.mkdir(parents=True, exist_ok=True)
                copy = sqlite3.connect(path, timeout=60, isolation_level=None)
            self.file = copy
            self.file.executescript(_SCHEMA + RUNS_SCHEMA)
        except sqlite3.Error as error:
            raise self._unusable(error) from error

    def close(self) -> None:
        """Let go of the file."""
        self.file.close()

    def begin(
        self,
        plan: Mapping[str, object],
        jobs: Sequence[Job],
        versions: Mapping[str, str],
        *,
        share: Collection[Job] | None = None,
        beside: Collection[str] = (),
    ) -> None:
        """Enter a plan's jobs, or go on with them.

        Args:
            plan: With its defaults.
            jobs: All of the plan's.
            versions: See `agns.storage.versions`.
            share: Those of them that are this ledger's; None for all.
            beside: Keys of jobs that other ledgers of the directory account for.

        Raises:
            ConfigError: The ledger is another plan's, or new beside results of an older one.
        """
        out, own = self.path.parent, set(jobs if share is None else share)
        with self.at_once():
            before = self.file.execute("SELECT plan FROM campaign").fetchone()
            if before is not None:
                known = json.loads(before[0])
                if not same_plan(known, plan):
                    other = "name another directory, or give the plan that it was begun with"
                    raise ConfigError(f"{out} holds a campaign of another plan: {other}")
                if share is not None and known.get("together", 1) > 1:
                    raise ConfigError(
                        f"{self.path} was begun with a plan whose attacks ran together, which "
                        "divides it otherwise: begin in another directory"
                    )
                return
            left = {path.parent.name for path in (out / "cells").glob("*/result.json")}
            if (left if share is None else left & {job.key for job in own}) - set(beside):
                gone = f"whose {self.path.name} is gone: name another directory"
                raise ConfigError(f"{out} holds results of a campaign {gone}")
            about = (json.dumps(plan), json.dumps(versions))
            self.file.execute("INSERT INTO campaign VALUES (?, ?)", about)
            entered = [
                (place, job.key, json.dumps(asdict(job)), "open" if job in own else "elsewhere")
                for place, job in enumerate(jobs)
            ]
            change = "INSERT INTO cells (place, key, cell, state) VALUES (?, ?, ?, ?)"
            self.file.executemany(change, entered)

    def settle(self, own: Collection[Job], ended: Collection[Job]) -> None:
        """Leave to other ledgers what they have ended, and take back what they have not.

        Args:
            own: The jobs that are this ledger's.
            ended: Jobs that others have the last word of.
        """
        with self.at_once():
            for job in own:
                before, after = ("open", "elsewhere") if job in ended else ("elsewhere", "open")
                change = "UPDATE cells SET state = ? WHERE key = ? AND state = ?"
                self.file.execute(change, (after, job.key, before))

    def about(self) -> tuple[dict[str, object], dict[str, str]]:
        """The plan with its defaults, and the versions that the campaign was begun with.

        Raises:
            ConfigError: Nothing has been entered yet.
        """
        row = self.file.execute("SELECT plan, versions FROM campaign").fetchone()
        if row is None:
            raise ConfigError(f"{self.path.parent} holds no campaign")
        return json.loads(row[0]), json.loads(row[1])

    def claim(self) -> Job | None:
        """Take the plan's next open job for this process; None if none is left."""
        with self.at_once():
            self._reopen()
            found = self.file.execute(
                "SELECT cell FROM cells WHERE state = 'open' ORDER BY place LIMIT 1"
            ).fetchone()
            if found is None:
                return None
            job = Job(**json.loads(found[0]))
            self._enter(job, "claimed", host=platform.node(), process=os.getpid())
        return job

    def finish(self, job: Job, result: Result, *, seconds: float, peak_memory_mb: float) -> None:
        """Enter a job's result."""
        told = json.dumps(result_as_json(result))
        self._enter(job, "done", result=told, seconds=seconds, peak_memory_mb=peak_memory_mb)

    def fail(self, job: Job, sentence: str, *, seconds: float) -> None:
        """Enter why a job has no result; bytes of file names that are no text come as escapes."""
        told = sentence.encode("utf-8", "backslashreplace").decode()
        self._enter(job, "failed", sentence=told, seconds=seconds)

    def release(self, job: Job) -> None:
        """Give a claimed job back."""
        change = "UPDATE cells SET state = 'open' WHERE key = ? AND state = 'claimed'"
        self.file.execute(change, (job.key,))

    def records(self) -> list[JobRecord]:
        """All jobs, in the order of the plan; `DataError` where a result cannot be read."""
        found = []
        for text, state, seconds, result, sentence in self.file.execute(
            "SELECT cell, state, seconds, result, sentence FROM cells ORDER BY place"
        ):
            job = Job(**json.loads(text))
            known = None if result is None else read_result(json.loads(result), job)
            found.append(JobRecord(job, state, seconds, known, sentence))
        return found

    def enter_victim(self, victim: str, weights: str, warnings: Sequence[str]) -> None:
        """Enter a victim's digest, and what `agns.evaluation.sanity` says against it."""
        row = (victim, weights, json.dumps(warnings))
        with self.at_once():
            self.file.execute("INSERT OR REPLACE INTO victims VALUES (?, ?, ?)", row)

    def weights(self) -> dict[str, str]:
        """The digest of each victim that was entered, by its name."""
        return dict(self.file.execute("SELECT name, weights FROM victims ORDER BY rowid"))

    def warnings(self) -> dict[str, list[str]]:
        """What speaks against each victim that was examined, by its name."""
        found = self.file.execute("SELECT name, doubts FROM victims ORDER BY rowid")
        return {name: json.loads(warnings) for name, warnings in found}

    def enter_photos(self, begun: Begun) -> None:
        """Enter which photos the campaign is begun with."""
        self.file.executemany(
            "INSERT OR REPLACE INTO photos VALUES (?, ?, ?)",
            [(*key, json.dumps([row.as_json() for row in rows])) for key, rows in begun.items()],
        )

    def photos(self) -> Begun:
        """All that was entered of photos."""
        found = self.file.execute("SELECT victim, subject, listed FROM photos")
        return {
            (victim, subject): read_rows(json.loads(listed), self.path)
            for victim, subject, listed in found
        }

    def reopen(self, *, failed: bool = False, elsewhere: bool = False) -> None:
        """Open jobs again that nobody is at.

        Args:
            failed: Those that could not be run, too.
            elsewhere: Those that other machines claimed, too, and processes that cannot be asked.
        """
        with self.at_once():
            # This process has claimed none yet: what bears its number was another's.
            self.file.execute(
                "UPDATE cells SET state = 'open', sentence = NULL WHERE (state = 'failed' AND ?) "
                "OR (state = 'claimed' AND (? OR (host = ? AND process = ?)))",
                (failed, elsewhere, platform.node(), os.getpid()),
            )
            self._reopen()

    def enter_transfer(self, job: Job, victim: str, score: TransferScore | str) -> None:
        """Enter what a job's frame did to another victim, or in a sentence why nobody knows."""
        told = {"sentence": score} if isinstance(score, str) else asdict(score)
        row = (job.key, victim, json.dumps(told))
        with self.at_once():
            self.file.execute("INSERT OR REPLACE INTO transfers VALUES (?, ?, ?)", row)

    def transfers(self) -> list[TransferRecord]:
        """All that was entered, in the order of the plan's jobs."""
        found = []
        for text, victim, told in self.file.execute(
            "SELECT cell, victim, score FROM transfers JOIN cells USING (key) "
            "ORDER BY place, transfers.rowid"
        ):
            job, score = Job(**json.loads(text)), json.loads(told)
            sentence = score.get("sentence")
            known = read_score(score, job) if sentence is None else None
            found.append(TransferRecord(job, victim, known, sentence))
        return found

    def remaining(self) -> Remaining:
        """Count the jobs, without reading their results."""
        jobs, ended, mean = self.file.execute(
            "SELECT count(*), total(state IN ('done', 'failed')), avg(seconds) FROM cells "
            "WHERE state != 'elsewhere'"
        ).fetchone()
        left = (mean or 0.0) * (jobs - ended) / 60
        return Remaining(ended=int(ended), jobs=jobs, minutes_left=left)

    def _enter(self, job: Job, state: str, **columns: object) -> None:
        change = f"UPDATE cells SET state = ?{''.join(f', {name} = ?' for name in columns)}"
        self.file.execute(f"{change} WHERE key = ?", (state, *columns.values(), job.key))

    def _reopen(self) -> None:
        """Give back what processes of this machine claimed that are gone."""
        claims = "state = 'claimed' AND host = ?"
        here, find = platform.node(), f"SELECT DISTINCT process FROM cells WHERE {claims}"
        gone = [
            (here, process)
            for (process,) in self.file.execute(find, (here,)).fetchall()
            if not is_running(process)
        ]
        change = f"UPDATE cells SET state = 'open' WHERE {claims} AND process = ?"
        self.file.executemany(change, gone)

    @contextlib.contextmanager
    def at_once(self) -> Iterator[None]:
        """Enter all that follows or, if something fails, nothing."""
        try:
            # Two processes never read the same open job.
            self.file.execute("BEGIN IMMEDIATE")
            yield
            self.file.execute("COMMIT")
        except BaseException as error:
            # Where the disk is full, SQLite may have taken all back itself.
            if self.file.in_transaction:
                self.file.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                raise self._unusable(error) from error
            raise

    def _unusable(self, error: sqlite3.Error) -> DataError:
        return DataError(f"{self.path} cannot be used as a campaign's ledger: {error}")
