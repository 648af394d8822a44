"""The training loop of recognisers: what a run leaves, stopping, resuming, learning."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.training.conftest import (
    CONFIG,
    STEPS,
    BrokenOff,
    break_off_in_epoch_2,
    figures,
    interrupt_amid_epoch_2,
)

from agns.data.faces import FaceSet, faces_from_pixels
from agns.data.splits import stratified_split
from agns.errors import ConfigError, DataError
from agns.models.recognizer import Recognizer
from agns.models.start import load_start
from agns.storage import load_tensors, read_json, versions
from agns.training.recognizer import train_recognizer
from agns.training.run import Provenance
from agns.types import Pixels

pytestmark = pytest.mark.usefixtures("small_openface")

ABOUT = Provenance(source="drawn", center_crop=120)


@pytest.fixture(scope="module")
def whole(
    small_openface: None, tmp_path_factory: pytest.TempPathFactory, faces: FaceSet, glasses: Pixels
) -> Path:
    """An unbroken run."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    train_recognizer(faces, glasses, CONFIG, out, about=ABOUT)
    return out


def test_a_run_leaves_its_configuration_and_versions(whole: Path) -> None:
    written = read_json(whole / "config.json")
    assert written["versions"] == versions()
    expected = {"arch": "of", "epochs": 2, "seed": 0, "source": "drawn", "photos": 24}
    assert expected.items() <= written["config"].items()


def test_a_run_leaves_a_line_of_figures_for_each_epoch(whole: Path) -> None:
    rows = figures(whole)
    assert [row["epoch"] for row in rows] == [1, 2]
    assert all(row["loss"] > 0 for row in rows)


def test_a_run_leaves_the_class_mapping(whole: Path, faces: FaceSet) -> None:
    assert read_json(whole / "classes.json") == {
        "0": faces.identities[0],
        "1": faces.identities[1],
        "2": faces.identities[2],
    }


def test_a_run_leaves_a_recogniser_that_loads(whole: Path, faces: FaceSet) -> None:
    recognizer = Recognizer.read(whole / "recognizer.safetensors")
    metadata = recognizer.record
    assert recognizer.identities == faces.identities
    assert (metadata["source"], metadata["center_crop"]) == ("drawn", 120)
    assert metadata["recipe"]["batch"] == 6


def test_the_photos_recorded_as_trained_on_are_those_of_the_split(
    whole: Path, faces: FaceSet
) -> None:
    split = stratified_split(faces, held_fraction=CONFIG.held_fraction, seed=CONFIG.seed)
    metadata = Recognizer.read(whole / "recognizer.safetensors").record
    assert metadata["training_photos"] == [faces.digests[i] for i in split.first.tolist()]


def test_the_scores_recorded_are_of_the_held_out_photos(whole: Path, faces: FaceSet) -> None:
    split = stratified_split(faces, held_fraction=CONFIG.held_fraction, seed=CONFIG.seed)
    recognizer = Recognizer.read(whole / "recognizer.safetensors")
    metadata = recognizer.record
    with torch.no_grad():
        predicted = recognizer(faces.faces(split.second)).argmax(1)
    accuracy = float((predicted == faces.labels[split.second]).float().mean())
    scores = metadata["scores"]
    assert scores["photos"] == len(split.second)
    assert scores["accuracy"] == pytest.approx(accuracy)
    assert scores.items() <= read_json(whole / "scores.json").items()


def test_what_is_kept_is_the_average_and_not_the_last_weights(whole: Path) -> None:
    checkpoint = load_tensors(whole / "checkpoint.safetensors")[0]
    kept = load_tensors(whole / "recognizer.safetensors")[0]
    assert torch.equal(kept["head.0.weight"], checkpoint["averaged.head.0.weight"])
    assert not torch.equal(kept["head.0.weight"], checkpoint["recognizer.head.0.weight"])


def test_a_run_broken_off_and_resumed_ends_bit_for_bit_as_an_unbroken_one(
    whole: Path, tmp_path: Path, faces: FaceSet, glasses: Pixels
) -> None:
    out = tmp_path / "broken"
    with pytest.raises(BrokenOff):
        train_recognizer(faces, glasses, CONFIG, out, about=ABOUT, progress=break_off_in_epoch_2)
    assert not (out / "recognizer.safetensors").exists()
    train_recognizer(faces, glasses, CONFIG, out, about=ABOUT, resume=True)

    expected, metadata = load_tensors(whole / "recognizer.safetensors")
    found, found_metadata = load_tensors(out / "recognizer.safetensors")
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name
    assert found_metadata == metadata
    assert (out / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()


def test_a_run_interrupted_amid_an_epoch_goes_on_with_the_next_step_to_the_same_bits(
    whole: Path, tmp_path: Path, faces: FaceSet, glasses: Pixels
) -> None:
    out, steps = tmp_path / "broken", list[int]()
    with pytest.raises(KeyboardInterrupt):
        train_recognizer(faces, glasses, CONFIG, out, about=ABOUT, progress=interrupt_amid_epoch_2)
    train_recognizer(
        faces, glasses, CONFIG, out, about=ABOUT, resume=True,
        progress=lambda done, *_: steps.append(done),
    )  # fmt: skip
    assert steps[0] == STEPS + 2
    for name in ("recognizer.safetensors", "checkpoint.safetensors"):
        expected, found = load_tensors(whole / name)[0], load_tensors(out / name)[0]
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[key], tensor) for key, tensor in expected.items())
    assert (out / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()


def test_a_run_broken_off_before_its_first_checkpoint_starts_over(
    whole: Path, tmp_path: Path, faces: FaceSet, glasses: Pixels
) -> None:
    def break_off_at_once(done: int, total: int, figures: Mapping[str, float]) -> None:
        raise BrokenOff

    out = tmp_path / "broken"
    with pytest.raises(BrokenOff):
        train_recognizer(faces, glasses, CONFIG, out, about=ABOUT, progress=break_off_at_once)
    with pytest.raises(BrokenOff):
        train_recognizer(
            faces, glasses, CONFIG, out, about=ABOUT, resume=True, progress=break_off_in_epoch_2
        )
    assert figures(out) == figures(whole)[:1]


@pytest.mark.parametrize("changes", [{"rate": 1e-3}, {"epochs": 3}, {"seed": 1}])
def test_resuming_with_other_settings_is_refused(
    whole: Path, faces: FaceSet, glasses: Pixels, changes: dict[str, float]
) -> None:
    config = replace(CONFIG, **changes)
    with pytest.raises(ConfigError, match=f"had {next(iter(changes))} = "):
        train_recognizer(faces, glasses, config, whole, about=ABOUT, resume=True)


def test_resuming_on_other_photos_is_refused(whole: Path, faces: FaceSet, glasses: Pixels) -> None:
    fewer = faces.subset(torch.arange(20))
    with pytest.raises(ConfigError, match="4 of its 24 are not among these, and 0 of"):
        train_recognizer(fewer, glasses, CONFIG, whole, about=ABOUT, resume=True)


def test_renamed_photos_and_frames_in_a_renamed_folder_go_on_to_the_same_weights(
    whole: Path, tmp_path: Path, faces: FaceSet, glasses: Pixels
) -> None:
    out = tmp_path / "run"
    with pytest.raises(BrokenOff):
        train_recognizer(faces, glasses, CONFIG, out, about=ABOUT, progress=break_off_in_epoch_2)
    order = torch.randperm(len(faces), generator=torch.Generator().manual_seed(1))
    named = tuple(f"{number:03d}.png" for number in range(len(faces)))
    renamed = replace(faces.subset(order), photos=named)
    about = replace(ABOUT, source="elsewhere")
    train_recognizer(renamed, glasses.flip(0), CONFIG, out, about=about, resume=True)
    expected, _ = load_tensors(whole / "recognizer.safetensors")
    found, _ = load_tensors(out / "recognizer.safetensors")
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    assert (out / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()


def test_resuming_on_other_pictures_of_the_same_names_is_refused(
    whole: Path, faces: FaceSet, glasses: Pixels
) -> None:
    pixels = faces.pixels.clone()
    pixels[:2] = 255 - pixels[:2]
    with pytest.raises(ConfigError, match="2 of its 24 are not among these, and 2 of these are"):
        train_recognizer(replace(faces, pixels=pixels), glasses, CONFIG, whole, resume=True)


def test_a_directory_that_holds_a_run_is_refused(
    whole: Path, faces: FaceSet, glasses: Pixels
) -> None:
    with pytest.raises(ConfigError, match="already holds a run"):
        train_recognizer(faces, glasses, CONFIG, whole)


def test_a_wrong_number_of_identities_leaves_no_run_behind(
    tmp_path: Path, faces: FaceSet, glasses: Pixels
) -> None:
    with pytest.raises(ConfigError, match="of10 tells 10 identities apart"):
        train_recognizer(faces, glasses, replace(CONFIG, arch="of10"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_too_few_frames_to_hold_one_out_are_refused(
    tmp_path: Path, faces: FaceSet, glasses: Pixels
) -> None:
    with pytest.raises(ConfigError, match=r"frames|eyeglasses"):
        train_recognizer(faces, glasses[:1], replace(CONFIG, epochs=1), tmp_path / "run")


def test_a_loss_that_is_not_finite_is_a_clear_error(
    tmp_path: Path, faces: FaceSet, glasses: Pixels
) -> None:
    config = replace(CONFIG, rate=1e30)
    with pytest.raises(DataError, match=r"the loss is \S+ in epoch \d: lower the rate"):
        train_recognizer(faces, glasses, config, tmp_path / "run")


def test_the_loss_falls_on_an_easy_problem(tmp_path: Path, glasses: Pixels) -> None:
    pixels = torch.full((24, 3, 224, 224), 40, dtype=torch.uint8)
    labels = torch.arange(24) % 3
    for place, label in enumerate(labels.tolist()):
        pixels[place, label] = 200 + place
    faces = faces_from_pixels(pixels, labels, "RGB", [f"{place}.png" for place in range(24)])
    config = replace(CONFIG, epochs=5, rate=3e-3, glasses_share=0.25)
    train_recognizer(faces, glasses, config, tmp_path / "run")
    losses = [row["loss"] for row in figures(tmp_path / "run")]
    assert losses[-1] < 0.5 * losses[0]


def test_steps_the_loss_and_the_tests_are_reported(
    tmp_path: Path, faces: FaceSet, glasses: Pixels
) -> None:
    told: list[tuple[int, int, Mapping[str, float]]] = []
    train_recognizer(
        faces, glasses, replace(CONFIG, epochs=1), tmp_path / "run",
        progress=lambda *step: told.append(step),
    )  # fmt: skip
    steps, tests = told[:STEPS], told[STEPS:]
    assert [(done, total) for done, total, _ in steps] == [(1, STEPS), (2, STEPS)]
    assert tests == [(done, 9, {}) for done in range(1, 10)]
    mean = sum(figures["loss"] for *_, figures in steps) / STEPS
    assert figures(tmp_path / "run")[0]["loss"] == pytest.approx(mean)


def test_the_best_weights_tell_of_the_photos_they_saw(whole: Path) -> None:
    best = load_start(whole / "best.safetensors")
    final = load_start(whole / "recognizer.safetensors")
    assert best.seen == final.seen
    assert len(best.seen) == 18


def test_one_picture_under_two_names_is_refused_where_it_would_be_trained_on_and_tested(
    tmp_path: Path, faces: FaceSet, glasses: Pixels
) -> None:
    split = stratified_split(faces, held_fraction=CONFIG.held_fraction, seed=CONFIG.seed)
    trained, tested = int(split.first[0]), int(split.second[-1])
    assert faces.labels[trained] != faces.labels[tested]
    digests = list(faces.digests)
    digests[tested] = digests[trained]
    with pytest.raises(DataError, match="are one picture under two names"):
        train_recognizer(replace(faces, digests=tuple(digests)), glasses, CONFIG, tmp_path / "run")
    assert not (tmp_path / "run").exists()
