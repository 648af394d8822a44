"""Ledgers read while others write them."""

import sqlite3
from pathlib import Path

import pytest

from agns.campaign import reading as module
from agns.campaign.jobs import Job
from agns.campaign.ledger import Ledger
from agns.campaign.reading import reading
from agns.errors import DataError

JOB = Job(recognizer="r", goal="dodge", subject="Ann", target=None, attack="agn", seed=0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = Ledger(tmp_path / "part-1-of-2.sqlite")
    made.begin({}, [JOB], {})
    made.close()
    return made.path


def states(path: Path) -> list[str]:
    with reading(path) as ledger:
        return [row.state for row in ledger.records()]


def test_reading_changes_nothing_and_sees_what_has_been_entered_in_full(path: Path) -> None:
    before = path.read_bytes()
    writer = Ledger(path)
    with writer.at_once():
        writer.file.execute("UPDATE cells SET state = 'done'")
        assert states(path) == ["open"]
    assert path.read_bytes() != before
    before = path.read_bytes()
    assert states(path) == ["done"]
    assert path.read_bytes() == before
    writer.close()


def test_what_a_kill_left_half_written_is_read_as_before_and_left_to_its_owner(
    path: Path, tmp_path: Path
) -> None:
    writer = sqlite3.connect(path, isolation_level=None)
    # With so little memory, changes reach the file before they are complete.
    writer.execute("PRAGMA cache_size = 1")
    writer.execute("PRAGMA cache_spill = 1")
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("UPDATE cells SET state = 'done'")
    writer.executemany(
        "INSERT INTO transfers VALUES (?, 'v', ?)", [(str(n), "x" * 2000) for n in range(50)]
    )
    killed = tmp_path / "killed" / path.name
    killed.parent.mkdir()
    killed.write_bytes(path.read_bytes())
    journal = killed.with_name(f"{path.name}-journal")
    journal.write_bytes(path.with_name(journal.name).read_bytes())
    writer.execute("ROLLBACK")
    writer.close()
    before = killed.read_bytes()
    assert states(killed) == ["open"]
    assert (killed.read_bytes(), journal.is_file()) == (before, True)


def test_what_is_no_ledger_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.time, "sleep", lambda _: pytest.fail("it will not become one"))
    path = tmp_path / "part-1-of-2.sqlite"
    path.write_text("nonsense " * 200, encoding="utf-8")
    with pytest.raises(DataError, match="cannot be used as a campaign's ledger"):
        states(path)


def test_a_ledger_of_an_older_agns_is_read(path: Path) -> None:
    with sqlite3.connect(path) as file:
        file.execute("DROP TABLE runs")
    assert states(path) == ["open"]
