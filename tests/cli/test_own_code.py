"""An attack, a victim and a defence of the user's own, as the pages show them."""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.cli.conftest import Run

import agns as package
from agns.errors import ConfigError
from agns.loading import load_faces, load_victim
from agns.storage import read_json

PAGES = Path(__file__).parents[2] / "docs" / "how-to"
PEOPLE = ("Synthetic_000", "Synthetic_001", "Synthetic_002")
VICTIM = """
import agns


def victim():
    known = agns.load({path!r})
    return agns.Classifier(known, known.identities)


def guarded():
    return agns.BlackBox(victim(), budget=20)
"""


def shown(page: str) -> str:
    """The module that a page shows, of less than 30 lines but for its imports."""
    found = re.search(
        r"```python\n# own_\w+\.py\n(.*?)```", (PAGES / page).read_text("utf-8"), re.S
    )
    assert found is not None
    code = [line for line in found[1].splitlines() if line and "import" not in line]
    assert len(code) < 30
    return found[1]


@pytest.fixture
def own(tmp_path: Path, weights: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module that holds all three, found in the working directory."""
    name = f"own_{tmp_path.name}"
    parts = (shown("own-attack.md"), shown("own-defence.md"))
    text = "\n".join((*parts, VICTIM.format(path=str(weights.recognizer))))
    (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return name


@pytest.mark.usefixtures("few_controls", "no_pictures")
def test_they_run_in_python_and_at_the_command_line(
    agns: Run, own: str, folder: Path, shop: Path, tmp_path: Path
) -> None:
    done = agns(
        "attack", "impersonate", "--subject", PEOPLE[0], "--target", PEOPLE[2],
        "--method", f"{own}:Colours", "--tries", 3,
        "--recognizer", f"{own}:victim", "--defence", f"{own}:Blurred", "--faces", folder,
        "--glasses", shop, "--craft", 2, "--seed", 5, "--out", "out",
    )  # fmt: skip
    assert done.code == 0, done.err
    told = read_json(tmp_path / "out/result.json")
    assert (told["method"], told["iterations"]) == (f"{own}:Colours", 3)
    assert told["recognizer"] == f"{own}:victim behind {own}:Blurred"
    assert told["config"]["tries"] == 3
    victim = load_victim(f"{own}:victim", defence=f"{own}:Blurred").recognizer
    attack = vars(sys.modules[own])["Colours"](tries=3)
    craft, held_out = load_faces(folder).of(PEOPLE[0]).split(craft=2, seed=5)
    goal = package.Impersonate(PEOPLE[2], subject=PEOPLE[0])
    result = attack.run(victim, craft, goal, seed=5)
    assert result.frames.shape == (1, 3, 64, 176)
    assert result.probability == pytest.approx(told["craft"]["mean_probability"], abs=1e-4)
    assert list(held_out.digests) == told["held_out_digests"]


@pytest.mark.usefixtures("few_controls", "no_pictures")
def test_they_run_in_a_campaign(
    agns: Run, own: str, folder: Path, tmp_path: Path, write_plan: Callable[[str], Path]
) -> None:
    plan = write_plan(
        f"""\
recognizers:
  - {{{{name: mine, file: "{own}:victim", faces: {{faces}}, defence: "{own}:Blurred"}}}}
goals: [impersonate]
attacks:
  - {{{{method: "{own}:Colours", settings: {{{{tries: 2}}}}}}}}
subjects: [{PEOPLE[0]}]
craft: 2
control_frames: 2
frames: 4
"""
    )
    done = agns("campaign", "run", plan, "--out", tmp_path / "out")
    assert done.code == 0, done.err
    assert "1 of 1 attacks have results, 0 failed" in done.out
    (found,) = (tmp_path / "out/cells").glob("*/result.json")
    assert read_json(found)["method"] == f"{own}:Colours"
    assert "training mode" not in done.out
    assert "Colours" in (tmp_path / "out/report.md").read_text("utf-8")


@pytest.mark.usefixtures("few_controls", "no_pictures")
def test_each_attack_of_a_campaign_has_a_black_boxs_whole_budget(
    agns: Run, own: str, tmp_path: Path, write_plan: Callable[[str], Path]
) -> None:
    plan = write_plan(
        f"""\
recognizers:
  - {{{{name: guarded, file: "{own}:guarded", faces: {{faces}}}}}}
goals: [impersonate]
attacks:
  - {{{{method: square, settings: {{{{queries: 20, first_photos: 1}}}}}}}}
subjects: [{PEOPLE[0]}, {PEOPLE[1]}]
craft: 2
control_frames: 2
frames: 4
"""
    )
    done = agns("campaign", "run", plan, "--out", tmp_path / "out")
    assert "0 failed" in done.out, done.out
    first, second = (
        read_json(one)["queries"] for one in (tmp_path / "out/cells").glob("*/result.json")
    )
    assert min(first, second) > 10


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--method", "nowhere.at_all:Mine"), "nowhere.at_all cannot be imported"),
        (("--method", "json:JSONDecoder"), "it should be a dataclass with a method `run`"),
        (("--method", "json:nothing"), "module json has no 'nothing'"),
        (("--defence", "json:JSONdecoder"), "no 'JSONdecoder': did you mean JSONDecoder"),
        (("--defence", "json.dumps"), "there is no defence 'json.dumps': did you mean json:dumps?"),
        (("--defence", "json"), "there is no defence 'json': name masking, a file of"),
        (("--defence", "maskin"), "there is no defence 'maskin': did you mean masking?"),
        (("--defence", "no.safetensors"), "there is no defence 'no.safetensors': name masking"),
        (("--recognizer", "json:dumps"), "json:dumps failed with TypeError"),
        (("--defence", "json:dumps"), "json:dumps failed with TypeError"),
        (("--recognizer", "getpass:getuser"), "made a str, which lacks identities and a call"),
        (("--recognizer", "os:getpid"), "made an int, which lacks identities and a call"),
        (("--recognizer", "collections:Counter"), "made a Counter, which lacks"),
        (("--recognizer", "math:pi"), "should be a function or a class"),
    ],
)
def test_what_is_none_of_them_is_misuse(
    agns: Run, weights: Any, tmp_path: Path, options: tuple[str, ...], complaint: str
) -> None:
    recognizer = () if "--recognizer" in options else ("--recognizer", weights.recognizer)
    done = agns(
        "attack", "dodge", "--subject", PEOPLE[0], *recognizer, *options, "--out", tmp_path / "out"
    )
    assert done.code == 2, done.err
    assert complaint in done.complaint


def test_a_reference_is_no_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="cannot be imported"):
        load_victim("some_module:victim")
    torch.save({}, tmp_path / "some_module:victim")
    with pytest.raises(package.AgnsError, match="some_module:victim"):
        load_victim("some_module:victim")


def test_the_recogniser_that_the_page_shows_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (PAGES / "own-recogniser.md").read_text("utf-8")
    found = re.search(r"```python\n# mine\.py\n(.*?)```", page, re.S)
    assert found is not None
    name = f"mine_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(found[1], encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    victim = load_victim(f"{name}:victim").recognizer
    assert len(victim.identities) == 10
    assert not any(part.training for part in victim.modules())
