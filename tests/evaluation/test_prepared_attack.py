"""One attack from photos to figures, on a small recogniser of three strangers."""

import contextlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import pytest
import torch
from tests.evaluation.conftest import without_pictures
from torch import Tensor

from agns.attack.agn import AGN
from agns.attack.baselines import Baseline
from agns.attack.goals import Dodge
from agns.attack.result import AttackResult
from agns.data.faces import FaceSet
from agns.errors import AttackError, ConfigError, DataError
from agns.evaluation import prepared_attack
from agns.evaluation.attack_setup import AttackSetup
from agns.evaluation.attack_spec import AttackSpec
from agns.evaluation.controls import logits_wearing
from agns.evaluation.metrics import measure_success
from agns.evaluation.prepared_attack import prepare, run_attack
from agns.evaluation.score import AttackScore
from agns.images import read_image
from agns.models.black_box import BlackBox

DODGE = AttackSpec(goal="dodge", subject="Ann", control_frames=3)
IMPERSONATE = AttackSpec(goal="impersonate", subject="Ann", target="Bob", control_frames=3)
QUICK = AGN(batch=8, samples=4, generator_rate=5e-3)


def result(out: Path) -> dict[str, object]:
    return cast(dict[str, object], json.loads((out / "result.json").read_text(encoding="utf-8")))


@dataclass(frozen=True, kw_only=True)
class Finished:
    """An experiment that is done."""

    report: AttackScore
    out: Path


@pytest.fixture(scope="module")
def dodged(
    setup: AttackSetup, crowd: FaceSet, tmp_path_factory: pytest.TempPathFactory
) -> Finished:
    out = tmp_path_factory.mktemp("dodge")
    return Finished(report=run_attack(setup, crowd, DODGE, QUICK, out), out=out)


@pytest.fixture(scope="module")
def impersonated(
    setup: AttackSetup, crowd: FaceSet, tmp_path_factory: pytest.TempPathFactory
) -> Finished:
    out = tmp_path_factory.mktemp("impersonate")
    with without_pictures():
        report = run_attack(setup, crowd, IMPERSONATE, QUICK, out)
    return Finished(report=report, out=out)


def test_frames_are_kept_where_scoring_fails(
    setup: AttackSetup, crowd: FaceSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise DataError("the line is dead")

    monkeypatch.setattr(prepared_attack, "score_attack", fail)
    told = rf"^the line is dead; the frames found are in {re.escape(str(tmp_path))}, without scores"
    with pytest.raises(AttackError, match=told):
        run_attack(setup, crowd, DODGE, Baseline(kind="solid", count=2, batch=4), tmp_path)
    assert read_image(tmp_path / "frame.png").shape == (3, 64, 176)
    assert not (tmp_path / "result.json").exists()
    with pytest.raises(ConfigError, match="already holds the frames of an attack without scores"):
        run_attack(setup, crowd, DODGE, Baseline(kind="solid", count=2, batch=4), tmp_path)


def test_the_result_says_what_was_done(dodged: Finished, impersonated: Finished) -> None:
    for finished, target in ((dodged, None), (impersonated, "Bob")):
        written = result(finished.out)
        expected = {
            "goal": "dodge" if target is None else "impersonate",
            "subject": "Ann",
            "target": target,
            "recognizer": "tiny",
            "seed": 0,
            "iterations": 2,
            "stopped_because": "used up the eyeglasses",
        }
        assert {name: written[name] for name in expected} == expected
        assert isinstance(written["seconds"], float)


def test_the_result_holds_figures_for_both_splits_and_every_control(dodged: Finished) -> None:
    written = result(dodged.out)
    controls = cast(dict[str, object], written["controls"])
    assert list(controls) == ["benign", "untrained_generator", "noise"]
    keys = {"images", "success_rate", "interval", "mean_probability", "recognized"}
    for figures in (written["craft"], written["held_out"], *controls.values()):
        figures = cast(dict[str, dict[str, object]], figures)
        assert figures.keys() == keys
        assert figures["recognized"].keys() == keys - {"recognized"}
        assert figures["images"] == 4


def test_the_written_result_is_the_report(dodged: Finished) -> None:
    written, report = result(dodged.out), dodged.report
    assert written["warnings"] == report.warnings
    assert cast(dict[str, object], written["stealth"])["nearest_real"] == (
        report.stealth.nearest_real
    )
    assert cast(dict[str, object], written["held_out"])["mean_probability"] == (
        report.held_out.mean_probability
    )


def test_photos_are_crafted_on_or_held_out_but_never_both(dodged: Finished, crowd: FaceSet) -> None:
    photos = dodged.report.photos
    assert not set(photos["craft"]) & set(photos["held_out"])
    own = {crowd.photos[place] for place in crowd.places_of("Ann").tolist()}
    assert {*photos["craft"], *photos["held_out"]} == own


@pytest.mark.parametrize("side", ["craft", "held_out"])
def test_the_figures_are_those_of_the_written_frame(
    dodged: Finished, setup: AttackSetup, crowd: FaceSet, side: str
) -> None:
    places = torch.tensor([crowd.photos.index(name) for name in dodged.report.photos[side]])
    frame = read_image(dodged.out / "frame.png")
    logits = logits_wearing(setup.recognizer, crowd.faces(places), frame[None])[0]
    expected = measure_success(Dodge(subject=0), logits)
    found = dodged.report.craft if side == "craft" else dodged.report.held_out
    assert found.success_rate == expected.success_rate
    # The frame is written as bytes.
    assert found.mean_probability == pytest.approx(expected.mean_probability, abs=0.01)


def test_pictures_and_frames_are_written_beside_the_result(dodged: Finished) -> None:
    names = {"before_after.png", "history.png", "frame.png", "frame_on_canvas.png",
             "latents.safetensors", "generator.safetensors", "history.json"}  # fmt: skip
    assert names <= {path.name for path in dodged.out.iterdir()}


def test_a_finished_experiment_is_not_overwritten(
    dodged: Finished, setup: AttackSetup, crowd: FaceSet
) -> None:
    before = (dodged.out / "result.json").read_bytes()
    with pytest.raises(ConfigError, match="already holds a result"):
        run_attack(setup, crowd, DODGE, QUICK, dodged.out)
    assert (dodged.out / "result.json").read_bytes() == before


@pytest.mark.usefixtures("no_pictures")
def test_the_same_seed_gives_the_same_result_but_for_the_time(
    dodged: Finished, setup: AttackSetup, crowd: FaceSet, tmp_path: Path
) -> None:
    torch.manual_seed(1234)
    run_attack(setup, crowd, DODGE, QUICK, tmp_path)
    one, other = result(dodged.out), result(tmp_path)
    del one["seconds"], other["seconds"]
    assert one == other


@pytest.mark.usefixtures("no_pictures")
def test_one_seed_decides_the_split_and_the_attack(
    setup: AttackSetup, crowd: FaceSet, dodged: Finished, tmp_path: Path
) -> None:
    report = run_attack(setup, crowd, replace(DODGE, seed=5), QUICK, tmp_path)
    assert report.photos != dodged.report.photos
    assert (report.seed, report.config["seed"], report.result.seed) == (5, 5, 5)


def knowing(setup: AttackSetup, digests: tuple[str, ...]) -> AttackSetup:
    return replace(setup, metadata={"training_photos": list(digests)})


@pytest.mark.usefixtures("no_pictures")
def test_crafting_takes_the_photos_trained_on_and_scoring_all_the_others(
    setup: AttackSetup, crowd: FaceSet, tmp_path: Path
) -> None:
    seen = crowd.subset(crowd.places_of("Ann")[1:4])
    report = run_attack(knowing(setup, seen.digests), crowd, DODGE, QUICK, tmp_path)
    assert set(report.photos["craft"]) == set(seen.photos)
    own = {crowd.photos[place] for place in crowd.places_of("Ann").tolist()}
    assert set(report.photos["held_out"]) == own - set(seen.photos)
    assert report.craft_photos_seen_in_training == 3


def test_a_subject_whose_photos_were_all_trained_on_is_refused(
    setup: AttackSetup, crowd: FaceSet, tmp_path: Path
) -> None:
    seen = crowd.of("Ann")
    with pytest.raises(DataError, match="trained on all 8 photos of Ann"):
        run_attack(knowing(setup, seen.digests), crowd, DODGE, QUICK, tmp_path)


def test_a_subject_who_is_never_recognised_has_nothing_to_dodge(
    setup: AttackSetup, crowd: FaceSet, tmp_path: Path
) -> None:
    swapped = replace(crowd, labels=(crowd.labels + 1) % 3)
    with pytest.raises(AttackError, match="recognises none of 4 craft photos of Ann"):
        run_attack(setup, swapped, DODGE, QUICK, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_subject_with_a_single_photo_is_refused(
    setup: AttackSetup, crowd: FaceSet, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="Ann"):
        run_attack(setup, crowd.subset(crowd.places_of("Ann")[:1]), DODGE, QUICK, tmp_path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"goal": "dodge", "subject": "Dora", "target": None}, "does not know 'Dora'"),
        ({"target": "Dora"}, "does not know 'Dora'"),
        ({"target": "Ann"}, "the target Ann is the subject"),
        ({"stop": 1.5}, "a stop value must lie in"),
    ],
    ids=str,
)
def test_a_goal_that_cannot_be_is_refused(
    setup: AttackSetup,
    crowd: FaceSet,
    tmp_path: Path,
    change: dict[str, str | float | None],
    words: str,
) -> None:
    with pytest.raises(ConfigError, match=words):
        run_attack(setup, crowd, replace(IMPERSONATE, **change), QUICK, tmp_path)
    assert not list(tmp_path.iterdir())


def test_dodging_has_no_target_and_impersonating_needs_one() -> None:
    with pytest.raises(ConfigError, match="dodging has no target"):
        AttackSpec(goal="dodge", subject="Ann", target="Bob")
    with pytest.raises(ConfigError, match="needs a target"):
        AttackSpec(goal="impersonate", subject="Ann")


def test_controls_need_a_frame() -> None:
    with pytest.raises(ConfigError, match="control_frames must be at least 1, got 0"):
        replace(DODGE, control_frames=0)


@pytest.mark.usefixtures("no_pictures")
def test_an_interrupted_experiment_is_scored_and_says_so(
    setup: AttackSetup, crowd: FaceSet, tmp_path: Path
) -> None:
    def progress(done: int, total: int, figures: Mapping[str, float]) -> None:
        raise KeyboardInterrupt

    told: list[str] = []
    run_attack(
        setup, crowd, DODGE, QUICK, tmp_path, bar=contextlib.nullcontext(progress), tell=told.append
    )
    assert [sentence.split(":")[0] for sentence in told] == ["Interrupted"]
    written = result(tmp_path)
    assert (written["stopped_because"], written["iterations"]) == ("interrupted", 1)
    assert "The attack was interrupted after 1 iterations." in cast(list[str], written["warnings"])


@pytest.mark.usefixtures("no_pictures")
def test_an_experiment_that_is_no_longer_finite_is_scored_and_says_so(
    setup: AttackSetup, crowd: FaceSet, tmp_path: Path
) -> None:
    config = replace(QUICK, discriminator_rate=1e38)
    run_attack(setup, crowd, DODGE, config, tmp_path)
    written = result(tmp_path)
    assert written["stopped_because"] == "not finite"
    assert any("no longer finite" in words for words in cast(list[str], written["warnings"]))


def test_a_line_describes_the_outcome(dodged: Finished, impersonated: Finished) -> None:
    rate = dodged.report.held_out.success_rate
    assert dodged.report.summary().startswith(f"Ann dodges: {rate:.0%} of 4 held-out photos (95 %")
    assert impersonated.report.summary().startswith("Ann as Bob: ")


@dataclass(frozen=True, kw_only=True)
class Own:
    """An attack of somebody's own, which gives what it is told to."""

    gives: object = None

    def run(self, *_: object, **__: object) -> object:
        if self.gives == "failure":
            raise ValueError("out of colour")
        return replace(FOUND, frames=self.gives) if isinstance(self.gives, Tensor) else self.gives


FOUND = AttackResult(
    frames=torch.zeros(1, 3, 64, 176), probability=0.5, met=False, iterations=1, seconds=0,
    stopped_because="used up its steps",
)  # fmt: skip


@pytest.mark.parametrize(
    ("gives", "sentence"),
    [
        ("failure", "Own failed with ValueError: out of colour"),
        (None, "should give an AttackResult with frames, got None"),
        (torch.full((1, 3, 64, 176), 2.0), "gives frames that are none"),
        (torch.zeros(0, 3, 64, 176), "gives no frame"),
    ],
)
def test_an_own_attack_that_fails_ends_in_a_sentence(
    setup: AttackSetup,
    crowd: FaceSet,
    gives: object,
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # What it gives is no setting here, as a tensor could not be written.
    monkeypatch.setattr(prepared_attack, "settings_of", lambda _: {})
    own = prepare(setup, crowd, DODGE, Own(gives=gives))  # type: ignore[arg-type]
    with pytest.raises(AttackError, match=sentence):
        own.run()


def test_settings_that_cannot_be_written_are_refused_before_the_attack(
    setup: AttackSetup, crowd: FaceSet
) -> None:
    with pytest.raises(ConfigError, match="Own are written with its results, and one cannot be"):
        prepare(setup, crowd, DODGE, Own(gives=object()))  # type: ignore[arg-type]


@pytest.mark.usefixtures("no_pictures")
def test_a_budget_is_of_the_attack_and_scoring_asks_beyond_it(
    setup: AttackSetup, crowd: FaceSet, tmp_path: Path
) -> None:
    # Four craft photos, so that the budget lasts for seven frames.
    box = BlackBox(setup.recognizer, budget=30, decisions_only=True)
    attack = Baseline(kind="noise", count=20, batch=4)
    run_attack(setup, crowd, DODGE, attack, tmp_path / "bare")
    boxed = replace(setup, recognizer=box)
    done = run_attack(boxed, crowd, DODGE, attack, tmp_path / "boxed")
    assert (done.queries, done.stopped_because) == (28, "used up its queries")
    assert box.queries == 28
    assert [one.held_out for one in done.by_queries][-1] == done.held_out
    told, bare = result(tmp_path / "boxed"), result(tmp_path / "bare")
    assert told["controls"] == bare["controls"]
    assert bare["queries"] == 80
    assert told["queries"] == 28
