"""The training loop of recognisers: what a run leaves, stopping, resuming, learning."""

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from lightning_fabric import Fabric
from torch import nn

from agns.data.faces import FaceSet, faces_from_pixels
from agns.data.splits import stratified_split
from agns.errors import ConfigError, DataError
from agns.models.backbone import load_start
from agns.models.families import FAMILIES
from agns.models.recognizer import load_recognizer
from agns.models.vgg import Vgg16
from agns.models.weights import average
from agns.storage import load_tensors, read_json, under, versions
from agns.training.material import wearing_in
from agns.training.parallel import Machines
from agns.training.recipe import RecognizerTraining, photo_weights, rate_share, set_rate
from agns.training.recognizer import train_recognizer
from agns.training.run import Provenance
from agns.training.stepping import Stepper
from agns.types import Pixels

CONFIG = RecognizerTraining(arch="of", epochs=2, batch=6)
ABOUT = Provenance(source="drawn", center_crop=120)
STEPS = 2
"""In an epoch of the 15 training photos."""


class BrokenOff(Exception):
    """Stands for a power cut."""


def break_off_in_epoch_2(done: int, total: int, figures: Mapping[str, float]) -> None:
    if done == STEPS + 1:
        raise BrokenOff


def figures(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, faces: FaceSet, glasses: Pixels) -> Path:
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
    recognizer, metadata = load_recognizer(whole / "recognizer.safetensors")
    assert recognizer.identities == faces.identities
    assert (metadata["source"], metadata["center_crop"]) == ("drawn", 120)
    assert metadata["recipe"]["batch"] == 6


def test_the_photos_recorded_as_trained_on_are_those_of_the_split(
    whole: Path, faces: FaceSet
) -> None:
    split = stratified_split(faces, held_fraction=CONFIG.held_fraction, seed=CONFIG.seed)
    metadata = load_recognizer(whole / "recognizer.safetensors")[1]
    assert metadata["training_photos"] == [faces.digests[i] for i in split.first.tolist()]


def test_the_scores_recorded_are_of_the_held_out_photos(whole: Path, faces: FaceSet) -> None:
    split = stratified_split(faces, held_fraction=CONFIG.held_fraction, seed=CONFIG.seed)
    recognizer, metadata = load_recognizer(whole / "recognizer.safetensors")
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
    with pytest.raises(ConfigError, match="had photos = 24, not 20"):
        train_recognizer(fewer, glasses, CONFIG, whole, about=ABOUT, resume=True)


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


@pytest.mark.parametrize(
    ("balance", "expected"), [(0, [1, 1, 1, 1]), (1, [1 / 3, 1 / 3, 1 / 3, 1])]
)
def test_photos_are_weighted_evenly_or_identities_are(
    balance: float, expected: list[float]
) -> None:
    weights = photo_weights(torch.tensor([0, 0, 0, 2]), balance)
    torch.testing.assert_close(weights, torch.tensor(expected).double())


def test_weights_in_between_follow_the_power_of_an_identitys_photos() -> None:
    labels = [1, 0, 0, 1, 1, 2, 1]
    expected = [1 / math.sqrt(labels.count(label)) for label in labels]
    weights = photo_weights(torch.tensor(labels), 0.5)
    torch.testing.assert_close(weights, torch.tensor(expected).double())


def test_the_rate_rises_linearly_and_falls_along_half_a_cosine() -> None:
    shares = [rate_share(step, 16, 0.25) for step in range(16)]
    assert shares[:4] == pytest.approx([0.25, 0.5, 0.75, 1])
    fall = [math.cos(math.pi / 2 * step / 12) ** 2 for step in range(12)]
    assert shares[4:] == pytest.approx(fall)


def test_a_rate_reaches_every_parameter() -> None:
    weights = [torch.zeros(1, requires_grad=True) for _ in range(2)]
    optimizer = torch.optim.SGD([{"params": [weight]} for weight in weights], 1)
    set_rate(optimizer, 0.25)
    assert [group["lr"] for group in optimizer.param_groups] == [0.25, 0.25]


def test_averaging_moves_weights_and_statistics_by_what_the_decay_leaves() -> None:
    averaged, network = torch.nn.BatchNorm1d(2), torch.nn.BatchNorm1d(2)
    with torch.no_grad():
        network.weight.fill_(3)
        network.running_mean.fill_(-2)
        network.num_batches_tracked.fill_(9)
    average(averaged, network, 0.75)
    assert averaged.weight.tolist() == [0.75 * 1 + 0.25 * 3] * 2
    assert averaged.running_mean.tolist() == [0.25 * -2] * 2
    assert averaged.num_batches_tracked == 0
    assert network.weight.tolist() == [3, 3]


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"batch": 1}, "batch at least 2"),
        ({"balance": 1.5}, r"balance must lie in \[0, 1\], got 1.5"),
        ({"glasses_share": -0.1}, "glasses_share must lie in"),
        ({"averaging": math.nan}, "averaging must lie in"),
        ({"held_fraction": 0.0}, r"held_fraction must lie in \(0, 1\)"),
        ({"held_fraction": 1.0}, r"held_fraction must lie in \(0, 1\)"),
        ({"rate": 0.0}, "rate must be positive"),
        ({"rate": math.nan}, "rate must be"),
        ({"rate": math.inf}, "rate must be"),
        ({"validation_fraction": 1.0}, r"validation_fraction must lie in \[0, 1\)"),
        ({"frames_per_photo": 0}, "frames_per_photo must be at least 1"),
        ({"patience": 0}, "patience must be at least 1"),
        ({"sizes": (64, 96)}, "sizes of of10 must be at least 65"),
        ({"norms": True}, "norms are for VGG: of10 has batch norms of its own"),
        ({"arch": "vgg", "sizes": (16,)}, "sizes of vgg must be at least 32"),
        ({"frames_per_photo": 10**9}, "frames_per_photo must be 10000 at most"),
    ],
)
def test_settings_out_of_range_are_refused(changes: dict[str, float], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        RecognizerTraining(**changes)


@pytest.fixture
def _small_vgg(monkeypatch: pytest.MonkeyPatch) -> None:
    small = replace(
        FAMILIES["vgg"],
        backbone=lambda *_: Vgg16(blocks=((2, 1), (2, 1), (2, 1), (2, 1), (3, 1)), width=8),
        head=lambda classes: torch.nn.Linear(8, classes),
    )
    monkeypatch.setitem(FAMILIES, "vgg", small)


@pytest.mark.usefixtures("_small_vgg")
@pytest.mark.parametrize("norms", [False, True])
def test_dropout_too_is_resumed_bit_for_bit(
    tmp_path: Path, faces: FaceSet, glasses: Pixels, *, norms: bool
) -> None:
    config = replace(CONFIG, arch="vgg", sizes=(32,), norms=norms)
    train_recognizer(faces, glasses, config, tmp_path / "whole")
    with pytest.raises(BrokenOff):
        train_recognizer(faces, glasses, config, tmp_path / "broken", progress=break_off_in_epoch_2)
    # Whatever else has drawn from torch's own generator does not matter.
    torch.rand(3)
    train_recognizer(faces, glasses, config, tmp_path / "broken", resume=True)
    expected, found = (
        load_tensors(tmp_path / run / "recognizer.safetensors")[0] for run in ("whole", "broken")
    )
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name
    train_recognizer(faces, glasses, replace(config, seed=1), tmp_path / "other")
    other = load_tensors(tmp_path / "other" / "recognizer.safetensors")[0]
    assert not torch.equal(other["head.weight"], expected["head.weight"])


@pytest.mark.usefixtures("_small_vgg")
def test_norms_are_learnt_with_and_folded_into_the_weights_that_are_kept(
    tmp_path: Path, faces: FaceSet, glasses: Pixels
) -> None:
    config = replace(CONFIG, arch="vgg", sizes=(32,), norms=True)
    train_recognizer(faces, glasses, config, tmp_path / "run")
    learnt, _ = load_tensors(tmp_path / "run" / "checkpoint.safetensors")
    assert "averaged.backbone.features.1.running_var" in learnt
    kept, _ = load_recognizer(tmp_path / "run" / "recognizer.safetensors")
    assert not any("running" in name for name in kept.state_dict())


@pytest.mark.usefixtures("_small_vgg")
def test_norms_put_into_what_has_learnt_change_nothing_to_begin_with(
    tmp_path: Path, faces: FaceSet, glasses: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(CONFIG, arch="vgg", sizes=(64,), norms=True)
    first, _ = train_recognizer(faces, glasses, config, tmp_path / "run")
    shown = faces.faces(torch.arange(12))
    begun: list[torch.Tensor] = []

    def break_off(network: torch.nn.Module, *_: object, **__: object) -> None:
        assert any(isinstance(part, torch.nn.BatchNorm2d) for part in network.modules())
        begun.append(network.eval()(shown))
        raise BrokenOff

    monkeypatch.setattr("agns.training.recognizer.Stepper", break_off)
    start = load_start(tmp_path / "run" / "best.safetensors")
    with pytest.raises(BrokenOff):
        train_recognizer(faces, glasses, config, tmp_path / "again", start=start)
    expected = first(shown)
    torch.testing.assert_close(begun[0], expected, rtol=1e-4, atol=1e-6)
    assert expected.std() > 1e-3


def test_the_best_weights_tell_of_the_photos_they_saw(whole: Path) -> None:
    best = load_start(whole / "best.safetensors")
    final = load_start(whole / "recognizer.safetensors")
    assert best.seen == final.seen
    assert len(best.seen) == 18


def test_what_no_longer_learns_goes_on_to_the_next_size_and_then_stops(
    tmp_path: Path, faces: FaceSet, glasses: Pixels
) -> None:
    # Hardly any rate, so that the validation loss improves no more once averaging has settled.
    config = replace(CONFIG, epochs=12, sizes=(66, 96), patience=1, rate=1e-12, averaging=0.0)
    train_recognizer(faces, glasses, config, tmp_path / "run")
    epochs = [row["epoch"] for row in figures(tmp_path / "run")]
    assert epochs[0] == 1
    assert 7 in epochs, "the second size begins in the middle"
    assert len(epochs) < 12
    assert read_json(tmp_path / "run" / "scores.json")["epochs"] == len(epochs)


@pytest.mark.parametrize(
    ("epochs", "expected"),
    [(1, [224]), (2, [64, 224]), (4, [64, 64, 112, 224]), (5, [64, 64, 64, 112, 224])],
)
def test_the_last_size_is_reached_however_few_epochs_there_are(
    epochs: int, expected: list[int]
) -> None:
    config = RecognizerTraining(arch="vgg", epochs=epochs, sizes=(64, 64, 64, 112, 224))
    assert [config.size_in(epoch) for epoch in range(epochs)] == expected


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


def test_frames_are_worn_by_the_first_of_the_joint_batch() -> None:
    joint = torch.arange(10)
    assert wearing_in(joint, 0.5, rank=0, processes=1) == 5
    assert [wearing_in(joint, 0.5, rank=rank, processes=2) for rank in range(2)] == [3, 2]
    assert [wearing_in(joint, 0.1, rank=rank, processes=10) for rank in (0, 1)] == [1, 0]


def test_the_rate_rises_anew_and_half_as_high_when_faces_grow() -> None:
    config = RecognizerTraining(arch="vgg", epochs=6, sizes=(32, 32, 64), warm_up=0.25, rate=0.8)
    assert config.stages == (0, 4)
    stepper = Stepper(
        nn.Sequential(nn.Flatten(), nn.Linear(3, 1)), Fabric(accelerator="cpu"),
        name="network", rate=config.rate, warm_up=config.warm_up, weight_decay=0,
        averaging=0.5, steps=4, epochs=config.epochs,
        stages=config.stages, slowing=config.slowing,
    )  # fmt: skip
    rates = []
    for step in range(6 * 4):
        stepper.take(step, stepper.forward(torch.ones(1, 3, 1, 1)).sum())
        rates.append(stepper.optimizer.param_groups[0]["lr"])
    first = [0.8 * rate_share(step, 16, 0.25) for step in range(16)]
    second = [0.4 * rate_share(step, 8, 0.25) for step in range(8)]
    assert rates == pytest.approx(first + second)


def test_a_network_that_never_grows_has_one_stage() -> None:
    assert RecognizerTraining(epochs=5).stages == (0,)
    assert RecognizerTraining(arch="vgg", epochs=5, sizes=(64,)).stages == (0,)


@pytest.mark.usefixtures("_small_vgg")
@pytest.mark.parametrize("arch", ["of", "vgg"])
def test_networks_compute_in_16_bits_on_faces_that_are_not_rounded(
    tmp_path: Path, faces: FaceSet, glasses: Pixels, arch: str
) -> None:
    sizes = (32,) if arch == "vgg" else ()
    config = replace(CONFIG, arch=arch, sizes=sizes, norms=arch == "vgg", epochs=1)
    fabric = Machines(accelerator="cpu", precision="bf16-mixed").open()
    train_recognizer(faces, glasses, config, tmp_path / "half", fabric=fabric)
    train_recognizer(faces, glasses, config, tmp_path / "whole")
    half, whole = (figures(tmp_path / run)[0]["loss"] for run in ("half", "whole"))
    assert half != whole
    assert half == pytest.approx(whole, rel=0.05)


def test_without_validation_photos_the_last_weights_are_kept(
    tmp_path: Path, faces: FaceSet, glasses: Pixels
) -> None:
    config = replace(CONFIG, validation_fraction=0.0, epochs=3)
    recognizer, _ = train_recognizer(faces, glasses, config, tmp_path / "run")
    last = under(load_tensors(tmp_path / "run" / "checkpoint.safetensors")[0], "averaged")
    for name, tensor in recognizer.state_dict().items():
        assert torch.equal(tensor, last[name]), name


def test_whatever_follows_a_validation_loss_that_is_no_number_is_better(
    tmp_path: Path, faces: FaceSet, glasses: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = iter([math.nan, 2.0, math.nan])
    monkeypatch.setattr(
        "agns.training.recognizer.validate", lambda *_, **__: {"validation_loss": next(losses)}
    )
    recognizer, _ = train_recognizer(faces, glasses, replace(CONFIG, epochs=3), tmp_path / "run")
    best, about = load_recognizer(tmp_path / "run" / "best.safetensors")
    assert about["epoch"] == 2
    assert torch.equal(best.backbone.embed.weight, recognizer.backbone.embed.weight)


def test_validation_photos_are_judged_in_the_precision_of_the_steps(
    tmp_path: Path, faces: FaceSet, glasses: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounded: list[bool] = []

    def judge(*_: object, **__: object) -> dict[str, float]:
        rounded.append(torch.is_autocast_enabled("cpu"))
        return {"validation_loss": 1.0, "validation_accuracy": 0.0}

    monkeypatch.setattr("agns.training.recognizer.validate", judge)
    for precision in ("32", "bf16-mixed"):
        fabric = Machines(accelerator="cpu", precision=precision).open()
        train_recognizer(
            faces, glasses, replace(CONFIG, epochs=1), tmp_path / precision, fabric=fabric
        )
    assert rounded == [False, True]
