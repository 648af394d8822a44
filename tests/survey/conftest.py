from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from agns.data.simulation.drawn_frames import draw_frames
from agns.images import from_pixels, write_image
from agns.storage import write_json
from agns.survey.answers import Key
from agns.survey.questions import Candidate
from agns.types import Frames


@pytest.fixture(scope="session")
def drawn() -> Frames:
    return from_pixels(draw_frames(12))


@pytest.fixture
def candidates(drawn: Frames) -> list[Candidate]:
    """Four frames of each of three kinds."""
    kinds = ["real"] * 4 + ["generated"] * 4 + ["agn"] * 4
    return [
        Candidate(image=frame.clone(), kind=kind, source=f"{kind} {place}")
        for place, (frame, kind) in enumerate(zip(drawn, kinds, strict=True))
    ]


@pytest.fixture
def key() -> Key:
    """Ten real frames, ten of AGN, two of CCS16."""
    kinds = {f"{place:05x}": "real" for place in range(10)}
    kinds |= {f"{place:05x}": "agn" for place in range(10, 20)}
    kinds |= {f"{place:05x}": "ccs16" for place in range(20, 22)}
    sources = {frame: f"frames/{frame}.png" for frame in kinds}
    return Key(survey="0123456789abcdef", worn=False, kinds=kinds, sources=sources)


@pytest.fixture
def save_answers(tmp_path: Path, key: Key) -> Callable[..., Path]:
    """Writes a file as the page does."""

    def save(number: int, said: dict[str, str], **others: object) -> Path:
        path = tmp_path / "answers" / f"{number}.json"
        rows = [{"frame": frame, "answer": answer} for frame, answer in said.items()]
        content = {"form": 1, "survey": key.survey, "participant": f"{number:016x}"}
        write_json(path, {**content, "answers": rows, **others})
        return path

    return save


@pytest.fixture
def attack_folder(tmp_path: Path) -> Callable[..., Path]:
    """Writes what surveys read of an attack."""

    def write(name: str, shade: float, **result: object) -> Path:
        out = tmp_path / name
        write_image(out / "frame.png", torch.full((3, 64, 176), shade))
        write_json(out / "result.json", {"goal": "dodge", **result})
        return out

    return write
