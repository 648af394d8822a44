"""`agns demo`: its parts, its menu, and what it refuses."""

import os
import shlex
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import score_briefly

from agns.attack.agn import AGN
from agns.cli import demo_parts
from agns.images import read_image
from agns.storage import read_json

Run = Callable[..., Any]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two iterations, and two frames of each control."""
    monkeypatch.setattr(demo_parts, "DEMO_FRAMES", 32)
    score_briefly(monkeypatch)


@pytest.fixture
def options(folder: Path, weights: Any, tmp_path: Path) -> tuple[object, ...]:
    return ("--faces", folder, "--recognizer", weights.recognizer, "--out", tmp_path / "demo")


def test_recognising_shows_a_photo_of_each_identity(
    agns: Run, options: tuple[object, ...], folder: Path, tmp_path: Path
) -> None:
    done = agns("demo", "recognise", *options)
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert lines[0] == "A recogniser is shown photos that it was not trained on."
    assert lines[3].endswith("% of 12 photos are recognised.")
    assert lines[-1].split()[:2] == ["agns", "recognize"]
    assert str(folder) in lines[-1]
    assert (tmp_path / "demo/recognised.png").stat().st_size > 10_000
    again = agns(*shlex.split(lines[-1])[1:])
    share = lines[3].split("%")[0]
    assert f"{share}%" in again.out


def test_generating_draws_the_frames_of_the_seed_as_the_long_command_does(
    agns: Run, tmp_path: Path
) -> None:
    done = agns("demo", "generate", "--seed", 5, "--out", tmp_path / "demo")
    assert done.code == 0, done.err
    command = done.out.splitlines()[-1].split()
    assert command[:3] == ["agns", "glasses", "generate"]
    command[command.index("--out") + 1] = str(tmp_path / "again.png")
    assert agns(*command[1:]).code == 0
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "demo/generated.png").read_bytes()


@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize("part", ["impersonate", "physical"])
def test_an_attack_is_made_and_told_in_three_lines(
    part: str, agns: Run, options: tuple[object, ...], weights: Any, shop: Path, tmp_path: Path
) -> None:
    done = agns("demo", part, *options, "--seed", 2)
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    report = read_json(tmp_path / "demo" / part / "result.json")
    assert report["physical"] == (part == "physical")
    assert f"{report['subject']} wearing the frame is taken for {report['target']} on" in lines[3]
    assert "Wearing benign frames, on" in lines[4]
    assert "before_after.png" in lines[5]
    assert lines[6] == "By hand, with all drawn eyeglasses:"
    for line in lines[7:]:
        by_hand = shlex.split(line)
        assert by_hand[0] == "agns"
        if by_hand[1] == "attack":
            by_hand += ["--generator", weights.generator, "--discriminator", weights.discriminator]
            # Whatever it crafts, it has met this already.
            by_hand += ["--glasses", shop, "--stop", 0.0001]
        again = agns(*by_hand[1:])
        assert again.code == 0, again.err
    assert read_image(tmp_path / "demo" / part / "frame.png", size=(64, 176)) is not None


@pytest.mark.usefixtures("no_pictures")
def test_an_interrupted_attack_is_scored_and_says_where_the_score_lies(
    agns: Run, options: tuple[object, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = AGN.run

    def pressed(*given: Any, progress: Any, **named: Any) -> Any:
        def press(done: int, total: int, figures: Any) -> None:
            progress(done, total, figures)
            os.kill(os.getpid(), signal.SIGINT)

        return run(*given, progress=press, **named)

    monkeypatch.setattr(AGN, "run", pressed)
    done = agns("demo", "impersonate", *options, "--seed", 2)
    assert (done.code, done.complaint) == (130, "interrupted")
    lines = done.out.splitlines()
    assert lines[3].startswith("Interrupted: scoring the best frame so far")
    assert "Wrote" in lines[6]
    assert "result.json" in lines[6]
    assert (tmp_path / "demo/impersonate/result.json").is_file()
    # No bar passes for full.
    assert " 1/1 " not in done.err


def test_the_menu_asks_for_the_part_and_the_seed(
    agns: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    answers = iter(["9", "2", "7"])
    asked: list[str] = []

    def prompt(question: str, *, default: int, type: type[int]) -> int:
        asked.append(question)
        return type(next(answers))

    monkeypatch.setattr("typer.prompt", prompt)
    for stream in ("stdin", "stdout"):
        monkeypatch.setattr(getattr(sys, stream), "isatty", lambda: True, raising=False)
    done = agns("demo", "--out", tmp_path / "demo")
    assert done.code == 0, done.err
    assert asked == ["Which", "Which", "Seed"]
    assert "2  generate" in done.out
    assert done.out.splitlines()[-1].endswith("--seed 7")


def test_a_folder_of_strangers_is_refused(agns: Run, folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "Synthetic_000", tmp_path / "strangers/Zed")
    done = agns("demo", "dodge", "--faces", tmp_path / "strangers", "--out", tmp_path / "demo")
    assert done.code == 2
    assert "holds 0 of the recogniser's 10 identities" in done.complaint


def test_the_whole_demonstration_is_on_drawn_faces_alone(
    agns: Run, options: tuple[object, ...], tmp_path: Path
) -> None:
    done = agns("demo", "all", *options)
    assert done.code == 2
    assert "belong to a single part" in done.complaint
    (tmp_path / "shown").mkdir()
    (tmp_path / "shown/report.html").touch()
    done = agns("demo", "generate", "--out", tmp_path / "shown")
    assert (done.code, "already holds a report" in done.complaint) == (2, True)


def test_what_is_there_already_is_not_written_over(agns: Run, tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo/generated.png").touch()
    done = agns("demo", "generate", "--out", tmp_path / "demo")
    assert (done.code, "is already there" in done.complaint) == (2, True)
    done = agns("demo", "recognise", "--out", tmp_path / "demo/generated.png")
    assert (done.code, "is a file" in done.complaint) == (2, True)
