"""`agns campaign` with attacks that make a few frames for many subjects."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from tests.cli.conftest import call, draw_nothing, score_briefly

from agns.cli.opening import in_turn
from agns.evaluation.campaign import running
from agns.evaluation.campaign.ledger import Ledger
from agns.storage import read_json

Run = Callable[..., Any]

PLAN = """\
recognizers:
  - {{name: small, file: {recognizer}, faces: {faces}}}
universal:
  - name: few
    craft: 1
    counts: [1, 2]
    clusters: 1
    candidates: 2
    frames: 2
    steps: 1
seeds: [0, 1]
frames: 16
"""


@pytest.fixture
def plan(write_plan: Callable[[str], Path]) -> Path:
    return write_plan(PLAN)


@dataclass(frozen=True)
class Unbroken:
    """A run of the plan by one process in one go."""

    out: Path
    told: str


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory, weights: Any, folder: Path) -> Unbroken:
    root = tmp_path_factory.mktemp("unbroken")
    plan = root / "plan.yaml"
    plan.write_text(PLAN.format(recognizer=weights.recognizer, faces=folder), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AGNS_CACHE", str(root / "cache"))
        draw_nothing(patch)
        score_briefly(patch)
        done = call("campaign", "run", plan, "--out", root / "out")
    assert done.code == 0, done.err
    return Unbroken(root / "out", done.out)


def test_frames_for_many_are_made_and_reported_like_other_attacks(
    agns: Run, plan: Path, monkeypatch: pytest.MonkeyPatch, unbroken: Unbroken
) -> None:
    out = unbroken.out
    assert "2 of 2 attacks have results, 0 failed" in unbroken.told
    assert "Frames for many subjects" in unbroken.told
    told = read_json(out / "report.json")
    schema = read_json(Path(__file__).parents[2] / "docs" / "campaign-report.schema.json")
    jsonschema.validate(told, schema)
    assert isinstance(told, dict)
    assert told["lines"] == []
    assert {(one["seed"], one["worn_by"], one["frames"]) for one in told["curves"]} == {
        (seed, group, frames)
        for seed in (0, 1)
        for group in ("craft", "unseen")
        for frames in (1, 2)
    }
    # Who takes part follows from the seed.
    first, second = (cell["result"] for cell in told["cells"])
    assert (first["seed"], second["seed"]) == (0, 1)
    assert first["config"]["experiment"]["seed"] == 0
    (alone,) = [one for one in told["curves"] if (one["seed"], one["frames"]) == (0, 1)][:1]
    point = next(
        one["recognized"]
        for one in first["points"]
        if (one["group"], one["frames"], one["made_by"], one["rule"])
        == (alone["worn_by"], 1, "attack", "picked")
    )
    assert (alone["picked"], alone["subjects"]) == (point["success_rate"], point["subjects"])
    report = (out / "report.html").read_text(encoding="utf-8")
    assert "Frames for many subjects" in report
    assert report.count("data:image/png") == 4
    assert "| small | few | 1 | 2 |" in (out / "report.md").read_text(encoding="utf-8")

    same = agns("campaign", "compare", out, out)
    assert (same.code, "frames for many are not compared" in same.complaint) == (2, True)

    monkeypatch.setattr(running, "run_universal", lambda *_, **__: pytest.fail("made again"))
    draw_nothing(monkeypatch)
    assert agns("campaign", "run", plan, "--out", out).code == 0


@pytest.mark.usefixtures("few_controls", "no_pictures")
def test_one_that_is_broken_off_is_made_anew(
    agns: Run, write_plan: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    unbroken: Unbroken,
) -> None:  # fmt: skip
    plan = write_plan(PLAN.replace("seeds: [0, 1]", "seeds: [0]"))
    whole, broken = unbroken.out, tmp_path / "broken"

    def interrupted(*given: Any, progress: Any, **named: Any) -> Any:
        def stop(done: int, *_: object) -> None:
            # The first frames are there, so that the attack itself would make do with them.
            if done == 2:
                raise KeyboardInterrupt

        return run_universal(*given, progress=stop, **named)

    run_universal = running.run_universal
    with monkeypatch.context() as patch:
        patch.setattr(running, "run_universal", interrupted)
        assert agns("campaign", "run", plan, "--out", broken).code == 130
    ledger = Ledger(broken / "campaign.sqlite")
    assert {row.state for row in ledger.rows()} == {"open"}
    ledger.close()
    # Nobody waits for the scores of what is thrown away.
    assert not list(broken.glob("cells/*/*"))
    assert agns("campaign", "run", plan, "--out", broken).code == 0
    told, expected = (read_json(out / "report.json") for out in (broken, whole))
    assert told["curves"] == [one for one in expected["curves"] if one["seed"] == 0]
    assert told["doubts"] == expected["doubts"]


@pytest.mark.parametrize(
    ("device", "gpus", "taken"),
    [("auto", 0, ["auto"] * 3), ("auto", 2, ["cuda:0", "cuda:1", "cuda:0"]),
     ("cuda:1", 2, ["cuda:1"] * 3), ("cpu", 2, ["cpu"] * 3)],
)  # fmt: skip
def test_processes_take_gpus_in_turn_where_it_is_left_open_which(
    monkeypatch: pytest.MonkeyPatch, device: str, gpus: int, taken: list[str]
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: gpus)
    assert [in_turn(device, number) for number in range(3)] == taken


def test_too_few_people_are_told_before_anything_is_written(
    agns: Run, plan: Path, tmp_path: Path
) -> None:
    text = plan.read_text(encoding="utf-8")
    plan.write_text(text.replace("    craft: 1", "    subjects: 40"), encoding="utf-8")
    done = agns("campaign", "run", plan, "--out", tmp_path / "out")
    assert (done.code, "expected at least 40 identities" in done.complaint) == (2, True)
    assert not (tmp_path / "out").exists()
