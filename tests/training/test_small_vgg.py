"""Training a VGG, which has dropout, norms while it learns, and sizes: a small one here."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.training.conftest import CONFIG, BrokenOff, break_off_in_epoch_2

from agns.data.faces import FaceSet
from agns.errors import ConfigError
from agns.models.recognizer import Recognizer
from agns.models.start import load_start
from agns.storage import load_tensors
from agns.training.growing import growth_of
from agns.training.parallel import Machines
from agns.training.recipe import RECIPES
from agns.training.recognizer import train_recognizer
from agns.types import Pixels

pytestmark = pytest.mark.usefixtures("small_vgg")

VGG = replace(CONFIG, arch="vgg", sizes=(56,))


@pytest.fixture(scope="module")
def wholes(
    small_vgg: None, tmp_path_factory: pytest.TempPathFactory, faces: FaceSet, glasses: Pixels
) -> dict[bool, Path]:
    """Unbroken runs without and with norms."""
    root = tmp_path_factory.mktemp("wholes")
    for norms in (False, True):
        train_recognizer(faces, glasses, replace(VGG, norms=norms), root / str(norms))
    return {norms: root / str(norms) for norms in (False, True)}


@pytest.mark.parametrize("norms", [False, True])
def test_dropout_too_is_resumed_bit_for_bit(
    wholes: dict[bool, Path], tmp_path: Path, faces: FaceSet, glasses: Pixels, *, norms: bool
) -> None:
    config = replace(VGG, norms=norms)
    with pytest.raises(BrokenOff):
        train_recognizer(faces, glasses, config, tmp_path / "broken", progress=break_off_in_epoch_2)
    # Whatever else has drawn from torch's own generator does not matter.
    torch.rand(3)
    train_recognizer(faces, glasses, config, tmp_path / "broken", resume=True)
    expected, found = (
        load_tensors(run / "recognizer.safetensors")[0]
        for run in (wholes[norms], tmp_path / "broken")
    )
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name


@pytest.mark.parametrize("norms", [False, True])
def test_one_that_grows_is_resumed_bit_for_bit(
    tmp_path: Path, faces: FaceSet, glasses: Pixels, *, norms: bool
) -> None:
    config = replace(VGG, norms=norms, sizes=(56, 112))

    def break_off_at_once(*_: object) -> None:
        raise BrokenOff

    with pytest.raises(BrokenOff):
        train_recognizer(faces, glasses, config, tmp_path / "broken", progress=break_off_at_once)
    whole, _ = train_recognizer(faces, glasses, config, tmp_path / "whole")
    with pytest.raises(BrokenOff):
        train_recognizer(
            faces, glasses, config, tmp_path / "broken", resume=True,
            progress=break_off_in_epoch_2,
        )  # fmt: skip
    # All that there is of the first size is a whole recogniser already.
    first = Recognizer.read(tmp_path / "broken" / "best.safetensors")
    assert [*first.state_dict()] == [*whole.state_dict()]
    found, _ = train_recognizer(faces, glasses, config, tmp_path / "broken", resume=True)
    for name, tensor in whole.state_dict().items():
        assert torch.equal(found.state_dict()[name], tensor), name
    assert not torch.equal(first.head.weight, whole.head.weight)


@pytest.mark.parametrize("arch", ["vgg", "vgg10", "vgg143"])
def test_the_recipes_are_of_sizes_that_it_grows_with(arch: str) -> None:
    people = tuple(f"P{number}" for number in range({"vgg10": 10, "vgg143": 143}.get(arch, 5)))
    recognizer = Recognizer(arch, people)
    assert growth_of(recognizer, RECIPES[arch]) is not None


@pytest.mark.parametrize(
    ("sizes", "sentence"),
    [((64, 224), "are 56, 112 or 224 pixels, got 64"), ((112, 56), "so that sizes rise")],
)
def test_sizes_that_it_cannot_grow_with_are_refused(
    tmp_path: Path, faces: FaceSet, glasses: Pixels, sizes: tuple[int, ...], sentence: str
) -> None:
    with pytest.raises(ConfigError, match=sentence):
        train_recognizer(faces, glasses, replace(VGG, sizes=sizes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_another_seed_gives_other_weights(
    wholes: dict[bool, Path], tmp_path: Path, faces: FaceSet, glasses: Pixels
) -> None:
    other, _ = train_recognizer(faces, glasses, replace(VGG, epochs=1, seed=1), tmp_path / "run")
    first = Recognizer.read(wholes[False] / "recognizer.safetensors")
    assert not torch.equal(other.head.weight, first.head.weight)


def test_norms_are_learnt_with_and_folded_into_the_weights_that_are_kept(
    wholes: dict[bool, Path],
) -> None:
    learnt, _ = load_tensors(wholes[True] / "checkpoint.safetensors")
    assert "averaged.backbone.features.1.running_var" in learnt
    kept = Recognizer.read(wholes[True] / "recognizer.safetensors")
    assert not any("running" in name for name in kept.state_dict())


def test_norms_put_into_what_has_learnt_change_nothing_to_begin_with(
    wholes: dict[bool, Path],
    tmp_path: Path,
    faces: FaceSet,
    glasses: Pixels,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = Recognizer.read(wholes[True] / "recognizer.safetensors")
    shown = faces.faces(torch.arange(12))
    begun: list[torch.Tensor] = []

    def break_off(network: torch.nn.Module, *_: object, **__: object) -> None:
        assert any(isinstance(part, torch.nn.BatchNorm2d) for part in network.modules())
        begun.append(network.eval()(shown))
        raise BrokenOff

    monkeypatch.setattr("agns.training.recognizer.Trainer", break_off)
    start = load_start(wholes[True] / "best.safetensors")
    config = replace(VGG, norms=True)
    with pytest.raises(BrokenOff):
        train_recognizer(faces, glasses, config, tmp_path / "again", start=start)
    expected = first(shown)
    torch.testing.assert_close(begun[0], expected, rtol=1e-4, atol=1e-6)
    assert expected.std() > 1e-3


@pytest.mark.parametrize("arch", ["of", "vgg"])
def test_networks_compute_in_16_bits_on_faces_that_are_not_rounded(
    tmp_path: Path, faces: FaceSet, glasses: Pixels, arch: str
) -> None:
    """OpenFace itself, too."""
    config = replace(VGG, norms=True) if arch == "vgg" else CONFIG
    losses: list[float] = []

    def break_off(done: int, total: int, figures: Mapping[str, float]) -> None:
        losses.append(figures["loss"])
        raise BrokenOff

    for precision in ("bf16-mixed", "32"):
        fabric = Machines(accelerator="cpu", precision=precision).open()
        with pytest.raises(BrokenOff):
            train_recognizer(
                faces, glasses, config, tmp_path / precision, fabric=fabric, progress=break_off
            )
    half, whole = losses
    assert half != whole
    assert half == pytest.approx(whole, rel=0.05)
