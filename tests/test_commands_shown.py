"""README and the pages show commands and what they print: each is run, in the order of its page.

Where a page needs photographs, drawn people stand in under the photographed people's names, and the
recogniser of drawn people knows them by these. What takes minutes is made short, as attacks are. Of
such a command the words are compared that it prints, and of all others the figures, too: README's
attack from Python is run in full.
"""

import contextlib
import functools
import io
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
import yaml
from tests.cli.conftest import call, draw_nothing, score_briefly
from tests.studio.conftest import enter_campaign
from torch import Tensor, nn

import agns
from agns.attack import attack
from agns.campaign.plan_file import read_plan
from agns.cli import demo_setup
from agns.data.simulation import drawn_frames
from agns.data.simulation.drawn_frames import EYEGLASS_COUNT, DrawnFrames
from agns.data.simulation.synthetic import SyntheticConfig, write_synthetic_folder
from agns.images import write_image
from agns.models.description import Description

ROOT = Path(__file__).parents[1]
PAGES = (
    ROOT / "README.md",
    ROOT / "docs" / "getting-started.md",
    ROOT / "docs" / "tutorial.md",
    *sorted((ROOT / "docs" / "how-to").glob("*.md")),
)
OTHERWISE = re.compile(r" s: |^Warning: |^sealed judge")
"""What a shortened attack says otherwise: how it ended, and what needs five hundred real frames."""
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"[-+]?\d[\d,]*(?:\.\d+)?(?:e-?\d+)?")

PHOTOGRAPHED = (
    "Ariel_Sharon", "Colin_Powell", "Donald_Rumsfeld", "George_W_Bush", "Gerhard_Schroeder",
    "Hugo_Chavez", "Jean_Chretien", "John_Ashcroft", "Junichiro_Koizumi", "Tony_Blair",
)  # fmt: skip
"""The ten of most photos in Labeled Faces in the Wild."""

FEW = 96
"""Drawn frames that attacks are given, for six steps of the generative nets."""

SHORT: dict[str, str] = {
    "make demo": "",
    "agns attack --queries": "--queries 40",
    "agns attack --method transfer": "--steps 2",
    "agns attack --method art-apgd": "--steps 2",
    "agns attack": "",
    "agns campaign run plan.yaml": "",
    "agns campaign run": "--dry-run",
    "agns defend masking": "--faces few",
    "agns faces enrol": "--most 4 --frames 2",
    "agns survive": "--axis yaw --benign-frames 1",
    "agns train gan": "--epochs 1 --count 32",
    "agns train recognizer --seed 1": "--faces few --epochs 1 --frames-per-photo 1 --batch 8",
    "agns train recognizer": "--epochs 1 --frames-per-photo 1",
    "agns train metric": "--epochs 1 --identities 2 --photos 2",
    "agns universal": "--subjects 6 --clusters 1 --candidates 2 --steps 2 --craft 2",
}
"""What is added to commands that begin so, or have these words, for them to take seconds."""

ELSEWHERE = {
    "make test": "this is within it",
    "pip install": "installs",
    "sbatch": "tests/examples reads the template",
    "python examples/http_victim.py": "tests/examples/test_http_victim.py asks a server",
    "export AGNS_VICTIM_URL": "the same",
    "agns attack dodge --recognizer http_victim:from_environment": "the same",
    "agns studio": "tests/studio opens it in a browser",
    "agns train recognizer --arch of143": "it takes 143 people",
    "agns attack dodge --recognizer victim.yaml": "tests/cli/test_described.py, on such a file",
    "agns defend detector": "tests/cli/test_defend.py, before a smaller recogniser",
    "agns attack dodge --recognizer runs/detector": "the same",
    "agns defend occlusion": "the same",
    "agns attack dodge --recognizer runs/occlusion": "the same",
    "agns attack dodge --physical": "tests/cli/test_attack_physical.py",
    "agns campaign run plans/black-boxes.yaml": "tests/campaign/test_plan_file.py reads all plans",
    "agns survey build": "tests/cli/test_survey.py, on frames of attacks",
    "agns survey score": "tests/cli/test_survey.py, on answers that are drawn",
}
"""Commands that are not run here, by how they begin, and why."""

PHOTOGRAPHS = {
    "agns align": "--workers 1",
    "agns verify": "",
    "agns enrol": "--people 30 --far 0.1 --seed 2",
    "agns attack dodge --recognizer dlib.safetensors": "",
    "agns attack dodge --subject Alvaro_Uribe": "",
    "agns end-to-end": "--benign-frames 1",
    "agns defend gate": "--benign-frames 1",
}
"""Commands that drawn faces do not do for, in the order in which they need one another, and how
they are made short: they run where there are photographs."""


MADE = {"make demo": "agns demo all --out demo"}
"""What `make` runs."""


@dataclass(frozen=True)
class Shown:
    """A command, and the lines that a page prints below it."""

    command: str
    lines: tuple[str, ...]

    def begins(self, words: str) -> bool:
        """Whether the command has all of the words, those before options at its beginning."""
        first, *options = re.split(r" (?=--)", words)
        return self.command.startswith(first) and all(word in self.command for word in options)


@dataclass(frozen=True)
class Python:
    """Lines of Python, and what they print, where a page says it right after them."""

    code: str
    lines: tuple[str, ...]


def steps(page: Path) -> Iterator[Shown | Python]:
    """A page's commands and its Python, each with what it prints, in their order."""
    blocks = FENCE.findall(page.read_text(encoding="utf-8"))
    for (language, text), (after, printed) in zip(blocks, [*blocks[1:], ("end", "")], strict=True):
        if language == "python":
            yield Python(text, tuple(printed.splitlines()) if not after else ())
        if language == "console":
            for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
                whole = re.sub(r" *\\\n *", " ", part)
                command, *lines = whole.splitlines()
                yield Shown(command.partition("  #")[0].strip(), tuple(lines))


def first_of(table: dict[str, str], step: Shown) -> str | None:
    return next((told for words, told in table.items() if step.begins(words)), None)


def form(line: str) -> str:
    """A line without its figures and without the width of its columns."""
    return " ".join(NUMBER.sub("0", line).split())


def close(expected: str, found: str) -> bool:
    """Whether the figures of two lines agree: counts exactly, shares and probabilities nearly."""
    pairs = zip(NUMBER.finditer(expected), NUMBER.finditer(found), strict=True)
    for one, other in pairs:
        told, got = (float(each[0].replace(",", "")) for each in (one, other))
        share = expected[one.end() :].lstrip().startswith("%")
        near = 2 if share else max(0.02, told / 10) if "." in one[0] else 0
        if abs(told - got) > near:
            return False
    return True


def compare(expected: Sequence[str], found: Sequence[str], *, figures: bool) -> None:
    """Each line of a page is among what was printed, one after the other; `...` may be any."""
    place, anything = 0, False
    for line in expected:
        if line == "...":
            anything = True
            continue
        if OTHERWISE.search(line):
            continue
        while True:
            assert place < len(found), f"not printed: {line}"
            here = found[place]
            place += 1
            if form(here) == form(line) and not (figures and not close(line, here)):
                break
            passed = anything or OTHERWISE.search(here)
            assert passed, f"shown: {line}\nprinted: {here}"
        anything = False
    if expected and figures and not anything:
        left = [line for line in found[place:] if not OTHERWISE.search(line)]
        assert not left, f"printed and not shown: {left}"


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What pages take for granted: people, recognisers, and runs of other pages."""
    root = tmp_path_factory.mktemp("stand_ins")
    drawn = SyntheticConfig(identities=10, photos=6, first_photo=80)
    write_synthetic_folder(root / "few", drawn)
    others = SyntheticConfig(identities=16, photos=4, first_photo=80)
    write_synthetic_folder(root / "others", others)
    known = agns.load()
    for name, person in zip(PHOTOGRAPHED, known.identities, strict=True):
        for folder in ("lfw143", "lfw-aligned"):
            shutil.copytree(root / "few" / person, root / folder / name)
    for person in sorted((root / "others").iterdir())[10:]:
        shutil.copytree(person, root / "lfw143" / person.name)
    renamed = agns.Recognizer(known.arch, PHOTOGRAPHED, pooling=known.pooling)
    renamed.load_state_dict(known.state_dict())
    for run in ("of10", "of10-aligned", "of143"):
        renamed.write(root / "runs" / run / "recognizer.safetensors")
    enter_campaign(root / "runs" / "table3", 0.5)
    write_image(root / "runs" / "worn" / "frame.png", torch.full((3, 64, 176), 0.3))
    done = call(
        "faces", "photograph", "--faces", root / "others", "--subject", "Synthetic_012",
        "--photos", 4, "--strength", 0.3, "--out", root / "photos" / "somebody",
    )  # fmt: skip
    assert done.code == 0, done.err
    return root


SETUP = {
    "README.md": "agns faces draw --out faces --identities 4 --photos 32 --first-photo 80",
    "black-boxes.md": "agns faces draw --out faces --identities 4 --photos 6 --first-photo 80",
    "own-attack.md": "agns faces draw --out faces --identities 4 --photos 6 --first-photo 80",
}
"""What a page says in words is to be done first."""


class Means(nn.Module):
    """A network that knows two people."""

    def forward(self, faces: Tensor) -> Tensor:
        return faces.mean((2, 3))[:, :2]


PYTHON_ELSEWHERE = {
    "push_to_hub": "tests/models/test_sharing.py, without a hub",
    "calibrate(others": "tests/models/test_gallery.py",
    "FrameClassifier(": "tests/attack/test_library_attack.py",
    "attack.results[3]": "tests/interop",
    "ProjectedGradientDescent": "tests/interop",
    "foolbox": "tests/interop",
    "PyTorchClassifier": "tests/interop",
}


def test_every_exception_is_of_a_command_that_is_shown() -> None:
    every = [step for page in PAGES for step in steps(page)]
    shown = [step for step in every if isinstance(step, Shown)]
    for words in (*ELSEWHERE, *SHORT, *PHOTOGRAPHS):
        assert any(step.begins(words) for step in shown), words
    for words in PYTHON_ELSEWHERE:
        assert any(words in step.code for step in every if isinstance(step, Python)), words
    for told in (*ELSEWHERE.values(), *PYTHON_ELSEWHERE.values()):
        for place in re.findall(r"tests/[\w/]+(?:\.py)?", told):
            assert (ROOT / place).exists(), place


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_a_page_shows_runs_and_prints_what_stands_there(
    page: Path, stand_ins: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = page.read_text(encoding="utf-8")
    shutil.copytree(stand_ins, tmp_path, dirs_exist_ok=True)
    (tmp_path / "plans").symlink_to(ROOT / "plans")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    draw_nothing(monkeypatch)
    monkeypatch.setattr(demo_setup, "DEMO_FRAMES", 32)
    if page.name != "README.md":
        score_briefly(monkeypatch)
        monkeypatch.setattr(drawn_frames, "EYEGLASS_COUNT", FEW)
        monkeypatch.setattr(attack, "_drawn", functools.partial(DrawnFrames, FEW))
    for name, plan in re.findall(r"to `(\w+\.yaml)`:\n\n```yaml\n(.*?)```", text, re.DOTALL):
        # A campaign of few steps.
        (tmp_path / name).write_text(plan.replace("40}", "2}").replace("600", "96"), "utf-8")
    few = agns.load_faces("few")
    craft = few.faces(few.places_of("Synthetic_003")[:2])
    # What a page's Python takes from its reader.
    names = {"agns": agns, "module": Means(), "names": ["Ann", "Bob"], "craft": craft}
    if page.name in SETUP:
        run(SETUP[page.name])
    for step in steps(page):
        if isinstance(step, Shown):
            if first_of(ELSEWHERE | PHOTOGRAPHS, step) is None:
                command = MADE.get(step.command, step.command)
                found = run(command + " " + (first_of(SHORT, step) or ""))
                compare(step.lines, found, figures=first_of(SHORT, step) is None)
        elif module := re.match(r"# (\w+\.py)\n", step.code):
            (tmp_path / module[1]).write_text(step.code, encoding="utf-8")
            # Another page may have had one of this name.
            monkeypatch.delitem(sys.modules, module[1].removesuffix(".py"), raising=False)
            exec(step.code, names)
        elif not any(words in step.code for words in PYTHON_ELSEWHERE):
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(step.code.replace("budget=1000", "budget=60"), names)
            compare(step.lines, printed.getvalue().splitlines(), figures=True)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_plans_and_descriptions_are_read_as_they_stand(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    for language, text in FENCE.findall(page.read_text(encoding="utf-8")):
        if module := re.match(r"# (\w+\.py)\n", text):
            (tmp_path / module[1]).write_text(text, encoding="utf-8")
            monkeypatch.delitem(sys.modules, module[1].removesuffix(".py"), raising=False)
        if language != "yaml":
            continue
        if "network:" in text:
            Description.model_validate(yaml.safe_load(text))
            continue
        # A part of a plan, beside the least of the others; and without what need not be said.
        parts = {"recognizers": "[{}]", "goals": "[dodge]", "attacks": "[agn]"}
        lacking = [f"{key}: {own}\n" for key, own in parts.items() if f"{key}:" not in text]
        needed = text.partition("# What follows may be left out")[0]
        plans = []
        for kept in (text, needed, re.sub(r"^# (?=universal|published)", "", text, flags=re.M)):
            (tmp_path / "some.yaml").write_text(kept + "".join(lacking), encoding="utf-8")
            plan = read_plan(tmp_path / "some.yaml")
            plans.append(replace(plan, frames=plan.frames or EYEGLASS_COUNT))
        assert plans[0] == plans[1] == replace(plans[2], universal=(), published=())


def test_what_pages_show_of_photographs_runs_and_prints_these_words(
    data_path: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = data_path("data/lfw143")
    monkeypatch.setenv("AGNS_LANDMARKER", str(data_path("models/face_landmarker.task")))
    chosen = {"Alvaro_Uribe", "Hans_Blix", *sorted(one.name for one in people.iterdir())[-40:]}
    for name in sorted(chosen):
        for photo in sorted((people / name).iterdir())[:6]:
            (tmp_path / "lfw143" / name).mkdir(parents=True, exist_ok=True)
            (tmp_path / "lfw143" / name / photo.name).symlink_to(photo)
    monkeypatch.chdir(tmp_path)
    draw_nothing(monkeypatch)
    score_briefly(monkeypatch)
    monkeypatch.setattr(drawn_frames, "EYEGLASS_COUNT", FEW)
    monkeypatch.setattr(attack, "_drawn", functools.partial(DrawnFrames, FEW))
    shown = [step for page in PAGES for step in steps(page) if isinstance(step, Shown)]
    for words, short in PHOTOGRAPHS.items():
        step = next(one for one in shown if one.begins(words))
        # So few impostors carry few false-accept rates.
        told, found = (
            [line for line in lines if not re.match(r" +0\.0*1 ", line)]
            for lines in (step.lines, run(f"{step.command} {short}"))
        )
        compare(told, found, figures=False)


def run(command: str) -> list[str]:
    """Run a command of `agns`, or one that makes folders, and return the lines that it prints."""
    if not command.startswith("agns "):
        done = subprocess.run(["bash", "-ec", command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()
    outcome = call(*shlex.split(command)[1:])
    assert outcome.code == 0, f"{command}\n{outcome.err}"
    errors = [line for line in outcome.err.splitlines() if line.strip() and "━" not in line]
    return [*outcome.out.splitlines(), *errors]
