"""The campaign's ledger: one SQLite file in which each cell is open, claimed, done or failed.

Several processes may work through one ledger: a claim is taken in one transaction. A claim whose
process is gone is open again.
"""

import contextlib
import json
import os
import platform
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from agns.errors import ConfigError, DataError
from agns.evaluation.campaign.cells import Cell
from agns.evaluation.campaign.rows import Row, Standing, TransferRow

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
"""


class Ledger:
    """A campaign's cells and what became of them.

    Args:
        path: The SQLite file, made when it is not there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._file = sqlite3.connect(path, timeout=60, isolation_level=None)
            self._file.executescript(_SCHEMA)
        except sqlite3.Error as error:
            raise DataError(f"{path} cannot be used as a campaign's ledger: {error}") from error

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def begin(
        self, plan: Mapping[str, object], cells: Sequence[Cell], versions: Mapping[str, str]
    ) -> None:
        """Enter a plan's cells, or go on with them.

        Raises:
            ConfigError: The ledger is another plan's, or new beside results of an older one.
        """
        with self.at_once():
            before = self._file.execute("SELECT plan FROM campaign").fetchone()
            if before is not None:
                known = json.loads(before[0])
                # What plans could not say yet when it was begun, they leave empty now.
                now = {name: value for name, value in plan.items() if value or name in known}
                if json.dumps(known, sort_keys=True) != json.dumps(now, sort_keys=True):
                    raise ConfigError(
                        f"{self.path.parent} holds a campaign of another plan: name another "
                        "directory, or give the plan that it was begun with"
                    )
                return
            if any((self.path.parent / "cells").glob("*/result.json")):
                raise ConfigError(
                    f"{self.path.parent} holds results of a campaign whose {self.path.name} is "
                    "gone: name another directory"
                )
            self._file.execute(
                "INSERT INTO campaign VALUES (?, ?)", (json.dumps(plan), json.dumps(versions))
            )
            self._file.executemany(
                "INSERT INTO cells (place, key, cell) VALUES (?, ?, ?)",
                [(place, cell.key, json.dumps(asdict(cell))) for place, cell in enumerate(cells)],
            )

    def about(self) -> tuple[dict[str, object], dict[str, str]]:
        """The plan with its defaults, and the versions that the campaign was begun with.

        Raises:
            ConfigError: Nothing has been entered yet.
        """
        row = self._file.execute("SELECT plan, versions FROM campaign").fetchone()
        if row is None:
            raise ConfigError(f"{self.path.parent} holds no campaign")
        return json.loads(row[0]), json.loads(row[1])

    def claim(self, most: int = 1) -> tuple[Cell, ...]:
        """Take the next open cell for this process, and others that can be run beside it.

        Args:
            most: How many, of one recogniser, goal and attack.

        Returns:
            In the order of the plan; none if none is left.
        """
        with self.at_once():
            self._reopen()
            rows = self._file.execute(
                "SELECT cell FROM cells WHERE state = 'open' ORDER BY place"
            ).fetchall()
            still = [Cell(**json.loads(cell)) for (cell,) in rows]
            taken = tuple([cell for cell in still if cell.kind == still[0].kind][:most])
            self._file.executemany(
                "UPDATE cells SET state = 'claimed', host = ?, process = ? WHERE key = ?",
                [(platform.node(), os.getpid(), cell.key) for cell in taken],
            )
        return taken

    def finish(
        self, cell: Cell, result: Mapping[str, object], *, seconds: float, peak_memory_mb: float
    ) -> None:
        """Enter a cell's result."""
        self._file.execute(
            "UPDATE cells SET state = 'done', result = ?, seconds = ?, peak_memory_mb = ? "
            "WHERE key = ?",
            (json.dumps(result), seconds, peak_memory_mb, cell.key),
        )

    def fail(self, cell: Cell, sentence: str, *, seconds: float) -> None:
        """Enter why a cell has no result."""
        self._file.execute(
            "UPDATE cells SET state = 'failed', sentence = ?, seconds = ? WHERE key = ?",
            (sentence, seconds, cell.key),
        )

    def release(self, cell: Cell) -> None:
        """Give a claimed cell back."""
        self._file.execute(
            "UPDATE cells SET state = 'open' WHERE key = ? AND state = 'claimed'", (cell.key,)
        )

    def rows(self) -> list[Row]:
        """All cells, in the order of the plan."""
        found = self._file.execute(
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

        See `agns.evaluation.examination`.
        """
        with self.at_once():
            self._file.execute(
                "INSERT OR REPLACE INTO victims VALUES (?, ?, ?)",
                (victim, weights, json.dumps(doubts)),
            )

    def weights_of(self, victim: str) -> str | None:
        """The digest of a victim that was entered; None for one that was not."""
        row = self._file.execute("SELECT weights FROM victims WHERE name = ?", (victim,)).fetchone()
        return None if row is None else str(row[0])

    def doubts(self) -> dict[str, list[str]]:
        """By the name of each victim that was examined."""
        found = self._file.execute("SELECT name, doubts FROM victims ORDER BY rowid").fetchall()
        return {name: json.loads(doubts) for name, doubts in found}

    def reopen(self, *, failed: bool = False, elsewhere: bool = False) -> None:
        """Open cells again that nobody is at.

        Args:
            failed: Those that could not be run, too.
            elsewhere: Those that other machines claimed, too, and processes that cannot be asked.
        """
        with self.at_once():
            # This process has claimed none yet: what bears its number was another's.
            self._file.execute(
                "UPDATE cells SET state = 'open' WHERE state = 'claimed' AND "
                "(? OR (host = ? AND process = ?))",
                (elsewhere, platform.node(), os.getpid()),
            )
            if failed:
                self._file.execute(
                    "UPDATE cells SET state = 'open', sentence = NULL WHERE state = 'failed'"
                )

    def enter_transfer(self, cell: Cell, victim: str, score: Mapping[str, object]) -> None:
        """Enter what a cell's frame did to another victim, or a `sentence` why nobody knows."""
        self._file.execute(
            "INSERT OR REPLACE INTO transfers VALUES (?, ?, ?)",
            (cell.key, victim, json.dumps(score)),
        )

    def transfers(self) -> list[TransferRow]:
        """All that was entered, in the order of the plan's cells."""
        found = self._file.execute(
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
        cells, ended, mean = self._file.execute(
            "SELECT count(*), total(state IN ('done', 'failed')), avg(seconds) FROM cells"
        ).fetchone()
        left = (mean or 0.0) * (cells - ended) / 60
        return Standing(ended=int(ended), cells=cells, minutes_left=left)

    def _reopen(self) -> None:
        """Give back what processes of this machine claimed that are gone."""
        claimed = self._file.execute(
            "SELECT DISTINCT process FROM cells WHERE state = 'claimed' AND host = ?",
            (platform.node(),),
        ).fetchall()
        gone = [(platform.node(), process) for (process,) in claimed if not _runs(process)]
        self._file.executemany(
            "UPDATE cells SET state = 'open' WHERE state = 'claimed' AND host = ? AND process = ?",
            gone,
        )

    @contextlib.contextmanager
    def at_once(self) -> Iterator[None]:
        """Enter all that follows or, if something fails, nothing."""
        # Two processes never read the same open cell.
        self._file.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._file.execute("ROLLBACK")
            raise
        self._file.execute("COMMIT")


def _runs(process: int) -> bool:
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
