"""`agns attack`: one attack, and what is refused before it begins."""

import os
import re
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from agns.attack import methods
from agns.attack.agn import AGN
from agns.cli.face_options import open_glasses
from agns.evaluation import attack_setup
from agns.evaluation.controls import control_frames
from agns.images import read_image
from agns.loading import load_setup, load_victim
from agns.models.dcgan import Discriminator, Generator
from agns.models.recognizer import Recognizer
from agns.storage import load_tensors, read_json

Run = Callable[..., Any]

DODGE = ("attack", "dodge", "--subject", "Synthetic_000")
IMPERSONATE = ("attack", "impersonate", "--subject", "Synthetic_000")


@pytest.fixture
def options(weights: Any, folder: Path, shop: Path) -> tuple[object, ...]:
    return (*weights.options, "--faces", folder, "--glasses", shop)


@pytest.mark.usefixtures("few_controls")
def test_an_attack_leaves_its_result_and_tells_what_it_is_worth(
    agns: Run, tmp_path: Path, options: tuple[object, ...]
) -> None:
    out = tmp_path / "attack"
    done = agns(
        *IMPERSONATE, "--target", "Synthetic_002", "--out", out, *options, "--epochs", 2,
        "--samples", 4, "--seed", 7, "--craft", 1, "--stop", 0.9999,
    )  # fmt: skip
    assert done.code == 0
    assert "held out, no frame" in done.out
    assert re.search(r"Scoring ━+ 6/6", done.err)
    assert "non printability" not in done.out
    assert str(out / "result.json") in done.out
    result = read_json(out / "result.json")
    told = {"goal": "impersonate", "target": "Synthetic_002", "seed": 7, "stop_value": 0.9999}
    assert told.items() <= result.items()
    assert {"epochs": 2, "kappa": 0.25, "seed": 7}.items() <= result["config"].items()
    craft, held_out = (set(result["photos"][side]) for side in ("craft", "held_out"))
    assert (len(craft), len(held_out), len(craft & held_out)) == (1, 3, 0)
    assert read_image(out / "frame.png").shape == (3, 64, 176)
    assert (out / "before_after.png").is_file()
    assert (out / "history.png").is_file()

    before = (out / "result.json").read_bytes()
    done = agns(*IMPERSONATE, "--target", "Synthetic_001", "--out", out, *options)
    assert done.code == 2
    assert done.complaint == f"{out} already holds a result: name another directory"
    assert (out / "result.json").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("attack", "dodge", "--subject", "Ann"), "does not know 'Ann'"),
        ((*DODGE, "--target", "Synthetic_001"), "dodging has no target"),
        (IMPERSONATE, "impersonation needs a target"),
        ((*IMPERSONATE, "--target", "Ann"), "does not know 'Ann'"),
        ((*IMPERSONATE, "--target", "Synthetic_000"), "is the subject"),
        ((*DODGE, "--kappa", 1.5), "kappa must lie in [0, 1], got 1.5"),
        ((*DODGE, "--kappa", -0.1), "kappa must lie in [0, 1], got -0.1"),
        ((*DODGE, "--kappa", "nan"), "kappa must lie in [0, 1], got nan"),
        ((*DODGE, "--epochs", 0), "epochs must be at least 1"),
        ((*DODGE, "--generator-rate", -1), "generator_rate must be at least 0, got -1"),
        ((*DODGE, "--generator-rate", "nan"), "generator_rate must be at least 0, got nan"),
        ((*DODGE, "--discriminator-rate", "inf"), "must be at least 0 and finite, got inf"),
        ((*DODGE, "--method", "fgsm"), "there is no attack 'fgsm': there are agn, agn-paper"),
        ((*DODGE, "--stop", 1), "stop value must lie in (0, 1), got 1"),
        ((*DODGE, "--craft", 0), "craft must be at least 1, got 0"),
        ((*DODGE, "--physical", "--photos", ".", "--skip-unreadable"), "without --faces"),
        ((*DODGE, "--recognizer", "none"), "there is no weight file none"),
        ((*DODGE, "--generator", "none"), "there is no weight file none"),
        ((*DODGE, "--glasses", "none"), "no folder none of eyeglass pictures"),
        ((*DODGE, "--faces", "none"), "no folder of faces none"),
    ],
)
def test_what_cannot_be_attacked_is_misuse_and_leaves_nothing(
    agns: Run, tmp_path: Path, options: tuple[object, ...], arguments: tuple[object, ...],
    complaint: str,
) -> None:  # fmt: skip
    command, goal, *rest = arguments
    done = agns(command, goal, *options, *rest, "--out", tmp_path / "attack")
    assert (done.code, done.out) == (2, "")
    assert complaint in done.complaint
    assert not (tmp_path / "attack").exists()


def test_a_subject_whose_photos_are_not_in_the_folder_is_misuse(
    agns: Run, tmp_path: Path, weights: Any, shop: Path, folder: Path
) -> None:
    root = tmp_path / "faces"
    root.mkdir()
    (root / "Synthetic_001").symlink_to(folder / "Synthetic_001")
    done = agns(
        *DODGE, *weights.options, "--faces", root, "--glasses", shop, "--out", tmp_path / "attack"
    )
    assert done.code == 2
    assert f"no identity 'Synthetic_000' in {root}" in done.complaint


def test_a_file_in_place_of_the_results_is_misuse_before_the_attack_begins(
    agns: Run, tmp_path: Path, options: tuple[object, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def begin(*arguments: object, **rest: object) -> None:
        pytest.fail("the attack began, though its results have nowhere to go")

    monkeypatch.setattr(AGN, "run", begin)
    (tmp_path / "attack").write_text("mine", encoding="utf-8")
    done = agns(*IMPERSONATE, "--target", "Synthetic_001", *options, "--out", tmp_path / "attack")
    assert done.code == 2
    assert str(tmp_path / "attack") in done.complaint


def test_goals_that_lack_or_have_a_target_are_told_before_the_recogniser_is_read(
    agns: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*_: object, **__: object) -> None:
        pytest.fail("the recogniser was read")

    monkeypatch.setattr("agns.cli.attack.load_victim", read)
    for command, told in (
        ((*DODGE, "--target", "Synthetic_001"), "dodging has no target"),
        (IMPERSONATE, "impersonation needs a target: name one with --target"),
    ):
        done = agns(*command, "--out", tmp_path / "attack")
        assert done.code == 2
        assert told in done.complaint


@pytest.mark.parametrize(
    "mistake", [("--subject", "Ann"), ("--faces", "none"), ("--target", "Synthetic_001")]
)
def test_a_mistake_is_told_before_eyeglasses_are_drawn(
    agns: Run, tmp_path: Path, weights: Any, mistake: tuple[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def draw(*arguments: object, **rest: object) -> None:
        pytest.fail("eyeglasses were drawn for an attack that cannot be")

    monkeypatch.setattr("agns.cli.attack.open_glasses", draw)
    done = agns(*DODGE, *weights.options, *mistake, "--out", tmp_path / "attack")
    assert (done.code, done.out) == (2, "")


def test_a_swapped_generator_and_discriminator_are_told_apart(
    agns: Run, tmp_path: Path, options: tuple[object, ...], weights: Any
) -> None:
    done = agns(
        *DODGE, *options, "--generator", weights.discriminator, "--discriminator",
        weights.generator, "--out", tmp_path / "attack",
    )  # fmt: skip
    assert done.code == 1
    assert done.complaint == f"{weights.discriminator} holds no generator written by agns"


def test_an_attacks_networks_may_be_folders_that_were_shared(
    weights: Any, shop: Path, tmp_path: Path
) -> None:
    Generator.read(weights.generator).save_pretrained(tmp_path / "g")
    Discriminator.read(weights.discriminator).save_pretrained(tmp_path / "d")
    victim = load_victim(weights.recognizer)
    found = load_setup(
        victim, open_glasses(shop), generator=tmp_path / "g", discriminator=tmp_path / "d"
    )
    for network, file in (
        (found.generator, weights.generator), (found.discriminator, weights.discriminator)
    ):  # fmt: skip
        known = load_tensors(file)[0]
        name, value = next(iter(network.named_parameters()))
        assert torch.equal(value, known[name])


@pytest.mark.usefixtures("few_controls", "no_pictures")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ctrl_c_says_that_scoring_begins_and_how_to_leave(
    agns: Run,
    tmp_path: Path,
    options: tuple[object, ...],
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    code: int,
) -> None:
    run = AGN.run

    def pressed(*given: Any, progress: Any, **named: Any) -> Any:
        def press(*_: object) -> None:
            os.kill(os.getpid(), number)

        return run(*given, progress=press, **named)

    monkeypatch.setattr(AGN, "run", pressed)
    out = tmp_path / "attack"
    quick = ("--batch", 4, "--samples", 4)
    done = agns(*IMPERSONATE, "--target", "Synthetic_002", *options, *quick, "--out", out)
    assert done.code == code
    first, *_ = done.out.splitlines()
    assert first.startswith("Interrupted: scoring the best frame so far")
    assert read_json(out / "result.json")["stopped_because"] == "interrupted"


@pytest.mark.usefixtures("few_controls", "no_pictures")
def test_other_methods_are_scored_alike_and_say_what_they_are(
    agns: Run, tmp_path: Path, weights: Any, folder: Path, shop: Path
) -> None:
    out = tmp_path / "attack"
    common = ("--recognizer", weights.recognizer, "--faces", folder, "--glasses", shop)
    done = agns(
        *IMPERSONATE, "--target", "Synthetic_002", "--method", "pgd", "--stop", 0.0001,
        "--craft", 2, *common, "--center-crop", 224, "--out", out,
    )  # fmt: skip
    assert done.code == 0, done.err
    result = read_json(out / "result.json")
    assert (result["method"], result["reached_stop_value"], result["iterations"]) == (
        "pgd",
        True,
        0,
    )
    assert {"bound": 0.12, "signed": True, "center_crop": 224}.items() <= result["config"].items()
    assert len(list((out / "frames").glob("??.png"))) == 5
    assert (out / "history.png").is_file()
    assert not (out / "generator.safetensors").exists()


@pytest.mark.usefixtures("few_controls", "no_pictures")
def test_frames_that_nobody_crafted_are_a_method_too(
    agns: Run, tmp_path: Path, weights: Any, folder: Path, shop: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    solid = replace(methods.METHODS["solid"], count=6)
    monkeypatch.setattr(methods, "METHODS", {**methods.METHODS, "solid": solid})
    common = ("--recognizer", weights.recognizer, "--faces", folder, "--glasses", shop)
    done = agns(
        *IMPERSONATE, "--target", "Synthetic_002", "--method", "solid", "--seed", 3,
        "--craft", 2, *common, "--center-crop", 224, "--out", tmp_path / "out",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "used up its frames" in done.out
    told = read_json(tmp_path / "out/result.json")
    assert told["method"] == "solid"
    assert {"kind": "solid", "count": 6, "seed": 3}.items() <= told["config"].items()
    assert told["stealth"]["total_variation"] == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize(
    ("method", "option", "value"),
    [
        ("pgd", "--kappa", 0.5),
        ("pixels", "--jitter", 1),
        ("solid", "--brightness", 0.1),
        ("benign", "--kappa", 0.5),
        ("noise", "--palette", "own.csv"),
        ("benign", "--nps-weight", 0.5),
        # Given is given, also with the value that it would have anyway.
        ("pgd", "--kappa", 0.25),
        ("ccs16", "--precision", "auto"),
        ("solid", "--jitter", 0),
        ("art-apgd", "--step", 0.1),
        ("noise", "--samples", 32),
    ],
)
def test_an_option_that_the_method_has_no_use_for_is_refused(
    agns: Run, tmp_path: Path, method: str, option: str, value: object
) -> None:
    done = agns(*DODGE, "--method", method, option, value, "--out", tmp_path / "attack")
    assert (done.code, done.complaint) == (2, f"{option} has no part in --method {method}")


def test_photos_cut_otherwise_than_those_trained_on_are_refused(
    agns: Run, tmp_path: Path, weights: Any, folder: Path
) -> None:
    victim = Recognizer.read(weights.recognizer)
    metadata = victim.record
    seen = tmp_path / "seen.safetensors"
    victim.record = {**metadata, "training_photos": ["0" * 16], "center_crop": 100}
    victim.write(seen)
    done = agns(
        *DODGE, "--recognizer", seen, "--faces", folder, "--center-crop", 90, "--out",
        tmp_path / "attack",
    )  # fmt: skip
    assert (done.code, done.complaint) == (
        2,
        f"{seen} was trained on photos cut to 100: of photos cut to 90 nobody could tell "
        "which it has seen, so leave out --center-crop",
    )


@pytest.mark.parametrize("option", [("--skip-unreadable",), ("--center-crop", 224)])
@pytest.mark.parametrize("command", [DODGE, ("universal",)])
def test_what_says_how_to_read_a_folder_is_refused_without_one(
    agns: Run, tmp_path: Path, option: tuple[object, ...], command: tuple[str, ...]
) -> None:
    done = agns(*command, *option, "--out", tmp_path / "attack")
    assert done.code == 2
    assert done.complaint.endswith("belong to a face folder: give --faces")


@pytest.mark.usefixtures("few_controls", "no_pictures")
def test_an_attack_that_only_asks_says_how_many_queries_it_took(
    agns: Run, tmp_path: Path, weights: Any, folder: Path, shop: Path
) -> None:
    pytest.importorskip("cmaes")
    out = tmp_path / "attack"
    common = ("--recognizer", weights.recognizer, "--faces", folder, "--glasses", shop)
    done = agns(
        *IMPERSONATE, "--target", "Synthetic_002", "--method", "cmaes", "--queries", 20,
        "--decisions-only", "--population", 4, "--stop", 0.9999, "--craft", 2, *common,
        "--out", out,
    )  # fmt: skip
    assert done.code == 0, done.err
    told = read_json(out / "result.json")
    assert told["method"] == "cmaes"
    assert {"queries": 20, "decisions_only": True}.items() <= told["config"].items()
    assert 5 <= told["queries"] <= 20
    assert f"iterations, {told['queries']} queries, " in done.out
    assert told["by_queries"][-1]["held_out"] == told["held_out"]


@pytest.mark.usefixtures("no_pictures")
def test_controls_have_as_many_frames_as_are_asked_for(
    agns: Run, tmp_path: Path, weights: Any, folder: Path, shop: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    drawn = []

    def draw(*given: Any, count: int, **named: Any) -> Any:
        drawn.append(count)
        return control_frames(*given, count=count, **named)

    monkeypatch.setattr(attack_setup, "control_frames", draw)
    done = agns(
        *IMPERSONATE, "--target", "Synthetic_002", "--method", "solid", "--control-frames", 3,
        "--recognizer", weights.recognizer, "--faces", folder, "--glasses", shop,
        "--out", tmp_path / "attack",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert drawn == [3]


@pytest.mark.usefixtures("few_controls", "no_pictures")
def test_surrogates_are_named_on_the_command_line(
    agns: Run, tmp_path: Path, weights: Any, folder: Path, shop: Path
) -> None:
    out = tmp_path / "attack"
    method = (
        *IMPERSONATE, "--target", "Synthetic_002", "--method", "transfer", "--faces", folder,
        "--glasses", shop, "--out", out,
    )  # fmt: skip
    done = agns(*method, "--recognizer", weights.recognizer)
    assert done.code == 2
    assert "none is named" in done.complaint
    done = agns(
        *method, "--recognizer", weights.recognizer, "--surrogates", weights.recognizer,
        "--steps", 2, "--craft", 2,
    )  # fmt: skip
    assert done.code == 0, done.err
    told = read_json(out / "result.json")
    assert (told["queries"], told["config"]["surrogates"]) == (0, [str(weights.recognizer)])
