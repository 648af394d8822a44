import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import torch

from agns.data.eyeglasses import draw_frames
from agns.data.faces import FaceSet
from agns.data.synthetic import SyntheticConfig, synthetic_faces
from agns.training.recipe import RecognizerTraining
from agns.types import Pixels

CONFIG = RecognizerTraining(arch="of", epochs=2, batch=6)
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
