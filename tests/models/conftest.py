"""A recogniser to share, and the folder that it was saved to."""

from pathlib import Path

import pytest
import torch

from agns.models.recognizer import Recognizer

NAMES = ("Ann", "Bob", "Cyd")
RECORD: dict[str, object] = {
    "recipe": {"arch": "of", "epochs": 2, "rate": 0.002},
    "source": "three friends",
    "scores": {"photos": 6, "accuracy": 0.75},
    "training_photos": ["0a1b", "2c3d"],
}


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    """One that differs from a plain recogniser wherever it can."""
    random = torch.Generator().manual_seed(0)
    made = Recognizer("of", NAMES, pooling="same", convention="tensorflow")
    for tensor in made.state_dict().values():
        if tensor.is_floating_point():
            tensor.uniform_(0.01, 0.1, generator=random)
    made.subtract(torch.rand(3, 1, 1, generator=random))
    made.record = RECORD
    return made.eval()


@pytest.fixture(scope="module")
def folder(recognizer: Recognizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("made") / "victim"
    recognizer.save_pretrained(path)
    return path
