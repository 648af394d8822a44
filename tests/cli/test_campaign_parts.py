"""`agns campaign run --part`: shares of a plan, broken off, gone on with, put together."""

import hashlib
import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.campaign.conftest import attack_score, split, written

from agns.campaign import report as campaign_report
from agns.campaign import running, transfer
from agns.campaign.jobs import Job
from agns.campaign.ledger import Ledger
from agns.campaign.parts import read_ledgers
from agns.campaign.records import TransferScore
from agns.campaign.runs import Run, at_work
from agns.cli import campaign_run, loading
from agns.errors import AttackError
from agns.evaluation.score import AttackScore
from agns.images import write_image
from agns.storage import read_json, write_json

WHITE = torch.ones(3, 1, 1)
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


@dataclass
class Fakes:
    """What takes the place of attacks, which take long."""

    made: list[str] = field(default_factory=list)
    """Recogniser and subject of each."""
    before: Callable[[], None] = lambda: None
    """What happens before each."""
    fails: bool = False


@pytest.fixture
def attacks(monkeypatch: pytest.MonkeyPatch) -> Fakes:
    """Attacks, examinations and scores that take no time, and come to figures of their own."""
    fakes = Fakes()

    def share(*words: str) -> float:
        return hashlib.sha256("-".join(words).encode()).digest()[0] / 255

    def run_job(_: object, job: Job, __: object, out: Path, ___: object) -> AttackScore:
        fakes.made.append(f"{job.recognizer} {job.subject}")
        fakes.before()
        result = attack_score(job.subject, share(job.key), warnings=[job.key])
        write_json(job.folder(out) / "result.json", written(result))
        write_image(job.folder(out) / "frame.png", torch.rand(3, 64, 176))
        if fakes.fails:
            raise AttackError("no luck")
        return result

    def score_frame(_: object, result: AttackScore, *__: object, **___: object) -> TransferScore:
        parts = ("digital", "photographed", "benign", "bare")
        return TransferScore(**{name: split(share(result.warnings[0], name)) for name in parts})

    monkeypatch.setattr(running, "run_job", run_job)
    monkeypatch.setattr(campaign_run, "examine_victim", lambda _, subjects: ["of", *subjects])
    monkeypatch.setattr(transfer, "score_frame", score_frame)
    # Pictures take longest, and are made from the same results.
    for name in ("draw_intervals", "draw_appearance", "draw_transfer"):
        monkeypatch.setattr(campaign_report, name, lambda path, *_: write_image(path, WHITE))
    for module in (loading, campaign_run):
        monkeypatch.setattr(module, "open_for_campaign", lambda *_, **__: (None, str))
    return fakes


def told(out: Path) -> dict[str, Any]:
    """A report, but for times."""

    def without_times(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: without_times(one) for key, one in value.items() if key != "seconds"}
        return [without_times(one) for one in value] if isinstance(value, list) else value

    found: dict[str, Any] = without_times(read_json(out / "report.json"))
    return found


def ended() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def test_parts_of_which_one_was_ended_and_begun_anew_come_to_the_report_of_an_unbroken_run(
    agns: RunCommand, plan: Path, tmp_path: Path, attacks: Fakes
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert agns("campaign", "run", plan, "--out", whole).code == 0
    unbroken, attacks.made = attacks.made, []
    for number in (4, 1):
        done = agns("campaign", "run", plan, "--out", parts, "--part", f"{number}/4")
        assert done.code == 0, done.err
        assert f"part {number} of 4: 1 of 1 attacks ended" in done.out
    assert not (parts / "report.json").exists()

    attacks.before = ended
    broken = agns("campaign", "run", plan, "--out", parts, "--part", "3/4")
    assert (broken.code, broken.complaint) == (143, "interrupted by SIGTERM")
    attacks.before = lambda: None
    for number in (2, 3):
        assert agns("campaign", "run", plan, "--out", parts, "--part", f"{number}/4").code == 0
    assert agns("campaign", "report", parts).code == 0
    assert told(parts) == told(whole)
    assert (told(parts)["doubts"]["other"], len(told(parts)["transfers"])) == (
        ["of", "Synthetic_000", "Synthetic_001"], 2
    )  # fmt: skip
    assert sorted(attacks.made) == sorted([*unbroken, attacks.made[2]])

    attacks.made = []
    done = agns("campaign", "run", plan, "--out", parts)
    assert "4 of 4 attacks have results" in done.out
    assert (attacks.made, told(parts)) == ([], told(whole))
    assert agns("campaign", "compare", whole, parts).code == 0


def test_a_run_without_a_part_does_what_no_part_has_done_and_a_part_what_it_has_not(
    agns: RunCommand, plan: Path, tmp_path: Path, attacks: Fakes
) -> None:
    out = tmp_path / "out"
    assert agns("campaign", "run", plan, "--out", out, "--part", "2/3").code == 0
    assert attacks.made == ["small Synthetic_001"]
    attacks.before = lambda: ended() if len(attacks.made) == 3 else None
    assert agns("campaign", "run", plan, "--out", out).code == 143
    assert attacks.made[1:] == ["small Synthetic_000", "other Synthetic_000"]
    # Its share is that of the first and the last attack, of which the first is done.
    assert agns("campaign", "run", plan, "--out", out, "--part", "1/3").code == 0
    assert attacks.made[3:] == ["other Synthetic_001"]
    assert agns("campaign", "run", plan, "--out", out).code == 0
    assert attacks.made[4:] == ["other Synthetic_000"]
    jobs = told(out)["cells"]
    assert [job["state"] for job in jobs] == ["done"] * 4
    # Each frame is scored once on the other recogniser, whichever ledger its attack is in.
    assert sum(len(one.transfers) for one in read_ledgers(out)) == 4


def test_what_failed_in_a_part_is_tried_again_when_asked_for(
    agns: RunCommand, plan: Path, tmp_path: Path, attacks: Fakes
) -> None:
    out, part = tmp_path / "out", ("--part", "1/2")
    attacks.fails = True
    for given, made in [(part, 2), (part, 2), ((*part, "--retry-failed"), 4), ((), 6)]:
        done = agns("campaign", "run", plan, "--out", out, *given)
        assert (done.code, len(attacks.made)) == (0, made)
    assert "0 of 4 attacks have results, 4 failed" in done.out
    attacks.fails = False
    done = agns("campaign", "run", plan, "--out", out, "--retry-failed")
    assert "4 of 4 attacks have results, 0 failed" in done.out


def test_a_task_of_a_job_array_runs_its_part(
    agns: RunCommand, plan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"ID": "0", "COUNT": "4", "MIN": "0", "MAX": "3", "STEP": "1"}.items():
        monkeypatch.setenv(f"SLURM_ARRAY_TASK_{name}", value)
    command = ("campaign", "run", plan, "--out", tmp_path / "out", "--dry-run")
    own, whole = agns(*command).out, agns(*command, "--part", "1/1").out
    assert "This task of the job array runs part 1 of 4" in own
    assert "array" not in whole
    assert [told.splitlines()[-1].split()[0] for told in (own, whole)] == ["1", "4"]
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
