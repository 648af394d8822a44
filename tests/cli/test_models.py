"""`agns models import`: weights of other systems brought in, and refused."""

import dataclasses
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from agns.data.faces import write_classes
from agns.models.backbone import Backbone
from agns.models.families import FAMILIES
from agns.models.importing import openface, pretrained
from agns.models.openface import OpenFace
from agns.models.recognizer import Recognizer
from agns.models.vgg import Vgg16

Run = Callable[..., Any]


class TinyVgg(Vgg16):
    """Vgg16's names for two layers, since the whole takes half a gigabyte."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.features = nn.Sequential(nn.Conv2d(3, 2, 3))
        self.descriptor = nn.Sequential(nn.Linear(2, 2))


@pytest.fixture
def state_dict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state dict of torchvision's names that tells three classes apart."""
    monkeypatch.setattr("agns.models.families.Vgg16", TinyVgg)
    head = dataclasses.replace(FAMILIES["vgg"], head=lambda count: nn.Linear(2, count))
    monkeypatch.setitem(FAMILIES, "vgg", head)
    shapes = {
        "features.0.weight": (2, 3, 3, 3), "features.0.bias": (2,),
        "classifier.0.weight": (2, 2), "classifier.0.bias": (2,),
        "classifier.6.weight": (3, 2), "classifier.6.bias": (3,),
    }  # fmt: skip
    path = tmp_path / "vgg16.pth"
    torch.save({name: torch.ones(shape) for name, shape in shapes.items()}, path)
    return path


@pytest.fixture
def csv_folder(tmp_path: Path) -> Path:
    """OpenFace's files, all of zeros."""
    folder = tmp_path / "weights"
    folder.mkdir()
    with torch.device("meta"):
        own = OpenFace().state_dict()
    for name, file in openface.name_files().items():
        (folder / file).write_text(",".join("0" * prod(own[name].shape)))
    return folder


def test_a_folder_of_csv_files_becomes_a_backbone(
    agns: Run, tmp_path: Path, csv_folder: Path
) -> None:
    out = tmp_path / "openface.safetensors"
    done = agns("models", "import", csv_folder, "--arch", "openface", "--out", out)
    assert (done.code, done.err) == (0, "")
    assert done.out == f"Read {csv_folder} as OpenFace nn4.small2 as CSV files\nWrote {out}\n"
    backbone = Backbone.read(out)
    about = backbone.record
    assert backbone.family == "of"
    assert about["imported"] == {"source": "weights", "kind": openface.KIND}


def test_a_folder_that_lacks_a_file_leaves_none(
    agns: Run, tmp_path: Path, csv_folder: Path
) -> None:
    (csv_folder / "dense_b.csv").unlink()
    out = tmp_path / "openface.safetensors"
    failed = agns("models", "import", csv_folder, "--arch", "openface", "--out", out)
    assert failed.code == 1
    assert failed.complaint == f"{csv_folder} lacks dense_b.csv, of 224 files"
    assert not out.exists()


def test_a_state_dict_becomes_a_backbone(agns: Run, tmp_path: Path, state_dict: Path) -> None:
    out = tmp_path / "vgg16.safetensors"
    done = agns("models", "import", state_dict, "--arch", "vgg16", "--out", out)
    assert done.out.splitlines()[0].endswith("as torchvision's VGG-16 as a state dict")
    backbone = Backbone.read(out)
    about = backbone.record
    assert backbone.family == "vgg"
    assert about["imported"]["source"] == "vgg16.pth"


def test_a_damaged_state_dict_and_one_for_another_network_are_told_apart(
    agns: Run, tmp_path: Path, state_dict: Path
) -> None:
    out = tmp_path / "out.safetensors"
    misused = agns("models", "import", state_dict, "--arch", "of10", "--out", out)
    assert misused.code == 2
    assert misused.complaint.startswith(f"{state_dict} is read as torchvision's VGG-16 as")
    state_dict.write_bytes(state_dict.read_bytes()[:-50])
    failed = agns("models", "import", state_dict, "--arch", "vgg16", "--out", out)
    assert failed.code == 1
    assert "is a file of torch.save that is cut short" in failed.complaint


def test_pretrained_weights_are_fetched_in_place_of_a_file(
    agns: Run, tmp_path: Path, state_dict: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pretrained, "fetch", lambda name, progress, transport: state_dict)
    names, out = tmp_path / "classes.json", tmp_path / "vgg.safetensors"
    write_classes(names, ("ann", "bob", "cy"))
    done = agns(
        "models", "import", "--pretrained", "imagenet", "--arch", "vgg", "--classes", names,
        "--out", out,
    )  # fmt: skip
    assert done.code == 0
    assert done.out.splitlines()[0].startswith("Read imagenet as torchvision's VGG-16")
    assert Recognizer.read(out).identities == ("ann", "bob", "cy")


@pytest.mark.parametrize("options", [(), ("file.pth", "--pretrained", "imagenet")])
def test_a_file_or_pretrained_weights_are_named_but_not_both(
    agns: Run, tmp_path: Path, options: tuple[str, ...]
) -> None:
    out = tmp_path / "out.safetensors"
    misused = agns("models", "import", *options, "--arch", "vgg16", "--out", out)
    assert misused.code == 2
    assert misused.complaint.startswith("name either a file or folder of weights, or --pretrained")
