"""Runs: their folders, their processes, and the command that does the same."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import (  # noqa: F401
    TINY,
    Weights,
    call,
    few_controls,
    folder,
    no_pictures,
    shop,
    weights,
)

from agns.errors import ConfigError, DataError
from agns.images import read_image
from agns.models.families import FAMILIES
from agns.storage import read_json, write_json
from agns.studio import runs as module
from agns.studio.attack_process import work
from agns.studio.attack_request import AttackRequest
from agns.studio.runs import Run, Runs, pack

USUAL: dict[str, Any] = {"goal": "dodge", "subject": "Ann"}


def test_a_request_is_read_as_it_was_written(tmp_path: Path) -> None:
    asked = AttackRequest(
        **USUAL, settings={"kappa": 0.5, "epochs": 2}, stop=0.1, marks=[[[1.0, 2.0]]]
    )
    write_json(tmp_path / "request.json", asked)
    assert AttackRequest.read(tmp_path / "request.json") == asked
    write_json(tmp_path / "request.json", {"who": "Ann"})
    with pytest.raises(DataError, match="no attack that the studio began"):
        AttackRequest.read(tmp_path / "request.json")


def test_a_command_has_what_differs_from_the_usual() -> None:
    asked = AttackRequest(
        goal="impersonate", subject="Ann Lee", target="Bob", method="cmaes", seed=3,
        settings={"queries": 50, "decisions_only": True},
    )  # fmt: skip
    assert asked.command("out") == (
        "agns attack impersonate --subject 'Ann Lee' --target Bob --method cmaes --seed 3 "
        "--craft 16 --queries 50 --decisions-only --out out"
    )


@pytest.mark.usefixtures("few_controls", "no_pictures")
def test_a_run_gives_the_frame_that_its_command_gives_and_tells_how_far_it_is(
    tmp_path: Path,
    weights: Weights,  # noqa: F811
    folder: Path,  # noqa: F811
    shop: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(FAMILIES, "tiny", TINY)
    asked = AttackRequest(
        goal="impersonate", subject="Synthetic_000", target="Synthetic_002", craft=2, seed=5,
        stop=0.9999,
        settings={"samples": 4, "epochs": 1}, recognizer=str(weights.recognizer),
        faces=str(folder), glasses=str(shop),
    )  # fmt: skip
    write_json(tmp_path / "request.json", asked)
    work(tmp_path)
    told = json.loads((tmp_path / "progress.json").read_text(encoding="utf-8"))
    assert [row[0] for row in told["curve"]] == [1, 2]
    assert (told["phase"], told["stop"]) == ("Scoring on held-out photos", 0.9999)
    assert [name for name, _ in told["shown"]].count("Synthetic_002") == 1
    assert read_image(tmp_path / "live.png").shape == (3, 224, 224)
    again = tmp_path / "again"
    assert call(*shlex.split(asked.command(str(again)))[1:]).code == 0
    frames = [(one / "frame.png").read_bytes() for one in (tmp_path / "result", again)]
    assert frames[0] == frames[1]


@pytest.fixture
def waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runs:
    """Runs whose processes only wait."""

    def popen(command: object, **named: Any) -> subprocess.Popen[bytes]:
        named["stdin"] = subprocess.DEVNULL
        return started([sys.executable, "-c", "import time; time.sleep(60)"], **named)

    started = subprocess.Popen
    monkeypatch.setattr(module.subprocess, "Popen", popen)
    return Runs(tmp_path / "runs")


def test_runs_are_found_again_by_anybody_and_no_more_than_two_go_on(waiting: Runs) -> None:
    first = waiting.begin(AttackRequest(**USUAL))
    second = waiting.begin(AttackRequest(**USUAL))
    with pytest.raises(ConfigError, match="2 attacks are running"):
        waiting.begin(AttackRequest(**USUAL))
    other = Runs(waiting.root)
    assert {run.name for run in other.all()} == {first.name, second.name}
    assert other.state(other.find(first.name))[0] == "running"
    with pytest.raises(ConfigError, match="has not ended yet"):
        pack(first)
    for run in (first, second):
        waiting.stop(run)
    for process in list(waiting._own.values()):
        process.wait(timeout=30)
    state, sentence = waiting.state(first)
    assert state == "failed"
    assert "ended without a word" in sentence


@pytest.mark.parametrize("name", ["..", "attack", "attack-20260101-000000-zzzz", "/etc"])
def test_only_names_of_runs_are_looked_for(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="no such run any more"):
        Runs(tmp_path).find(name)


def test_a_process_says_in_a_sentence_why_it_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_json(tmp_path / "request.json", AttackRequest(goal="dodge", subject="Nobody"))
    done = subprocess.run(
        [sys.executable, "-m", "agns.studio.attack_process", tmp_path],
        capture_output=True, check=False, env={**os.environ, "AGNS_CACHE": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0
    ended = read_json(tmp_path / "ended.json")
    assert ended["state"] == "failed"
    assert "the recogniser does not know 'Nobody'" in str(ended["sentence"])
    assert Run(tmp_path).ended()[0] == "failed"
