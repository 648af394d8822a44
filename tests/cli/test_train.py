"""`agns train`: runs begun, gone on with, and refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from agns.cli import face_options
from agns.data.faces import FaceSet
from agns.data.simulation.synthetic import SyntheticConfig, write_synthetic_folder
from agns.errors import ConfigError
from agns.models.backbone import Backbone
from agns.models.dcgan import Discriminator, Generator
from agns.models.recognizer import Recognizer
from agns.models.start import Start
from agns.storage import read_json

Run = Callable[..., Any]


@pytest.fixture
def small(folder: Path, shop: Path) -> tuple[object, ...]:
    """Options of a recogniser that trains in a second."""
    return ("--arch", "of", "--faces", folder, "--glasses", shop, "--epochs", 1, "--batch", 6)


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three photos of each of nine drawn people."""
    root = tmp_path_factory.mktemp("crowd") / "faces"
    write_synthetic_folder(root, SyntheticConfig(identities=9, photos=3))
    return root


def test_a_recogniser_is_trained_on_a_folder(
    agns: Run, tmp_path: Path, folder: Path, small: tuple[object, ...]
) -> None:
    out = tmp_path / "run"
    done = agns("train", "recognizer", "--out", out, *small, "--seed", 3)
    assert done.code == 0
    assert "On 3 test photos: accuracy " in done.out
    weights, report = out / "recognizer.safetensors", out / "report.html"
    assert done.out.splitlines()[-1] == f"Wrote {weights}; {report} shows the mistakes."
    recognizer = Recognizer.read(out / "recognizer.safetensors")
    metadata = recognizer.record
    assert recognizer.identities == tuple(f"Synthetic_00{i}" for i in range(3))
    recipe = {"arch": "of", "epochs": 1, "batch": 6, "seed": 3, "rate": 2e-3}
    assert recipe.items() <= metadata["recipe"].items()
    assert metadata["precision"] in ("32-true", "bf16-mixed")
    assert metadata["source"] == folder.name
    for name in ("losses.png", "confusion.png", "identities.json"):
        assert (out / name).is_file()

    assert agns("train", "recognizer", "--out", out, *small, "--seed", 3, "--resume").code == 0
    done = agns("train", "recognizer", "--out", out, *small, "--seed", 4, "--resume")
    assert done.code == 2
    assert "had seed = 3, not 4" in done.complaint
    done = agns("train", "recognizer", "--out", out, *small, "--seed", 3)
    assert done.code == 2
    assert "already holds a run" in done.complaint


def test_resuming_where_no_run_is_is_misuse_before_any_face_is_read(
    agns: Run, tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    done = agns("train", "recognizer", "--out", tmp_path, "--resume", "--faces", "nowhere")
    assert (done.code, done.out) == (2, "")
    assert done.complaint.startswith(f"there is no run to resume in {tmp_path}")


@pytest.mark.parametrize("command", ["recognizer", "gan"])
def test_a_file_in_place_of_the_run_is_misuse(agns: Run, tmp_path: Path, command: str) -> None:
    (tmp_path / "run").write_text("mine", encoding="utf-8")
    done = agns("train", command, "--out", tmp_path / "run")
    assert done.code == 2
    assert "is a file" in done.complaint
    assert (tmp_path / "run").read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--epochs", 0), "epochs must be at least 1"),
        (("--batch", 1), "batch must be at least 2"),
        (("--rate", 0), "rate must be positive"),
        (("--rate", "nan"), "rate must be"),
        (("--arch", "resnet"), "no recogniser 'resnet'"),
        (("--arch", "of10"), "10 identities"),
        (("--identities", 5), "expected 5 identities"),
        (("--faces", "nowhere"), "no folder of faces nowhere"),
        (("--glasses", "nowhere"), "no folder nowhere of eyeglass pictures"),
        (("--frames-per-photo", 0), "frames_per_photo must lie in [1, 10000]"),
        (("--patience", 0), "patience must be at least 1"),
        (("--sizes", "64,many"), "--sizes takes whole numbers with commas, got '64,many'"),
        (("--sizes", "64"), "sizes of of must be at least 65 pixels"),
        (("--devices", 0), "devices must be at least 1"),
        (("--devices", 4), "a batch of 6 does not divide by 4 processes"),
        (("--num-nodes", 2), "only if each is started with torchrun"),
        (("--precision", "16-mixed", "--accelerator", "cpu"), "16-mixed needs a GPU"),
        (("--init", "nowhere"), "no weight file nowhere"),
        (("--freeze-backbone",), "--freeze-backbone needs a backbone"),
        (("--pretrained", "imagenet"), "is a VGG-16, which of has no use for"),
        (("--pretrained", "imagenet", "--init", "some"), "not with both"),
    ],
)
def test_settings_that_cannot_be_used_are_misuse_and_leave_no_run(
    agns: Run, tmp_path: Path, small: tuple[object, ...], options: tuple[object, ...],
    complaint: str,
) -> None:  # fmt: skip
    done = agns("train", "recognizer", "--out", tmp_path / "run", *small, *options)
    assert (done.code, done.out) == (2, "")
    assert complaint in done.complaint
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("command", ["recognizer", "gan"])
def test_an_unknown_precision_is_misuse(agns: Run, tmp_path: Path, command: str) -> None:
    done = agns("train", command, "--out", tmp_path / "run", "--precision", "fp16")
    assert (done.code, done.out) == (2, "")
    assert "'fp16' is not one of 'auto', " in done.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("options", [("--identities", 0), ("--name", "Ann")])
def test_drawn_identities_that_cannot_be_had_are_misuse(
    agns: Run, tmp_path: Path, shop: Path, monkeypatch: pytest.MonkeyPatch,
    options: tuple[object, ...],
) -> None:  # fmt: skip
    def train(faces: FaceSet, *arguments: object, **rest: object) -> None:
        pytest.fail(f"trained on {len(faces.identities)} drawn identities in spite of {options}")

    monkeypatch.setattr(face_options, "SYNTHETIC_TRAINING_PHOTOS", 2)
    monkeypatch.setattr("agns.training.recognizer.train_recognizer", train)
    done = agns(
        "train", "recognizer", "--arch", "of", "--glasses", shop, "--out", tmp_path / "run",
        *options,
    )  # fmt: skip
    assert (done.code, done.out) == (2, "")


@pytest.mark.parametrize("option", ["--mask", "--names"])
def test_options_of_a_folder_of_eyeglasses_are_misuse_without_one(
    agns: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    def train(*arguments: object, **rest: object) -> None:
        pytest.fail(f"trained on drawn frames in spite of {option}")

    monkeypatch.setattr("agns.training.gan.train_gan", train)
    done = agns("train", "gan", "--out", tmp_path / "run", "--count", 8, option, "nowhere")
    assert (done.code, done.out) == (2, "")


def test_the_eyeglass_networks_are_trained_on_a_folder(
    agns: Run, tmp_path: Path, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agns.training.gan.settle_statistics", lambda *_, **__: None)
    out = tmp_path / "run"
    options = ("--out", out, "--glasses", shop, "--epochs", 1, "--batch", 16)
    done = agns("train", "gan", *options)
    assert done.code == 0
    assert str(out / "generator.safetensors") in done.out
    Generator.read(out / "generator.safetensors")
    Discriminator.read(out / "discriminator.safetensors")
    assert (out / "losses.png").is_file()
    config = read_json(out / "config.json")["config"]
    assert {"source": shop.name, "frames": 33, "batch": 16}.items() <= config.items()

    done = agns("train", "gan", *options)
    assert done.code == 2
    assert "already holds a run" in done.complaint


def test_the_drawn_set_is_as_large_as_asked_for(
    agns: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agns.training.gan.settle_statistics", lambda *_, **__: None)
    out = tmp_path / "run"
    done = agns("train", "gan", "--out", out, "--count", 9, "--epochs", 1, "--batch", 8)
    assert done.code == 0
    config = read_json(out / "config.json")["config"]
    assert {"source": "frames drawn by agns, version 2", "frames": 9}.items() <= config.items()


def test_a_batch_larger_than_the_set_is_misuse(agns: Run, tmp_path: Path) -> None:
    done = agns("train", "gan", "--out", tmp_path / "run", "--count", 9, "--batch", 10)
    assert done.code == 2
    assert "a batch of 10 needs as many frames, got 9" in done.complaint


def test_an_embedding_is_trained_and_a_head_upon_it(
    agns: Run, tmp_path: Path, crowd: Path, shop: Path
) -> None:
    (tmp_path / "classes.json").write_text('{"0": "Synthetic_008"}', encoding="utf-8")
    metric, head = tmp_path / "metric", tmp_path / "head"
    done = agns(
        "train", "metric", "--faces", crowd, "--glasses", shop, "--out", metric, "--epochs", 1,
        "--identities", 2, "--photos", 2, "--exclude", "Synthetic_000", "--exclude-most", 1,
        "--exclude-classes", tmp_path / "classes.json",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert " pairs of 4 identities that were not trained on: accuracy " in done.out
    for name in ("backbone.safetensors", "roc.png", "losses.png", "scores.json"):
        assert (metric / name).is_file()

    # As many photos of each identity, so that the one left out for having most is the first.
    options = (
        "train", "recognizer", "--arch", "of", "--faces", crowd, "--glasses", shop, "--epochs", 1,
        "--batch", 4, "--frames-per-photo", 1, "--freeze-backbone",
    )  # fmt: skip
    init = ("--init", metric / "backbone.safetensors")
    done = agns(*options, *init, "--out", head)
    assert done.code == 0, done.err
    recognizer = Recognizer.read(head / "recognizer.safetensors")
    kept = Backbone.read(metric / "backbone.safetensors").backbone
    assert torch.equal(recognizer.backbone.embed.weight, kept.embed.weight)
    assert recognizer.record["recipe"]["frozen"] is True

    done = agns(*options, *init, "--out", tmp_path / "none", "--teacher", "nowhere")
    assert "--teacher teaches a whole network" in done.complaint
    taught = tmp_path / "taught"
    done = agns(*options[:-1], "--teacher", head / "recognizer.safetensors", "--out", taught)
    assert done.code == 0, done.err
    record = Recognizer.read(taught / "recognizer.safetensors").record
    assert (record["teacher"], record["recipe"]["teaching"]) == ("recognizer.safetensors", 0.7)

    for more in (("--devices", 2), ("--resume",)):
        done = agns(*options, *init, "--out", head, *more)
        assert done.code == 2
        assert "--freeze-backbone trains in one process" in done.complaint
    done = agns(*options, *init, "--out", tmp_path / "other", "--seed", 1)
    assert done.code == 2
    assert "photos to test on: train it without these identities" in done.complaint


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--identities", 1), "identities must be at least 2"),
        (("--exclude", "Nobody"), "no identity 'Nobody'"),
        (("--exclude-classes", "nowhere"), "no file of classes nowhere"),
        ((), "a step takes 16 identities"),
    ],
)
def test_an_embedding_that_cannot_be_trained_is_misuse(
    agns: Run, tmp_path: Path, crowd: Path, shop: Path, options: tuple[object, ...], complaint: str
) -> None:
    done = agns(
        "train", "metric", "--faces", crowd, "--glasses", shop, "--out", tmp_path / "run", *options
    )
    assert (done.code, done.out) == (2, "")
    assert complaint in done.complaint
    assert not (tmp_path / "run").exists()


def test_a_recogniser_begins_with_weights_that_are_fetched(
    agns: Run, tmp_path: Path, small: tuple[object, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = []
    with torch.device("meta"):
        backbone = Backbone("vgg")

    def train(*arguments: object, start: Start, **rest: object) -> None:
        begun.append(start.path)
        raise ConfigError("far enough")

    def fetched(**_: object) -> Path:
        return tmp_path / "fetched.safetensors"

    monkeypatch.setattr("agns.training.recognizer.train_recognizer", train)
    monkeypatch.setattr("agns.models.importing.pretrained.imagenet_backbone", fetched)
    monkeypatch.setattr(
        "agns.models.start.load_start", lambda path: Start(network=backbone, path=path)
    )
    done = agns(
        "train", "recognizer", *small, "--out", tmp_path / "run", "--arch", "vgg",
        "--pretrained", "imagenet",
    )  # fmt: skip
    assert done.complaint == "far enough"
    assert begun == [tmp_path / "fetched.safetensors"]
