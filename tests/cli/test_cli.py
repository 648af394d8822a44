"""Help, exit codes, the list of networks, and defaults."""

import inspect
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import agns as package
from agns.attack.agn import AGN, PHYSICAL
from agns.attack.goals import Dodge, Impersonate
from agns.attack.methods import METHODS
from agns.attack.pixel_descent import PGD
from agns.cli import attack, faces
from agns.cli.app import app
from agns.cli.train import RECOGNIZER
from agns.data.simulation.synthetic import SyntheticConfig
from agns.evaluation.attack_spec import PHYSICAL_STOPS, AttackSpec
from agns.models import summary
from agns.models.summary import list_networks
from agns.training.recipe import RECIPES, recipe_for

MADE_OF_SETTINGS = (("attack",), ("universal",))
"""Commands whose options are made of settings, which lie beside the code that they steer."""

OTHERS = (
    (), ("demo",), ("recognize",), ("models",), ("train",), ("train", "recognizer"),
    ("train", "metric"), ("train", "gan"), ("models", "import"), ("models", "show"),
    ("glasses",), ("glasses", "generate"), ("glasses", "draw"),
    ("glasses", "crop"), ("faces",), ("faces", "draw"), ("faces", "list"),
    ("faces", "photograph"), ("align",), ("survive",),
)  # fmt: skip


def shell(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "agns", *map(str, arguments)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_help_of_every_command_comes_and_of_most_without_torch() -> None:
    code = f"""
import sys
from typer.testing import CliRunner
from agns.cli.app import app
for command in {OTHERS + MADE_OF_SETTINGS}:
    shown = CliRunner().invoke(app, [*command, "--help"])
    assert shown.exit_code == 0, shown.output
    assert "Usage" in shown.output, shown.output
    assert "torch" not in sys.modules or command in {MADE_OF_SETTINGS}, command
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr, done.returncode) == ("", "", 0)


@pytest.mark.parametrize("group", [(), ("campaign",), ("faces",), ("glasses",), ("train",)])
def test_a_group_without_a_command_prints_its_help(
    agns: Callable[..., Any], group: tuple[str, ...]
) -> None:
    bare, asked, briefly = agns(*group), agns(*group, "--help"), agns(*group, "-h")
    assert (bare.code, bare.out) == (2, "")
    assert bare.err.splitlines() == asked.out.splitlines()
    assert len(asked.out.splitlines()) > 5
    assert (briefly.code, briefly.out) == (0, asked.out)


def test_the_version_is_the_packages() -> None:
    shown = CliRunner().invoke(app, ["--version"])
    assert (shown.stdout, shown.exit_code) == (f"agns {package.__version__}\n", 0)


def test_misuse_leaves_with_2_and_one_sentence(agns: Callable[..., Any], tmp_path: Path) -> None:
    done = agns("recognize", "face.png", "--recognizer", tmp_path / "none.safetensors")
    assert (done.code, done.out) == (2, "")
    assert done.err == f"agns: there is no weight file {tmp_path / 'none.safetensors'}\n"


def test_failure_leaves_the_shell_with_1_and_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "broken.safetensors"
    path.write_bytes(b"not weights")
    done = shell("recognize", "face.png", "--recognizer", path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"agns: {path} is a text file, not a safetensors file")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("rehearse",),
        ("attack", "--subject", "A", "--out", "o"),
        ("attack", "flatter", "--subject", "A", "--out", "o"),
        ("attack", "dodge", "--subject", "A"),
        ("attack", "dodge", "--subject", "A", "--out", "o", "--kappa", "much"),
        ("attack", "dodge", "--subject", "A", "--out", "o", "--objective", "luck"),
        ("glasses", "draw", "--out", "o", "--count", "0"),
        ("models", "--yaml"),
    ],
)
def test_arguments_that_do_not_parse_are_misuse(
    agns: Callable[..., Any], arguments: tuple[str, ...]
) -> None:
    done = agns(*arguments)
    assert (done.code, done.out) == (2, "")
    assert "Error: " in done.err
    assert "Traceback" not in done.err


def test_ctrl_c_leaves_130_without_a_traceback(
    agns: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(summary, "list_networks", interrupted)
    done = agns("models")
    assert done.code == 130
    assert done.complaint == "interrupted"


def test_what_a_command_line_gets_wrong_cannot_steer_the_terminal(
    agns: Callable[..., Any],
) -> None:
    for arguments in (("\x1b[31m",), ("--\x1b[31m",), ("recognize", "-\x1b[31m")):
        done = agns(*arguments)
        assert (done.code, "\x1b" in done.err, "\\x1b" in done.err) == (2, False, True)


def test_json_is_refused_where_another_command_prints_the_rest(agns: Callable[..., Any]) -> None:
    done = agns("models", "--json", "show", "none.safetensors")
    assert (done.code, done.out) == (2, "")
    assert "--json belongs to the list" in done.complaint


def test_a_full_disk_is_one_sentence(
    agns: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full() -> None:
        raise OSError(28, "No space left on device", "/data/result.json")

    monkeypatch.setattr(summary, "list_networks", full)
    done = agns("models")
    assert done.code == 1
    assert done.complaint == "No space left on device (/data/result.json)"


def test_the_networks_come_as_a_json_list_of_objects() -> None:
    shown = CliRunner().invoke(app, ["models", "--json"])
    assert shown.exit_code == 0
    networks = json.loads(shown.stdout)
    assert networks == list_networks()
    keys = {"name", "parameters", "input_size", "input_range", "classes"}
    assert all(network.keys() == keys for network in networks)
    names = {network["name"] for network in networks}
    assert names == {"vgg10", "vgg143", "of10", "of143", "generator", "discriminator"}


def test_the_networks_come_as_a_table_with_a_line_for_each() -> None:
    shown = CliRunner().invoke(app, ["models"])
    lines = {line.split()[0]: line for line in shown.stdout.splitlines()[1:]}
    assert lines.keys() == {network["name"] for network in list_networks()}
    for network in list_networks():
        assert f"{network['parameters']:,}" in lines[network["name"]]


@pytest.mark.parametrize(
    ("command", "config", "fewest"),
    [
        (attack.attack, AttackSpec, 2),
        (faces.draw, SyntheticConfig, 4),
    ],
)
def test_an_option_has_the_default_of_the_setting_it_stands_for(
    command: Callable[..., None], config: type, fewest: int
) -> None:
    parameters = inspect.signature(command).parameters
    required = inspect.Parameter.empty
    options = {
        name: parameter.default
        for name, parameter in parameters.items()
        if parameter.default is not required
    }
    settings = {field.name: field.default for field in fields(config)}
    # Options without a default leave it to the settings, which may depend on other options.
    shared = {name for name in options.keys() & settings.keys() if options[name] is not None}
    assert len(shared) >= fewest
    differ = {name: (options[name], settings[name]) for name in sorted(shared)}
    assert {name: pair for name, pair in differ.items() if pair[0] != pair[1]} == {}


def test_the_stop_values_that_help_tells_are_those_of_the_goals() -> None:
    help_text = " ".join(CliRunner().invoke(app, ["attack", "--help"]).stdout.split())
    dodge, impersonate = Dodge(subject=0).stop, Impersonate(subject=0, target=1).stop
    worn = [PHYSICAL_STOPS[goal] for goal in ("dodge", "impersonate")]
    expected = (
        f"[default: {dodge}, or {impersonate} for a target; physically {worn[0]} and {worn[1]}]"
    )
    assert expected in help_text


@pytest.mark.parametrize(
    ("arguments", "usual"),
    [
        ((), AGN()),
        (("--physical",), PHYSICAL),
        (("--method", "pgd"), PGD()),
        (("--method=solid",), METHODS["solid"]),
    ],
)
def test_help_of_an_attack_has_the_settings_of_its_method(
    arguments: tuple[str, ...], usual: Any
) -> None:
    shown = CliRunner().invoke(app, ["attack", *arguments, "--help"])
    text = " ".join(shown.stdout.split())
    for field in fields(usual):
        name, value = field.name.replace("_", "-"), getattr(usual, field.name)
        if field.name == "kind":
            assert "--kind" not in text
            continue
        _, _, told = text.partition(f"--{name}")
        assert told, name
        assert value is None or f"[default: {value}]" in told, name


def test_each_architecture_has_its_recipe() -> None:
    for arch, recipe in RECIPES.items():
        assert recipe_for(arch) == recipe
        assert recipe.arch == arch
        begun = recipe_for(arch, anew=False)
        assert begun.rate < recipe.rate if recipe.sizes else begun == recipe
        assert begun.sizes == ()
        # Help says which settings are the recipe's; the others are the same in all.
        for field in RECOGNIZER.fields():
            if field.name not in RECOGNIZER.defaults:
                assert getattr(recipe, field.name) == field.default
    frames = {arch: recipe.frames_per_photo for arch, recipe in RECIPES.items()}
    few = {"vgg10": 2, "vgg143": 2, "vgg": 2, "dlib": 2}
    assert frames == {"of10": 10, "of143": 100, "of": 10, **few}
