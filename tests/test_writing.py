"""Writing on a disk that is full, in whose place stands a limit on the size of files."""

import errno
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from agns.campaign.ledger import Ledger
from agns.data.alignment_jobs import Row, append_row, write_record
from agns.errors import DataError
from agns.images import write_image
from agns.run_directory import RunDirectory
from agns.storage import save_tensors, write_json
from agns.writing import in_markdown, replacing, write_text, writing

resource = pytest.importorskip("resource")
LIMIT = 8192


@pytest.fixture
def full() -> Iterator[Callable[[], None]]:
    """Lets no file grow beyond the limit, once called."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


ROW = Row(name="a" * 9000, photo="b", outcome="aligned")


def log(path: Path) -> None:
    run = RunDirectory(path.parent, {}, resume=True)
    for _ in range(2):
        run.log({"x" * LIMIT: 1.0})


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.txt", lambda path: write_text(path, "x" * 9000)),
        ("a.json", lambda path: write_json(path, ["x" * 9000])),
        ("a.safetensors", lambda path: save_tensors(path, {"w": torch.zeros(9000)}, {})),
        ("a.png", lambda path: write_image(path, torch.rand(3, 200, 200))),
        ("a.jpg", lambda path: write_image(path, torch.rand(3, 200, 200))),
        ("a.csv", lambda path: write_record(path, [ROW])),
    ],
)
def test_a_full_disk_is_told_with_the_path_and_leaves_what_was_there(
    tmp_path: Path, full: Callable[[], None], name: str, write: Callable[[Path], None]
) -> None:
    path = tmp_path / name
    path.write_text("before")
    full()
    with pytest.raises(OSError, match="File too large") as caught:
        write(path)
    assert caught.value.filename == str(path)
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [(name, "before")]


@pytest.mark.parametrize(
    ("name", "append"),
    [("a.csv", lambda path: append_row(path, ROW)), ("metrics.jsonl", log)],
)
def test_a_line_that_finds_no_room_is_told_with_its_file(
    tmp_path: Path, full: Callable[[], None], name: str, append: Callable[[Path], None]
) -> None:
    RunDirectory(tmp_path, {}, resume=False)
    full()
    with pytest.raises(OSError, match="File too large") as caught:
        append(tmp_path / name)
    assert caught.value.filename == str(tmp_path / name)


def test_a_ledger_that_cannot_grow_is_told_with_its_path_and_stays_whole(
    tmp_path: Path, full: Callable[[], None]
) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    ledger.enter_victim("before", "0", [])
    full()
    with pytest.raises(DataError, match=r"ledger\.sqlite cannot be used as a campaign's ledger"):
        ledger.enter_victim("after", "1", ["x" * 10**6])
    ledger.close()
    with sqlite3.connect(tmp_path / "ledger.sqlite") as file:
        assert file.execute("SELECT name FROM victims").fetchall() == [("before",)]


def test_a_file_that_may_not_be_made_is_told_by_its_own_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.txt"
    with pytest.raises(PermissionError) as caught, replacing(path) as temporary:
        raise PermissionError(errno.EACCES, "Permission denied", str(temporary))
    assert caught.value.filename == str(path)


def test_an_error_of_another_file_keeps_its_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught, writing(tmp_path / "a.txt"):
        (tmp_path / "b.txt").read_text()
    assert caught.value.filename == str(tmp_path / "b.txt")


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("Ada_Lovelace_000", "Ada_Lovelace_000"),
        ("a|b\\", "a\\|b\\\\"),
        ("`x` *y* [z](w)", "\\`x\\` \\*y\\* [z\\](w)"),
        ("__init__", "\\_\\_init\\_\\_"),
        ("a\n# b", "a\\\\n# b"),
        ("# c", "\\# c"),
        ("[-1, 1]", "\\[-1, 1]"),
        ("caf\udce9 <b>", "caf\\\\udce9 &lt;b&gt;"),
    ],
)
def test_markdown_shows_a_text_as_it_is_on_one_line(text: str, written: str) -> None:
    assert in_markdown(text) == written
