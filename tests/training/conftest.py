import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.training.small_openface import SmallOpenFace
from torch import nn

from agns.data.faces import FaceSet
from agns.data.simulation.drawn_frames import draw_frames
from agns.data.simulation.synthetic import SyntheticConfig, synthetic_faces
from agns.models.families import FAMILIES
from agns.models.vgg import Vgg16
from agns.training.recipe import RecognizerTraining
from agns.types import Pixels

CONFIG = RecognizerTraining(arch="of", epochs=2, batch=6, rate=5e-4)
STEPS = 2
"""In an epoch of the 15 training photos."""


class BrokenOff(Exception):
    """Stands for a power cut."""


def break_off_in_epoch_2(done: int, total: int, figures: Mapping[str, float]) -> None:
    if done == STEPS + 1:
        raise BrokenOff


def interrupt_amid_epoch_2(done: int, total: int, figures: Mapping[str, float]) -> None:
    """As Ctrl-C and SIGTERM do."""
    if done == total // 2 + 1:
        raise KeyboardInterrupt


@pytest.fixture(scope="module")
def small_openface() -> Iterator[None]:
    """Lets recognisers and backbones be built on a small network, where any one will do."""
    with pytest.MonkeyPatch.context() as patch:
        for module in ("models.families", "training.metric"):
            patch.setattr(f"agns.{module}.OpenFace", SmallOpenFace)
        yield


@pytest.fixture(scope="module")
def small_vgg() -> Iterator[None]:
    """As `small_openface`."""
    small = replace(
        FAMILIES["vgg"],
        backbone=lambda *_: Vgg16(blocks=((3, 1), (3, 1), (3, 1), (3, 1), (3, 1)), width=8),
        head=lambda classes: nn.Linear(8, classes),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(FAMILIES, "vgg", small)
        yield


def figures(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where decoded pictures would go, in place of the user's own cache."""
    directory = tmp_path / "cache"
    monkeypatch.setenv("AGNS_CACHE", str(directory))
    return directory


@pytest.fixture(scope="package", autouse=True)
def one_thread() -> Iterator[None]:
    """Sums are then always in one order, so that figures compare bit for bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="package")
def faces() -> FaceSet:
    """Eight photos of each of three people who do not exist."""
    return synthetic_faces(SyntheticConfig(identities=3, photos=8))


@pytest.fixture(scope="package")
def glasses() -> Pixels:
    return draw_frames(32)
