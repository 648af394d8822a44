"""Reading a ledger that another process, on another machine at worst, may be writing."""

import contextlib
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from agns.campaign.ledger import Ledger
from agns.errors import DataError

_TRIES = 5
_BETWEEN_SECONDS = 0.5


@contextlib.contextmanager
def reading(path: Path) -> Iterator[Ledger]:
    """A copy of a ledger in memory: the file stays as it is, and nobody waits for it.

    Raises:
        DataError: The file is no ledger.
    """
    memory = sqlite3.connect(":memory:", isolation_level=None)
    for left in reversed(range(_TRIES)):
        try:
            _copy(path, memory)
            break
        except sqlite3.Error as error:
            # Where a disk has no locks, a file may be read in the middle of a change.
            if left == 0 or "not a database" in str(error):
                raise DataError(f"{path} cannot be used as a campaign's ledger: {error}") from error
            time.sleep(_BETWEEN_SECONDS)
    # One of an older agns lacks some tables.
    ledger = Ledger(path, copy=memory)
    try:
        yield ledger
    finally:
        ledger.close()


def _copy(path: Path, memory: sqlite3.Connection) -> None:
    address = f"{path.absolute().as_uri()}?mode=ro"
    try:
        with contextlib.closing(sqlite3.connect(address, uri=True, timeout=60)) as file:
            file.backup(memory)
    except sqlite3.OperationalError:
        # A process was killed in the middle of a change, which whoever opens the file for writing
        # takes back. That is for the part itself: it may be alive, on another machine.
        with tempfile.TemporaryDirectory(prefix="agns-") as folder:
            own, journal = Path(folder) / path.name, path.with_name(f"{path.name}-journal")
            if journal.is_file():
                shutil.copyfile(journal, own.with_name(journal.name))
            shutil.copyfile(path, own)
            with contextlib.closing(sqlite3.connect(own)) as file:
                file.backup(memory)
