"""The campaign's ledger: one SQLite file in which each cell is open, claimed, done or failed.

Several processes may work through one ledger: a claim is taken in one transaction. A claim whose
process is gone is open again. A part of a campaign has a ledger of its own, in which the cells of
other parts are `elsewhere`.
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

from agns.data.known_photos import PhotoRow, read_rows
from agns.errors import ConfigError, DataError
from agns.evaluation.campaign.cells import Cell
from agns.evaluation.campaign.plan import same_plan
from agns.evaluation.campaign.rows import Row, Standing, TransferRow
from agns.evaluation.campaign.runs import RUNS_SCHEMA, is_running

_SCHEMA = """
CREATE TABLE IF NOT EXISTS campaign (plan TEXT NOT NULL, versions TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS cells (
    place INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    cell TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'open',
    host TEXT,
    process INTEGER,
    seconds REAL,
    peak_memory_mb REAL,
    result TEXT,
    sentence TEXT
);
CREATE TABLE IF NOT EXISTS victims (
    name TEXT PRIMARY KEY, weights TEXT NOT NULL, doubts TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS transfers (
    key TEXT NOT NULL,
    victim TEXT NOT NULL,
    score TEXT NOT NULL,
    PRIMARY KEY (key, victim)
);
CREATE TABLE IF NOT EXISTS photos (
    victim TEXT, subject TEXT, listed TEXT NOT NULL, PRIMARY KEY (victim, subject)
);
"""

Begun: TypeAlias = dict[tuple[str, str], list[PhotoRow]]
"""By victim and subject, the photos that a campaign was begun with; by the subject `""`, those of
everybody."""


class Ledger:
    """A campaign's cells and what became of them.

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
        cells: Sequence[Cell],
        versions: Mapping[str, str],
        *,
        share: Collection[Cell] | None = None,
        beside: Collection[str] = (),
    ) -> None:
        """Enter a plan's cells, or go on with them.

        Args:
            plan: With its defaults.
            cells: All of the plan's.
            versions: See `agns.storage.versions`.
            share: Those of them that are this ledger's; None for all.
            beside: Keys of cells that other ledgers of the directory account for.

        Raises:
            ConfigError: The ledger is another plan's, or new beside results of an older one.
        """
        with self.at_once():
            before = self.file.execute("SELECT plan FROM campaign").fetchone()
            if before is not None:
                if not same_plan(json.loads(before[0]), plan):
                    raise ConfigError(
                        f"{self.path.parent} holds a campaign of another plan: name another "
                        "directory, or give the plan that it was begun with"
                    )
                if share is not None and json.loads(before[0]).get("together", 1) > 1:
                    raise ConfigError(
                        f"{self.path} was begun with a plan whose attacks ran together, which "
                        "divides it otherwise: begin in another directory"
                    )
                return
            left = {path.parent.name for path in (self.path.parent / "cells").glob("*/result.json")}
            if (left if share is None else left & {cell.key for cell in share}) - set(beside):
                raise ConfigError(
                    f"{self.path.parent} holds results of a campaign whose {self.path.name} is "
                    "gone: name another directory"
                )
            about = (json.dumps(plan), json.dumps(versions))
            self.file.execute("INSERT INTO campaign VALUES (?, ?)", about)
            own = set(cells if share is None else share)
            entered = [
                (place, cell.key, json.dumps(asdict(cell)), "open" if cell in own else "elsewhere")
                for place, cell in enumerate(cells)
            ]
            self.file.executemany(
                "INSERT INTO cells (place, key, cell, state) VALUES (?, ?, ?, ?)", entered
            )

    def settle(self, own: Collection[Cell], ended: Collection[Cell]) -> None:
        """Leave to other ledgers what they have ended, and take back what they have not.

        Args:
            own: The cells that are this ledger's.
            ended: Cells that others have the last word of.
        """
        with self.at_once():
            for cell in own:
                before, after = ("open", "elsewhere") if cell in ended else ("elsewhere", "open")
                self.file.execute(
                    "UPDATE cells SET state = ? WHERE key = ? AND state = ?",
                    (after, cell.key, before),
                )

    def about(self) -> tuple[dict[str, object], dict[str, str]]:
        """The plan with its defaults, and the versions that the campaign was begun with.

        Raises:
            ConfigError: Nothing has been entered yet.
        """
        row = self.file.execute("SELECT plan, versions FROM campaign").fetchone()
        if row is None:
            raise ConfigError(f"{self.path.parent} holds no campaign")
        return json.loads(row[0]), json.loads(row[1])

    def claim(self) -> Cell | None:
        """Take the plan's next open cell for this process; None if none is left."""
        with self.at_once():
            self._reopen()
            found = self.file.execute(
                "SELECT cell, key FROM cells WHERE state = 'open' ORDER BY place LIMIT 1"
            ).fetchone()
            if found is None:
                return None
            self.file.execute(
                "UPDATE cells SET state = 'claimed', host = ?, process = ? WHERE key = ?",
                (platform.node(), os.getpid(), found[1]),
            )
        return Cell(**json.loads(found[0]))

    def finish(
        self, cell: Cell, result: Mapping[str, object], *, seconds: float, peak_memory_mb: float
    ) -> None:
        """Enter a cell's result."""
        self.file.execute(
            "UPDATE cells SET state = 'done', result = ?, seconds = ?, peak_memory_mb = ? "
            "WHERE key = ?",
            (json.dumps(result), seconds, peak_memory_mb, cell.key),
        )

    def fail(self, cell: Cell, sentence: str, *, seconds: float) -> None:
        """Enter why a cell has no result; bytes of file names that are no text come as escapes."""
        self.file.execute(
            "UPDATE cells SET state = 'failed', sentence = ?, seconds = ? WHERE key = ?",
            (sentence.encode("utf-8", "backslashreplace").decode(), seconds, cell.key),
        )

    def release(self, cell: Cell) -> None:
        """Give a claimed cell back."""
        self.file.execute(
            "UPDATE cells SET state = 'open' WHERE key = ? AND state = 'claimed'", (cell.key,)
        )

    def rows(self) -> list[Row]:
        """All cells, in the order of the plan."""
        found = self.file.execute(
            "SELECT cell, state, seconds, result, sentence FROM cells ORDER BY place"
        ).fetchall()
        return [
            Row(
                cell=Cell(**json.loads(cell)), state=state, seconds=seconds, sentence=sentence,
                result=None if result is None else json.loads(result),
            )
            for cell, state, seconds, result, sentence in found
        ]  # fmt: skip

    def enter_victim(self, victim: str, weights: str, doubts: Sequence[str]) -> None:
        """Enter a victim's digest, and what makes its figures worth less.

        See `agns.evaluation.sanity`.
        """
        with self.at_once():
            self.file.execute(
                "INSERT OR REPLACE INTO victims VALUES (?, ?, ?)",
                (victim, weights, json.dumps(doubts)),
            )

    def weights(self) -> dict[str, str]:
        """The digest of each victim that was entered, by its name."""
        return dict(self.file.execute("SELECT name, weights FROM victims ORDER BY rowid"))

    def enter_photos(self, begun: Begun) -> None:
        """Enter which photos the campaign is begun with."""
        self.file.executemany(
            "INSERT OR REPLACE INTO photos VALUES (?, ?, ?)",
            [(*key, json.dumps([row.as_json() for row in rows])) for key, rows in begun.items()],
        )

    def photos(self) -> Begun:
        """All that was entered of photos."""
        found = self.file.execute("SELECT victim, subject, listed FROM photos").fetchall()
        return {
            (victim, subject): read_rows(json.loads(listed), self.path)
            for victim, subject, listed in found
        }

    def doubts(self) -> dict[str, list[str]]:
        """By the name of each victim that was examined."""
        found = self.file.execute("SELECT name, doubts FROM victims ORDER BY rowid").fetchall()
        return {name: json.loads(doubts) for name, doubts in found}

    def reopen(self, *, failed: bool = False, elsewhere: bool = False) -> None:
        """Open cells again that nobody is at.

        Args:
            failed: Those that could not be run, too.
            elsewhere: Those that other machines claimed, too, and processes that cannot be asked.
        """
        with self.at_once():
            # This process has claimed none yet: what bears its number was another's.
            self.file.execute(
                "UPDATE cells SET state = 'open' WHERE state = 'claimed' AND "
                "(? OR (host = ? AND process = ?))",
                (elsewhere, platform.node(), os.getpid()),
            )
            self._reopen()
            if failed:
                self.file.execute(
                    "UPDATE cells SET state = 'open', sentence = NULL WHERE state = 'failed'"
                )

    def enter_transfer(self, cell: Cell, victim: str, score: Mapping[str, object]) -> None:
        """Enter what a cell's frame did to another victim, or a `sentence` why nobody knows."""
        with self.at_once():
            self.file.execute(
                "INSERT OR REPLACE INTO transfers VALUES (?, ?, ?)",
                (cell.key, victim, json.dumps(score)),
            )

    def transfers(self) -> list[TransferRow]:
        """All that was entered, in the order of the plan's cells."""
        found = self.file.execute(
            "SELECT cell, victim, score FROM transfers JOIN cells USING (key) "
            "ORDER BY place, transfers.rowid"
        ).fetchall()
        rows = []
        for cell, victim, text in found:
            score = json.loads(text)
            sentence = score.get("sentence")
            rows.append(
                TransferRow(
                    cell=Cell(**json.loads(cell)), victim=victim, sentence=sentence,
                    score=score if sentence is None else None,
                )
            )  # fmt: skip
        return rows

    def standing(self) -> Standing:
        """Count the cells, without reading their results."""
        cells, ended, mean = self.file.execute(
            "SELECT count(*), total(state IN ('done', 'failed')), avg(seconds) FROM cells "
            "WHERE state != 'elsewhere'"
        ).fetchone()
        left = (mean or 0.0) * (cells - ended) / 60
        return Standing(ended=int(ended), cells=cells, minutes_left=left)

    def _reopen(self) -> None:
        """Give back what processes of this machine claimed that are gone."""
        claimed = self.file.execute(
            "SELECT DISTINCT process FROM cells WHERE state = 'claimed' AND host = ?",
            (platform.node(),),
        ).fetchall()
        gone = [(platform.node(), process) for (process,) in claimed if not is_running(process)]
        self.file.executemany(
            "UPDATE cells SET state = 'open' WHERE state = 'claimed' AND host = ? AND process = ?",
            gone,
        )

    @contextlib.contextmanager
    def at_once(self) -> Iterator[None]:
        """Enter all that follows or, if something fails, nothing."""
        try:
            # Two processes never read the same open cell.
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
