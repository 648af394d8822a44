"""The training loop of the eyeglass networks: what a run leaves, stopping, resuming, learning."""

import functools
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as PilImage
from tests.training.conftest import BrokenOff, figures, interrupt_amid_epoch_2
from torch import Tensor, nn

from agns.decoding import read_pixels
from agns.errors import ConfigError, DataError
from agns.images import from_pixels
from agns.models.dcgan import Discriminator, Generator, build_gan, sample_latents
from agns.storage import load_tensors, read_json, versions
from agns.training import gan
from agns.training.gan import GanTraining, animate, settle_statistics, train_gan
from agns.types import Pixels, Progress

CONFIG = GanTraining(epochs=2, batch=4, precision="fp32")
STEPS = 4
"""In an epoch of 16 frames."""


def break_off_in_epoch_2(done: int, total: int, figures: Mapping[str, float]) -> None:
    if done == STEPS + 2:
        raise BrokenOff


@pytest.fixture(scope="module", autouse=True)
def few_rounds() -> Iterator[None]:
    """Measures final statistics on 3 batches in place of 100, which take seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gan, "settle_statistics", functools.partial(settle_statistics, rounds=3))
        yield


@pytest.fixture(scope="module")
def glasses(glasses: Pixels) -> Pixels:
    return glasses[:16]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, glasses: Pixels) -> Path:
    """An unbroken run."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    train_gan(glasses, CONFIG, out, source="drawn")
    return out


def test_a_run_leaves_its_configuration_and_versions(whole: Path) -> None:
    written = read_json(whole / "config.json")
    assert written["versions"] == versions()
    assert {"epochs": 2, "seed": 0, "source": "drawn", "frames": 16}.items() <= written[
        "config"
    ].items()


def test_a_run_leaves_a_line_of_figures_for_each_epoch(whole: Path) -> None:
    rows = figures(whole)
    assert [row["epoch"] for row in rows] == [1, 2]
    for row in rows:
        assert row["discriminator"] > 0
        assert row["generator"] > 0
        assert all(0 <= row[name] <= 1 for name in ("real", "generated", "learned"))


def test_a_run_leaves_networks_that_load_and_say_how_they_were_made(
    whole: Path, generator: torch.Generator
) -> None:
    frames = Generator.read(whole / "generator.safetensors")(sample_latents(2, rng=generator))
    assert Discriminator.read(whole / "discriminator.safetensors")(frames).shape == (2,)
    metadata = load_tensors(whole / "generator.safetensors")[1]
    assert json.loads(metadata["source"]) == "drawn"
    assert json.loads(metadata["recipe"])["batch"] == 4


def test_a_run_leaves_a_sheet_for_each_epoch_and_one_of_the_end(whole: Path) -> None:
    sheets = sorted(path.name for path in (whole / "samples").iterdir())
    assert sheets == ["epoch_001.png", "epoch_002.png"]
    first, second = (read_pixels(whole / "samples" / name) for name in sheets)
    # 40 frames of 64x176 in rows of 5, 2 pixels between and around them.
    assert first.shape == second.shape == (8 * 66 + 2, 5 * 178 + 2, 3)
    assert not np.array_equal(first, second)
    assert read_pixels(whole / "samples.png").shape == first.shape


def test_a_run_leaves_a_gif_with_a_picture_for_each_epoch(whole: Path) -> None:
    with PilImage.open(whole / "samples.gif") as gif:
        assert (gif.format, gif.n_frames) == ("GIF", 2)


def test_a_gif_shows_sheets_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name, colour in (("b", (0, 255, 0)), ("c", (0, 0, 255)), ("a", (255, 0, 0))):
        PilImage.new("RGB", (8, 8), colour).save(tmp_path / f"{name}.png")
    animate(tmp_path, tmp_path / "all.gif")
    with PilImage.open(tmp_path / "all.gif") as gif:
        seen = []
        for frame in range(gif.n_frames):
            gif.seek(frame)
            seen.append(int(np.asarray(gif.convert("RGB"))[0, 0].argmax()))
    assert seen == [0, 1, 2]


@pytest.mark.parametrize(
    ("break_off", "first"),
    [(break_off_in_epoch_2, STEPS + 1), (interrupt_amid_epoch_2, STEPS + 2)],
)
def test_a_run_broken_off_and_resumed_ends_bit_for_bit_as_an_unbroken_one(
    whole: Path,
    tmp_path: Path,
    glasses: Pixels,
    break_off: Progress,
    first: int,
) -> None:
    out, steps = tmp_path / "broken", list[int]()
    with pytest.raises((BrokenOff, KeyboardInterrupt)):
        train_gan(glasses, CONFIG, out, source="drawn", progress=break_off)
    assert not (out / "generator.safetensors").exists()
    train_gan(
        glasses, CONFIG, out, source="drawn", resume=True,
        progress=lambda done, *_: steps.append(done),
    )  # fmt: skip
    assert steps[0] == first
    for name in ("generator.safetensors", "discriminator.safetensors", "checkpoint.safetensors"):
        expected, found = load_tensors(whole / name)[0], load_tensors(out / name)[0]
        assert found.keys() == expected.keys()
        for key, tensor in expected.items():
            assert torch.equal(found[key], tensor), (name, key)
    for name in ("metrics.jsonl", "samples.png", "samples.gif"):
        assert (out / name).read_bytes() == (whole / name).read_bytes()


def test_resuming_a_finished_run_writes_the_same_networks_again(
    whole: Path, glasses: Pixels
) -> None:
    before = load_tensors(whole / "generator.safetensors")[0]
    train_gan(glasses, CONFIG, whole, source="drawn", resume=True)
    after = load_tensors(whole / "generator.safetensors")[0]
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert len(figures(whole)) == 2


@pytest.mark.parametrize("changes", [{"noise": 0.2}, {"epochs": 3}, {"seed": 1}])
def test_resuming_with_other_settings_is_refused(
    whole: Path, glasses: Pixels, changes: dict[str, float]
) -> None:
    with pytest.raises(ConfigError, match=f"had {next(iter(changes))} = "):
        train_gan(glasses, replace(CONFIG, **changes), whole, source="drawn", resume=True)


def test_resuming_on_another_number_of_frames_is_refused(whole: Path, glasses: Pixels) -> None:
    with pytest.raises(ConfigError, match="2 of its 16 frames are not there, and 0 are"):
        train_gan(glasses[:14], CONFIG, whole, source="drawn", resume=True)


def test_a_directory_that_holds_a_run_is_refused(whole: Path, glasses: Pixels) -> None:
    with pytest.raises(ConfigError, match="already holds a run"):
        train_gan(glasses, CONFIG, whole)


def test_fewer_frames_than_a_batch_are_refused(tmp_path: Path, glasses: Pixels) -> None:
    with pytest.raises(ConfigError, match="a batch of 4 needs as many frames, got 3"):
        train_gan(glasses[:3], CONFIG, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_loss_that_is_not_finite_is_a_clear_error(tmp_path: Path, glasses: Pixels) -> None:
    config = replace(CONFIG, generator_rate=1e38, discriminator_rate=1e38)
    with pytest.raises(DataError, match=r"no longer finite in epoch \d: lower the rates"):
        train_gan(glasses, config, tmp_path / "run")


def told_by(glasses: Pixels, config: GanTraining, out: Path) -> list[dict[str, float]]:
    """The figures of every step of a run."""
    told: list[dict[str, float]] = []
    train_gan(glasses, config, out, progress=lambda done, total, row: told.append(dict(row)))
    return told


def test_a_discriminator_learns_to_tell_frames_from_those_of_a_generator_that_stands_still(
    tmp_path: Path, glasses: Pixels
) -> None:
    config = replace(CONFIG, epochs=2, generator_rate=1e-12, lead=0)
    told = told_by(glasses, config, tmp_path / "run")
    assert all(row["learned"] for row in told)
    assert told[-1]["discriminator"] < 0.7 * told[0]["discriminator"]
    assert told[-1]["real"] - told[-1]["generated"] > 0.5


def test_a_discriminator_in_the_lead_sits_steps_out(tmp_path: Path, glasses: Pixels) -> None:
    config = replace(CONFIG, epochs=1, generator_rate=1e-12, lead=0.4)
    told = told_by(glasses, config, tmp_path / "run")
    assert [row["learned"] for row in told] == [float(row["generated"] >= 0.4) for row in told]
    # The optimisers' own counts of the steps that they took.
    tensors = load_tensors(tmp_path / "run" / "checkpoint.safetensors")[0]
    taken = int(tensors["discriminator_optimizer.0.step"])
    assert taken == sum(row["learned"] for row in told) < STEPS
    assert int(tensors["generator_optimizer.0.step"]) == STEPS


def test_what_is_kept_is_the_averaged_generator(whole: Path) -> None:
    checkpoint = load_tensors(whole / "checkpoint.safetensors")[0]
    kept = load_tensors(whole / "generator.safetensors")[0]
    assert torch.equal(kept["draw.9.weight"], checkpoint["averaged.draw.9.weight"])
    assert not torch.equal(kept["draw.9.weight"], checkpoint["generator.draw.9.weight"])


def watch(network: nn.Module) -> dict[nn.Module, list[Tensor]]:
    """Keeps what every batch norm of a network is given."""
    given: dict[nn.Module, list[Tensor]] = {}
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            given[layer] = []
            layer.register_forward_pre_hook(lambda norm, inputs: given[norm].append(inputs[0]))
    return given


def test_settled_statistics_are_means_over_batches(
    glasses: Pixels, generator: torch.Generator
) -> None:
    drawing, judging = build_gan(rng=generator)
    given = {**watch(drawing), **watch(judging)}
    settle_statistics(drawing, judging, glasses, batch=4, rng=generator, rounds=3)
    assert {len(batches) for batches in given.values()} == {3, 6}
    for norm, batches in given.items():
        columns = [batch.transpose(0, 1).flatten(1) for batch in batches]
        mean = torch.stack([values.mean(1) for values in columns]).mean(0)
        variance = torch.stack([values.var(1) for values in columns]).mean(0)
        torch.testing.assert_close(norm.running_mean, mean, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(norm.running_var, variance, rtol=1e-4, atol=1e-6)
        assert norm.momentum == 0.1


def test_the_discriminator_settles_on_as_many_real_batches_as_generated_ones(
    glasses: Pixels, generator: torch.Generator
) -> None:
    drawing, judging = build_gan(rng=generator)
    seen: list[Tensor] = []
    judging.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    settle_statistics(drawing, judging, glasses, batch=3, rng=generator, rounds=2)
    real = {frame.numpy().tobytes() for frame in from_pixels(glasses)}
    shares = [sum(frame.numpy().tobytes() in real for frame in batch) for batch in seen]
    assert sorted(shares) == [0, 0, 3, 3]


def test_settling_leaves_evaluation_mode_and_weights_as_they_were(
    glasses: Pixels, generator: torch.Generator
) -> None:
    networks = build_gan(rng=generator)
    before = [[p.detach().clone() for p in network.parameters()] for network in networks]
    settle_statistics(*networks, glasses, batch=4, rng=generator, rounds=2)
    for network, weights in zip(networks, before, strict=True):
        assert not any(module.training for module in network.modules())
        assert all(map(torch.equal, network.parameters(), weights))


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"batch": 1}, "batch must be at least 2"),
        ({"generator_rate": 0.0}, "rate must be positive"),
        ({"discriminator_rate": -1.0}, "rate must be positive"),
        ({"generator_rate": math.nan}, "rate must be"),
        ({"discriminator_rate": math.inf}, "rate must be"),
        ({"noise": math.nan}, "noise must be"),
        ({"smoothing": 0.5}, r"smoothing must lie in \(0.5, 1\], got 0.5"),
        ({"lead": 0.5}, r"lead must lie in \[0, 0.5\), got 0.5"),
        ({"noise": -0.1}, "noise must be at least 0"),
        ({"averaging": 1.0}, r"averaging must lie in \[0, 1\)"),
        ({"averaging": math.nan}, r"averaging must lie in \[0, 1\)"),
    ],
)
def test_settings_out_of_range_are_refused(changes: dict[str, float], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        GanTraining(**changes)
