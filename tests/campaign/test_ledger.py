"""What became of a campaign's jobs, through breakdowns and beside other processes."""

import contextlib
import os
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from tests.campaign.conftest import attack_score, written

from agns.campaign.jobs import Job
from agns.campaign.ledger import Ledger
from agns.data.known_photos import PhotoRow
from agns.errors import ConfigError, DataError

JOBS = tuple(
    Job(recognizer="r", goal="dodge", subject=name, target=None, attack="agn", seed=0)
    for name in ("Ann", "Bob", "Cy")
)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    made = Ledger(tmp_path / "campaign.sqlite")
    made.begin({"goals": ["dodge"]}, JOBS, {"agns": "0"})
    return made


def states(ledger: Ledger) -> list[str]:
    return [row.state for row in ledger.records()]


def test_jobs_are_claimed_in_order_each_once(ledger: Ledger, tmp_path: Path) -> None:
    beside = Ledger(tmp_path / "campaign.sqlite")
    claimed = [ledger.claim(), beside.claim(), ledger.claim(), beside.claim()]
    assert claimed == [*JOBS, None]


def test_a_sentence_with_a_file_name_that_is_no_text_is_entered_with_escapes(
    ledger: Ledger,
) -> None:
    job = ledger.claim()
    assert job is not None
    ledger.fail(job, "caf\udce9.png is damaged", seconds=1)
    assert ledger.records()[0].sentence == "caf\\udce9.png is damaged"


def test_what_is_entered_at_once_is_entered_whole_or_not_at_all(ledger: Ledger) -> None:
    first, second, _ = (ledger.claim() for _ in range(3))
    with contextlib.suppress(ZeroDivisionError), ledger.at_once():
        ledger.finish(first, attack_score(), seconds=1, peak_memory_mb=1)
        ledger.fail(second, "no photos", seconds=1 / 0)
    assert states(ledger) == ["claimed"] * 3
    with ledger.at_once():
        ledger.finish(first, attack_score(), seconds=1, peak_memory_mb=1)
        ledger.fail(second, "no photos", seconds=1)
    assert states(ledger) == ["done", "failed", "claimed"]


def test_what_became_of_a_job_is_kept(ledger: Ledger, tmp_path: Path) -> None:
    for _ in JOBS:
        ledger.claim()
    ledger.finish(JOBS[0], attack_score("Ann"), seconds=1.5, peak_memory_mb=100)
    ledger.fail(JOBS[1], "no photos", seconds=0.1)
    ledger.release(JOBS[2])
    ledger.close()
    again = Ledger(tmp_path / "campaign.sqlite")
    assert states(again) == ["done", "failed", "open"]
    done, failed, _ = again.records()
    assert done.result is not None
    assert written(done.result) == written(attack_score("Ann"))
    assert (done.job, done.seconds) == (JOBS[0], 1.5)
    assert failed.sentence == "no photos"
    assert again.about() == ({"goals": ["dodge"]}, {"agns": "0"})
    assert again.claim() == JOBS[2]


def test_what_remains_is_counted_and_its_time_guessed(ledger: Ledger) -> None:
    begun = ledger.remaining()
    assert (begun.ended, begun.jobs, begun.minutes_left) == (0, 3, 0)
    ledger.claim()
    ledger.finish(JOBS[0], attack_score(), seconds=120, peak_memory_mb=1)
    ledger.fail(JOBS[1], "no photos", seconds=60)
    assert (ledger.remaining().ended, ledger.remaining().minutes_left) == (2, 1.5)


def test_a_done_job_is_not_given_back(ledger: Ledger) -> None:
    job = ledger.claim()
    assert job is not None
    ledger.finish(job, attack_score(), seconds=1, peak_memory_mb=1)
    ledger.release(job)
    assert states(ledger)[0] == "done"


def test_what_a_killed_process_claimed_is_open_again(ledger: Ledger, tmp_path: Path) -> None:
    program = textwrap.dedent("""
        import os, sys
        from pathlib import Path
        from agns.campaign.ledger import Ledger
        Ledger(Path(sys.argv[1])).claim()
        os._exit(9)
    """)
    subprocess.run([sys.executable, "-c", program, tmp_path / "campaign.sqlite"], check=False)
    assert states(ledger) == ["claimed", "open", "open"]
    assert ledger.claim() == JOBS[0]
    assert ledger.claim() == JOBS[1], "this process lives"


def test_the_same_plan_goes_on_and_another_is_refused(ledger: Ledger) -> None:
    ledger.claim()
    ledger.begin({"goals": ["dodge"]}, JOBS, {"agns": "1"})
    assert states(ledger) == ["claimed", "open", "open"]
    with pytest.raises(ConfigError, match="holds a campaign of another plan"):
        ledger.begin({"goals": ["impersonate"]}, JOBS, {"agns": "0"})
    assert len(ledger.records()) == 3


def test_what_is_no_ledger_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "campaign.sqlite"
    path.write_text("nonsense " * 200, encoding="utf-8")
    with pytest.raises(DataError, match="cannot be used as a campaign's ledger"):
        Ledger(path)
    with pytest.raises(ConfigError, match="holds no campaign"):
        Ledger(tmp_path / "new" / "campaign.sqlite").about()


def test_a_transaction_that_fails_leaves_the_file_usable(ledger: Ledger) -> None:
    with pytest.raises(ConfigError):
        ledger.begin({"other": 1}, JOBS, {})
    assert ledger.claim() == JOBS[0]
    assert sqlite3.connect(ledger.path).execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_failed_jobs_are_tried_again_when_asked_for(ledger: Ledger) -> None:
    ledger.claim()
    ledger.fail(JOBS[0], "no photos", seconds=1)
    ledger.reopen()
    assert states(ledger)[0] == "failed"
    ledger.reopen(failed=True)
    (first, *_) = ledger.records()
    assert (first.state, first.sentence) == ("open", None)


def test_what_others_claimed_elsewhere_is_opened_when_asked_for(
    ledger: Ledger, tmp_path: Path
) -> None:
    ledger.claim()
    ledger.claim()
    with sqlite3.connect(tmp_path / "campaign.sqlite") as file:
        file.execute("UPDATE cells SET host = 'elsewhere' WHERE place = 0")
        # As after a restart, which deals out the same numbers again.
        file.execute("UPDATE cells SET process = ? WHERE place = 1", (os.getpid(),))
    ledger.reopen()
    assert states(ledger) == ["claimed", "open", "open"]
    ledger.reopen(elsewhere=True)
    assert states(ledger) == ["open"] * 3


def test_what_a_plan_could_not_say_when_it_was_begun_may_stay_empty(ledger: Ledger) -> None:
    ledger.begin({"goals": ["dodge"], "universal": []}, JOBS, {"agns": "1"})
    with pytest.raises(ConfigError, match="another plan"):
        ledger.begin({"goals": ["dodge"], "universal": ["few"]}, JOBS, {"agns": "1"})


def test_a_ledger_that_says_how_many_attacks_were_made_side_by_side_goes_on(
    tmp_path: Path,
) -> None:
    begun = Ledger(tmp_path / "campaign.sqlite")
    begun.begin({"goals": ["dodge"], "together": 4}, JOBS, {"agns": "0"})
    begun.begin({"goals": ["dodge"]}, JOBS, {"agns": "0"})
    assert begun.claim() == JOBS[0]
    with pytest.raises(ConfigError, match="divides it otherwise"):
        begun.begin({"goals": ["dodge"]}, JOBS, {"agns": "0"}, share=JOBS[:1])


def test_results_whose_ledger_is_gone_are_not_taken_for_another_plans(tmp_path: Path) -> None:
    left = tmp_path / "cells" / JOBS[0].key / "result.json"
    left.parent.mkdir(parents=True)
    left.write_text("{}")
    with pytest.raises(ConfigError, match="sqlite is gone: name another directory"):
        Ledger(tmp_path / "campaign.sqlite").begin({}, JOBS, {})


def test_victims_are_kept_with_what_speaks_against_them(ledger: Ledger) -> None:
    assert (ledger.weights(), ledger.warnings()) == ({}, {})
    ledger.enter_victim("r", "abc", ["its range is off"])
    assert (ledger.weights(), ledger.warnings()) == ({"r": "abc"}, {"r": ["its range is off"]})


def test_a_plan_goes_on_wherever_its_files_and_folders_lie_by_now(ledger: Ledger) -> None:
    def plan(place: str, name: str) -> dict[str, object]:
        victim = {"name": "r", "file": f"{place}/weights", "faces": f"{place}/faces"}
        return {"recognizers": [victim], "subjects": [name]}

    other = Ledger(ledger.path.with_name("other.sqlite"))
    other.begin(plan("here", "Jos\u00e9"), JOBS, {})
    other.begin(plan("there", "Jose\u0301"), JOBS, {})
    drawn = {"recognizers": [{"name": "r", "file": None, "faces": None}], "subjects": ["Jos\u00e9"]}
    with pytest.raises(ConfigError, match="holds a campaign of another plan"):
        other.begin(drawn, JOBS, {})


def test_photos_are_kept_by_content(ledger: Ledger) -> None:
    row = PhotoRow(photo="Ann/1.png", identity="Ann", digest="d", picture="p")
    ledger.enter_photos({("r", "Ann"): [row]})
    assert ledger.photos() == {("r", "Ann"): [row]}
