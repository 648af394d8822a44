"""`agns campaign`: run, broken off, gone on with, reported."""

import contextlib
import os
import shutil
import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch
from tests.campaign.conftest import attack_score
from tests.cli.conftest import TINY, call, draw_nothing, score_briefly

from agns.campaign import running, transfer
from agns.campaign.jobs import Job
from agns.campaign.ledger import Ledger
from agns.cli import campaign_run
from agns.errors import AttackError, WeightsError
from agns.models.families import FAMILIES
from agns.models.recognizer import Recognizer
from agns.storage import read_json

Run = Callable[..., Any]

PLAN = """\
recognizers:
  - {{name: small, file: {recognizer}, faces: {faces}}}
goals: [impersonate]
attacks:
  - {{method: pgd, settings: {{steps: 1}}}}
  - {{method: agn, settings: {{batch: 4, samples: 4}}}}
subjects: [Synthetic_000, Synthetic_001]
craft: 2
control_frames: 2
frames: 4
"""

PGD = PLAN.replace("  - {{method: agn", "  # - {{method: agn")

ALONE = ", Synthetic_001]", "]"
"""What leaves one subject in a plan."""


@pytest.fixture
def plan(write_plan: Callable[[str], Path]) -> Path:
    return write_plan(PLAN)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory, weights: Any, folder: Path) -> Path:
    """A run in one go."""
    root = tmp_path_factory.mktemp("unbroken")
    plan = root / "plan.yaml"
    text = PLAN.format(recognizer=weights.recognizer, faces=folder)
    plan.write_text(text, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AGNS_CACHE", str(root / "cache"))
        draw_nothing(patch)
        score_briefly(patch)
        done = call("campaign", "run", plan, "--out", root / "out")
    assert done.code == 0, done.err
    assert "4 of 4 attacks have results, 0 failed" in done.out
    return root / "out"


def cannot(*_: object) -> Any:
    raise AttackError("there is nothing to dodge")


def figures(out: Path) -> list[object]:
    """What does not depend on the clock."""
    told = read_json(out / "report.json")
    return [
        {key: value for key, value in job["result"].items() if key != "seconds"}
        for job in told["cells"]
    ]


@pytest.mark.parametrize(
    ("device", "sentence"),
    [("gpu", "a device is auto, cpu, cuda or cuda:1"), ("cuda:999", "PyTorch sees")],
)
def test_a_device_that_is_not_there_is_refused_before_anything_is_written(
    agns: Run, plan: Path, tmp_path: Path, device: str, sentence: str
) -> None:
    done = agns("campaign", "run", plan, "--out", tmp_path / "out", "--device", device)
    assert done.code == 2
    assert sentence in done.err
    assert not (tmp_path / "out").exists()


def test_a_dry_run_says_what_would_run_and_leaves_nothing(
    agns: Run, plan: Path, tmp_path: Path
) -> None:
    with plan.open("a", encoding="utf-8") as file:
        file.write(
            "universal:\n  - {name: few, craft: 1, clusters: 1, counts: [1, 2], frames: 2}\n"
        )
    done = agns("campaign", "run", plan, "--out", tmp_path / "out", "--dry-run")
    assert done.code == 0, done.err
    *kinds, total = done.out.splitlines()[1:]
    assert [line.split()[1:4] for line in kinds] == [
        ["impersonate", "pgd", "2"], ["impersonate", "agn", "2"], ["universal", "few", "1"]
    ]  # fmt: skip
    assert total == "5 attacks in all"
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("few_controls", "no_pictures")
def test_frames_are_scored_on_the_other_recognisers_once(
    agns: Run, write_plan: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = PLAN.splitlines()[1]
    two = PGD.replace(*ALONE).replace(first, first + "\n" + first.replace("small", "other"))
    plan = write_plan(two + "transfer: true\n")
    done = agns("campaign", "run", plan, "--out", tmp_path / "out")
    assert done.code == 0, done.err
    told = read_json(tmp_path / "out" / "report.json")
    schema = read_json(Path(__file__).parents[2] / "docs" / "campaign-report.schema.json")
    jsonschema.validate(told, schema)
    assert set(told["doubts"]) == {"small", "other"}
    # They are the same recogniser twice, and held-out photos are the same.
    pairs = {(one["made_against"], one["scored_on"]): one for one in told["transfers"]}
    assert set(pairs) == {("small", "other"), ("other", "small")}
    for made, scored in pairs:
        (own,) = [line for line in told["lines"] if line["recognizer"] == made]
        assert pairs[made, scored]["digital"] == pytest.approx(own["held_out_success"], abs=0.05)
        assert pairs[made, scored]["benign"] == pytest.approx(own["benign_success"])

    monkeypatch.setattr(transfer, "score_frame", lambda *_, **__: pytest.fail("scored again"))
    assert agns("campaign", "run", plan, "--out", tmp_path / "out").code == 0
    assert read_json(tmp_path / "out" / "report.json")["transfers"] == told["transfers"]


def test_a_campaign_reports_its_attacks_by_method(
    agns: Run, unbroken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, out = unbroken, tmp_path / "out"
    told = read_json(whole / "report.json")
    assert [line["attack"] for line in told["lines"]] == ["pgd", "agn"]
    assert told["lines"][1]["against_first"] is not None
    assert told["plan"]["attacks"][0]["method"]["bound"] == 0.12
    assert (whole / "report.md").read_text(encoding="utf-8").count("| small |") == 2

    # Of pictures and frames it needs none.
    draw_nothing(monkeypatch)
    shutil.copytree(whole, out, ignore=shutil.ignore_patterns("cells", "report.*"))
    report = agns("campaign", "report", out)
    assert (report.code, "4 of 4" in report.out) == (0, True)
    assert "impersonate" in (out / "report.html").read_text(encoding="utf-8")
    same = agns("campaign", "compare", whole, out)
    assert (same.code, "worse" in same.out) == (0, False)


@pytest.mark.usefixtures("few_controls", "no_pictures")
def test_a_campaign_broken_off_anywhere_ends_with_the_figures_of_an_unbroken_one(
    agns: Run,
    write_plan: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    unbroken: Path,
) -> None:
    plan = write_plan(PLAN)
    broken, made = tmp_path / "broken", list[Path]()
    run_attack = running._run_attack

    def breaks(plan: Any, job: Any, opened: Any, out: Path, watch: Any) -> Any:
        made.append(out)
        result = run_attack(plan, job, opened, out, watch)
        if len(made) in (1, 3):
            # The artefacts are there, and the ledger does not know of them.
            raise KeyboardInterrupt
        return result

    monkeypatch.setattr(running, "_run_attack", breaks)
    assert agns("campaign", "run", plan, "--out", broken).code == 130
    # What is there as a whole is not made again.
    assert agns("campaign", "run", plan, "--out", broken).code == 130
    # This is made again, as it might be half written.
    (made[-1] / "result.json").unlink()
    done = agns("campaign", "run", plan, "--out", broken)
    assert (done.code, len(made)) == (0, 5), done.err
    assert figures(broken) == figures(unbroken)

    again = agns("campaign", "run", plan, "--out", broken)
    assert (again.code, len(made)) == (0, 5)


def work_until_killed(*given: Any) -> None:
    """What a process of a campaign does, but that the first to begin an attack is killed at it."""
    run_job = running.run_job

    def killed_once(*given: Any) -> Any:
        with contextlib.suppress(FileExistsError):
            Path(os.environ["AGNS_KILLED"]).touch(exist_ok=False)
            os.kill(os.getpid(), signal.SIGKILL)
        return run_job(*given)

    with pytest.MonkeyPatch.context() as patch:
        # Nothing that is patched by tests is so in a process of its own.
        patch.setitem(FAMILIES, "tiny", TINY)
        draw_nothing(patch)
        score_briefly(patch)
        patch.setattr(running, "run_job", killed_once)
        campaign_run._work_alone(*given)


@pytest.mark.usefixtures("few_controls", "no_pictures")
def test_processes_share_a_campaign_and_one_that_is_killed_loses_nothing(
    agns: Run, write_plan: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = write_plan(PGD + "seeds: [0, 1]\n")
    whole, joint = tmp_path / "whole", tmp_path / "joint"
    assert agns("campaign", "run", plan, "--out", whole).code == 0
    monkeypatch.setattr(campaign_run, "_work_alone", work_until_killed)
    monkeypatch.setenv("AGNS_KILLED", str(tmp_path / "killed"))
    monkeypatch.syspath_prepend(Path(__file__).parents[2])
    done = agns("campaign", "run", plan, "--out", joint, "--workers", "2")
    assert done.code == 0, done.err
    assert (tmp_path / "killed").exists()
    assert "4 of 4 attacks have results" in done.out
    assert figures(joint) == figures(whole)


@pytest.mark.usefixtures("few_controls", "no_pictures")
def test_a_job_that_cannot_run_is_told_and_the_others_go_on(
    agns: Run, plan: Path, tmp_path: Path
) -> None:
    text = plan.read_text(encoding="utf-8").replace(*ALONE)
    plan.write_text(text.replace("batch: 4", "batch: 64"), encoding="utf-8")
    done = agns("campaign", "run", plan, "--out", tmp_path / "out")
    assert done.code == 0, done.err
    assert "1 of 2 attacks have results, 1 failed" in done.out
    sentence = "a batch of 64 needs as many real frames, got 4"
    assert sentence in (tmp_path / "out/report.md").read_text(encoding="utf-8")


def test_a_recogniser_that_got_worse_fails_the_gate(agns: Run, tmp_path: Path, plan: Path) -> None:
    for place, rate in enumerate((0.1, 0.9)):
        ledger = Ledger(tmp_path / str(place) / "campaign.sqlite")
        jobs = [
            Job(recognizer="r", goal="dodge", subject=f"P{n}", target=None, attack="agn", seed=0)
            for n in range(8)
        ]
        ledger.begin({}, jobs, {})
        for job in jobs:
            result = attack_score(job.subject, rate)
            ledger.finish(job, result, seconds=1, peak_memory_mb=1)
        ledger.close()
    worse = agns("campaign", "compare", tmp_path / "0", tmp_path / "1")
    assert (worse.code, worse.out.split()[-1]) == (1, "worse")
    assert agns("campaign", "compare", tmp_path / "1", tmp_path / "0").code == 0
    wrong = agns("campaign", "compare", tmp_path / "1", plan.parent)
    assert (wrong.code, wrong.complaint) == (2, f"{plan.parent} holds no campaign")


def test_misuse_is_one_sentence(agns: Run, plan: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert agns("campaign", "report", out).complaint == f"{out} holds no campaign"
    plan.write_text(plan.read_text(encoding="utf-8") + "goal: x\n", encoding="utf-8")
    wrong = agns("campaign", "run", plan, "--out", out)
    assert (wrong.code, "line 11: a plan has no 'goal'" in wrong.complaint) == (2, True)
    text = plan.read_text(encoding="utf-8").replace("goal: x\n", "")
    for before, after, complaint in (
        ("Synthetic_000, Synthetic_001", "Bob", "line 7: subjects: small knows no 'Bob' with"),
        ("}\ngoals", ', defence: "json:Dumps"}\ngoals', "line 2: module json has no 'Dumps': did"),
    ):
        plan.write_text(text.replace(before, after), encoding="utf-8")
        wrong = agns("campaign", "run", plan, "--out", out)
        assert (wrong.code, wrong.complaint.startswith(f"{plan}, {complaint}")) == (2, True)
    assert not out.exists()


@pytest.mark.usefixtures("no_pictures")
def test_another_recogniser_under_the_same_name_is_refused(
    agns: Run, plan: Path, weights: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own.safetensors"
    shutil.copy(weights.recognizer, own)
    text = plan.read_text(encoding="utf-8").replace(str(weights.recognizer), str(own))
    plan.write_text(text, encoding="utf-8")
    # What becomes of the attacks is all the same.
    monkeypatch.setattr(running, "prepare", cannot)
    assert agns("campaign", "run", plan, "--out", tmp_path / "out").code == 0
    other = Recognizer.read(own)
    with torch.no_grad():
        next(other.parameters()).mul_(1.5)
    other.write(own)
    done = agns("campaign", "run", plan, "--out", tmp_path / "out")
    assert done.code == 2
    assert "is not the recogniser any more" in done.complaint


def test_a_victim_that_does_not_open_ends_the_run_and_leaves_its_jobs_open(
    agns: Run, plan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"

    def closed(*_: object, **__: object) -> None:
        raise WeightsError("the disk is away")

    with monkeypatch.context() as patch:
        patch.setattr(running, "prepare", cannot)
        done = agns("campaign", "run", plan, "--out", out)
    assert "0 of 4 attacks have results, 4 failed" in done.out
    with monkeypatch.context() as patch:
        patch.setattr(campaign_run, "open_for_campaign", closed)
        done = agns("campaign", "run", plan, "--out", out, "--retry-failed")
    assert (done.code, done.complaint) == (1, "the disk is away")
    ledger = Ledger(out / "campaign.sqlite")
    assert {one.state for one in ledger.records()} == {"open"}
    ledger.close()


@pytest.mark.usefixtures("few_controls", "no_pictures")
def test_a_campaign_goes_on_with_renamed_photos_and_not_with_others(
    agns: Run, write_plan: Callable[[str], Path], folder: Path, tmp_path: Path
) -> None:
    text = PGD.replace("Synthetic_000, ", "")
    assert agns("campaign", "run", write_plan(text), "--out", tmp_path / "out").code == 0
    before = figures(tmp_path / "out")
    shutil.rmtree(tmp_path / "out" / "cells")
    with sqlite3.connect(tmp_path / "out" / "campaign.sqlite") as ledger:
        ledger.execute("UPDATE cells SET state = 'open', result = NULL")

    moved = tmp_path / "moved"
    for person in folder.iterdir():
        (moved / person.name).mkdir(parents=True)
        # In the opposite order.
        for number, photo in enumerate(sorted(person.iterdir(), reverse=True)):
            shutil.copy(photo, moved / person.name / f"{number}.png")
    plan = write_plan(text.replace("{faces}", str(moved)))
    assert agns("campaign", "run", plan, "--out", tmp_path / "out").code == 0
    assert figures(tmp_path / "out") == before

    shutil.copy(moved / "Synthetic_002" / "0.png", moved / "Synthetic_001" / "0.png")
    done = agns("campaign", "run", plan, "--out", tmp_path / "out")
    assert done.code == 2
    assert "1 of its 4 are not among these, and 1 of these are new" in done.complaint
