"""`agns campaign run --part`: shares of a plan, broken off, gone on with, put together."""

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agns.evaluation.campaign import running
from agns.evaluation.campaign.ledger import Ledger
from agns.evaluation.campaign.parts import read_ledgers
from agns.evaluation.campaign.runs import Run, at_work
from agns.storage import read_json

RunCommand = Callable[..., Any]

PLAN = """\
recognizers:
  - {{name: small, file: {recognizer}, faces: {faces}}}
  - {{name: other, file: {recognizer}, faces: {faces}}}
goals: [impersonate]
attacks:
  - {{method: pgd, settings: {{steps: 1}}}}
subjects: [Synthetic_000, Synthetic_001]
craft: 2
control_frames: 2
frames: 16
transfer: true
"""


@pytest.fixture
def plan(write_plan: Callable[[str], Path]) -> Path:
    return write_plan(PLAN)


@pytest.fixture
def attacks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The subjects of the attacks that are made, as `recogniser subject`."""
    made: list[str] = []
    run_cells = running.run_cells

    def noted(plan: Any, cells: Any, *given: Any) -> Any:
        made.extend(f"{cell.recognizer} {cell.subject}" for cell in cells)
        return run_cells(plan, cells, *given)

    monkeypatch.setattr(running, "run_cells", noted)
    return made


def told(out: Path) -> dict[str, Any]:
    """A report, but for times."""

    def without_times(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: without_times(one) for key, one in value.items() if key != "seconds"}
        return [without_times(one) for one in value] if isinstance(value, list) else value

    found: dict[str, Any] = without_times(read_json(out / "report.json"))
    return found


def test_parts_of_which_one_was_ended_and_begun_anew_come_to_the_report_of_an_unbroken_run(
    agns: RunCommand,
    plan: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    attacks: list[str],
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert agns("campaign", "run", plan, "--out", whole).code == 0
    unbroken = list(attacks)
    attacks.clear()
    for number in (4, 1):
        done = agns("campaign", "run", plan, "--out", parts, "--part", f"{number}/4")
        assert done.code == 0, done.err
        assert f"part {number} of 4: 1 of 1 attacks ended" in done.out
    assert not (parts / "report.json").exists()

    with monkeypatch.context() as patch:
        patch.setattr(running, "run_trials", lambda *_: os.kill(os.getpid(), signal.SIGTERM))
        ended = agns("campaign", "run", plan, "--out", parts, "--part", "3/4")
    assert (ended.code, ended.complaint) == (143, "interrupted by SIGTERM")
    part = Ledger(parts / "part-3-of-4.sqlite")
    assert [row.state for row in part.rows()].count("open") == 1
    part.close()
    for number in (2, 3):
        assert agns("campaign", "run", plan, "--out", parts, "--part", f"{number}/4").code == 0
    assert agns("campaign", "report", parts).code == 0
    assert told(parts) == told(whole)
    assert sorted(set(attacks)) == sorted(unbroken)
    assert len(attacks) == len(unbroken) + 1

    attacks.clear()
    done = agns("campaign", "run", plan, "--out", parts)
    assert "4 of 4 attacks have results" in done.out
    assert (attacks, told(parts)) == ([], told(whole))
    assert agns("campaign", "compare", whole, parts).code == 0


def test_a_run_without_a_part_does_what_no_part_has_done_and_a_part_what_it_has_not(
    agns: RunCommand,
    plan: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    attacks: list[str],
) -> None:
    plan.write_text(plan.read_text(encoding="utf-8").replace("transfer: true", ""), "utf-8")
    out = tmp_path / "out"
    assert agns("campaign", "run", plan, "--out", out, "--part", "2/3").code == 0
    assert attacks == ["small Synthetic_001"]
    run_trials, left = running.run_trials, 2

    def breaks(*given: Any) -> Any:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGTERM)
        return run_trials(*given)

    with monkeypatch.context() as patch:
        patch.setattr(running, "run_trials", breaks)
        assert agns("campaign", "run", plan, "--out", out).code == 143
    assert attacks[1:] == ["small Synthetic_000", "other Synthetic_000"]
    attacks.clear()
    # Its share is that of the first and the last attack, of which the first is done.
    assert agns("campaign", "run", plan, "--out", out, "--part", "1/3").code == 0
    assert attacks == ["other Synthetic_001"]
    assert agns("campaign", "run", plan, "--out", out).code == 0
    assert attacks == ["other Synthetic_001", "other Synthetic_000"]
    assert {cell["state"] for cell in told(out)["cells"]} == {"done"}


def test_what_failed_in_a_part_is_tried_again_when_asked_for(
    agns: RunCommand, plan: Path, tmp_path: Path, attacks: list[str]
) -> None:
    text = plan.read_text(encoding="utf-8").replace("method: pgd, settings: {steps: 1}", "agn")
    text = text.replace("{agn}", "{method: agn, settings: {batch: 64}}")
    plan.write_text(text, encoding="utf-8")
    out = tmp_path / "out"
    assert agns("campaign", "run", plan, "--out", out, "--part", "1/2").code == 0
    assert len(attacks) == 2
    again = agns("campaign", "run", plan, "--out", out, "--part", "1/2")
    assert (again.code, len(attacks)) == (0, 2)
    agns("campaign", "run", plan, "--out", out, "--part", "1/2", "--retry-failed")
    assert len(attacks) == 4
    whole = agns("campaign", "run", plan, "--out", out)
    assert "0 of 4 attacks have results, 4 failed" in whole.out
    assert len(attacks) == 6
    agns("campaign", "run", plan, "--out", out, "--retry-failed")
    assert len(attacks) == 10


def test_a_task_of_a_job_array_runs_its_part(
    agns: RunCommand, plan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"ID": "0", "COUNT": "4", "MIN": "0", "MAX": "3", "STEP": "1"}.items():
        monkeypatch.setenv(f"SLURM_ARRAY_TASK_{name}", value)
    done = agns("campaign", "run", plan, "--out", tmp_path / "out", "--dry-run")
    assert "This task of the job array runs part 1 of 4" in done.out
    assert "1 attacks in all" in done.out
    whole = agns("campaign", "run", plan, "--out", tmp_path / "out", "--dry-run", "--part", "1/1")
    assert "4 attacks in all" in whole.out
    assert not (tmp_path / "out").exists()


def test_a_part_with_nothing_to_do_says_so(agns: RunCommand, plan: Path, tmp_path: Path) -> None:
    done = agns("campaign", "run", plan, "--out", tmp_path, "--part", "9/9", "--workers", "2")
    assert (done.code, "part 9 of 9: 0 of 0 attacks ended" in done.out) == (0, True)


@pytest.mark.parametrize(
    ("given", "others", "sentence"),
    [
        (["--part", "2/3"], "part-1-of-2.sqlite", "is divided into 2 parts, not 3"),
        (["--part", "2/2"], "part-2-of-2.sqlite", "in work by process"),
        (["--part", "2/2"], "campaign.sqlite", "in work by process"),
        ([], "part-1-of-2.sqlite", "in work by process"),
        (["--part", "3/2"], "part-1-of-2.sqlite", "a part is K/N"),
    ],
)
def test_what_cannot_be_done_beside_others_is_one_sentence(
    agns: RunCommand, plan: Path, tmp_path: Path, given: list[str], others: str, sentence: str
) -> None:
    out = tmp_path / "out"
    # Nothing is left to be done, so that beginning the ledger is all that this takes.
    assert agns("campaign", "run", plan, "--out", out, "--part", "9/9").code == 0
    shutil.move(out / "part-9-of-9.sqlite", out / others)
    ledger = Ledger(out / others)
    with at_work(ledger.file, ledger.path, Run(host="elsewhere", process=7), alone=True):
        done = agns("campaign", "run", plan, "--out", out, *given)
    ledger.close()
    assert (done.code, sentence in done.complaint) == (2, True), done.complaint
    assert [one.path.name for one in read_ledgers(out)] == [others]
