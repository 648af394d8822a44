"""`agns demo`: its parts, its menu, and what it refuses."""

import io
import os
import shlex
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.cli.conftest import score_briefly

import agns as package
from agns.attack.agn import AGN
from agns.attack.methods import METHODS
from agns.cli import demo_setup
from agns.cli.console import show_picture
from agns.data.simulation import drawn_frames
from agns.data.simulation.drawn_frames import draw_frames
from agns.evaluation import evaluate
from agns.images import read_image, write_image
from agns.storage import read_json

Run = Callable[..., Any]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two iterations, and two frames of each control."""
    monkeypatch.setattr(demo_setup, "DEMO_FRAMES", 32)
    score_briefly(monkeypatch)


def commands(lines: list[str]) -> list[str]:
    """The commands that do the same by hand."""
    first = lines.index("By hand, with all drawn eyeglasses:") + 1
    return lines[first : lines.index("From Python:")]


def run_python(lines: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What the lines of Python print that do the same."""
    code = "\n".join(line.strip() for line in lines[lines.index("From Python:") + 1 :])
    capsys.readouterr()
    exec(compile(code, "the demonstration's Python", "exec"), {})
    return capsys.readouterr().out


@pytest.fixture
def options(folder: Path, weights: Any, tmp_path: Path) -> tuple[object, ...]:
    return ("--faces", folder, "--recognizer", weights.recognizer, "--out", tmp_path / "demo")


def test_recognising_shows_a_photo_of_each_identity(
    agns: Run,
    options: tuple[object, ...],
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    done = agns("demo", "recognise", *options)
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert lines[0] == "A recogniser is shown photos that it was not trained on."
    assert lines[3].endswith("% of 12 photos are recognised.")
    (command,) = commands(lines)
    assert command.split()[:2] == ["agns", "recognize"]
    assert str(folder) in command
    assert (tmp_path / "demo/recognised.png").stat().st_size > 10_000
    again = agns(*shlex.split(command)[1:])
    share = lines[3].split("%")[0]
    assert f"{share}%" in again.out
    assert run_python(lines, capsys).count("Synthetic_") == 12


def test_generating_draws_the_frames_of_the_seed_as_the_long_command_does(
    agns: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = agns("demo", "generate", "--seed", 5, "--out", tmp_path / "demo")
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    command = commands(lines)[0].split()
    assert command[:3] == ["agns", "glasses", "generate"]
    command[command.index("--out") + 1] = str(tmp_path / "again.png")
    assert agns(*command[1:]).code == 0
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "demo/generated.png").read_bytes()
    assert run_python(lines, capsys) == ""


@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize("part", ["impersonate", "physical"])
def test_an_attack_is_made_and_told_in_three_lines(
    part: str,
    agns: Run,
    options: tuple[object, ...],
    weights: Any,
    shop: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
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
    for line in commands(lines):
        by_hand = shlex.split(line)
        assert by_hand[0] == "agns"
        if by_hand[1] == "attack":
            by_hand += ["--generator", weights.generator, "--discriminator", weights.discriminator]
            # Whatever it crafts, it has met this already.
            by_hand += ["--glasses", shop, "--stop", 0.0001]
        again = agns(*by_hand[1:])
        assert again.code == 0, again.err
    assert read_image(tmp_path / "demo" / part / "frame.png", size=(64, 176)) is not None
    # Few eyeglasses, and digitally another attack, as both take no time.
    monkeypatch.setattr(drawn_frames, "load_drawn_frames", lambda: draw_frames(32))
    monkeypatch.setattr(evaluate, "REAL", 32)
    monkeypatch.setattr(package, "AGN", lambda: METHODS["solid"])
    told = run_python(lines, capsys)
    if part == "physical":
        assert read_json(tmp_path / "demo-by-hand/python/result.json")["physical"]
    else:
        assert "success_rate" in told


def test_pictures_are_shown_in_colour_where_the_terminal_can(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write_image(tmp_path / "red.png", torch.tensor([1.0, 0, 0])[:, None, None].expand(3, 8, 8))

    def shown(**environment: str) -> str:
        stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
        monkeypatch.setattr(stream, "isatty", lambda: True, raising=False)
        monkeypatch.setattr(sys, "stdout", stream)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        show_picture(tmp_path / "red.png")
        stream.flush()
        return stream.buffer.getvalue().decode()

    seen = shown(TERM="xterm-256color", COLORTERM="truecolor", COLUMNS="20")
    assert seen.count("▀") == 20 * 10
    assert "38;2;255;0;0;48;2;255;0;0" in seen
    assert shown(TERM="dumb", COLORTERM="") == ""


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
    assert commands(done.out.splitlines())[0].endswith("--seed 7")


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
