"""Training a VGG, which has dropout, norms while it learns, and sizes: a small one here."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.training.conftest import CONFIG, BrokenOff, break_off_in_epoch_2, figures

from agns.data.faces import FaceSet
from agns.models.backbone import load_start
from agns.models.families import FAMILIES
from agns.models.recognizer import load_recognizer
from agns.models.vgg import Vgg16
from agns.storage import load_tensors
from agns.training.parallel import Machines
from agns.training.recognizer import train_recognizer
from agns.types import Pixels


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
