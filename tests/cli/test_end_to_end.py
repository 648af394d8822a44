"""`agns end-to-end`: from raw photos to the recogniser, with a frame worn in them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from agns.images import write_image
from agns.storage import read_json, write_json

Run = Callable[..., Any]


@pytest.fixture
def aligned(agns: Run, portrait: torch.Tensor, dlib_model: Path, tmp_path: Path) -> Path:
    """A folder that `agns align` made of three photos, two of them with a face."""
    own = tmp_path / "raw" / "Synthetic_001"
    for number, photo in enumerate((portrait, portrait * 0.8, torch.zeros(3, 90, 80))):
        write_image(own / f"{number}.png", photo)
    done = agns(
        "align", tmp_path / "raw", tmp_path / "faces", "--finder", "dlib",
        "--landmarker", dlib_model, "--workers", 1,
    )  # fmt: skip
    assert done.code == 0, done.err
    return tmp_path / "faces"


@pytest.fixture
def result(tmp_path: Path) -> Path:
    out = tmp_path / "attack"
    write_image(out / "frame.png", torch.full((3, 64, 176), 0.3))
    held_out = ["Synthetic_001/0.png", "Synthetic_001/1.png"]
    report = {"goal": "dodge", "subject": "Synthetic_001", "target": None}
    write_json(out / "result.json", {**report, "photos": {"craft": [], "held_out": held_out}})
    return out


def test_photos_go_the_whole_way_and_the_numbers_are_written_drawn_and_told(
    agns: Run, result: Path, aligned: Path, weights: Any, shop: Path
) -> None:
    done = agns(
        "end-to-end", result, "--recognizer", weights.recognizer, "--faces", aligned,
        "--glasses", shop, "--benign-frames", 2,
    )  # fmt: skip
    assert done.code == 0, done.err
    rows = [line.split() for line in done.out.splitlines()[1:4]]
    assert [" ".join(row[:2]) for row in rows] == ["this frame", "benign frames", "no frame"]
    assert [row[2] for row in rows] == ["2", "2", "2"]
    told = read_json(result / "end_to_end.json")
    assert (told["finder"], told["without_face"], told["on_aligned_faces"]["images"]) == (
        "dlib", [], 2,
    )  # fmt: skip
    assert set(told["worn"]) == {
        "photos", "no_face", "success_rate", "interval", "success_of_found",
    }  # fmt: skip
    assert (result / "end_to_end.png").stat().st_size > 5000
    again = agns("end-to-end", result, "--faces", aligned)
    assert again.code == 2
    assert again.complaint.endswith("already holds end_to_end.json: move it away to measure anew")


def test_faces_that_were_not_aligned_by_agns_or_whose_photos_are_gone_are_refused(
    agns: Run, result: Path, aligned: Path, weights: Any, tmp_path: Path
) -> None:
    given = ("end-to-end", result, "--recognizer", weights.recognizer, "--faces", aligned)
    photo = tmp_path / "raw" / "Synthetic_001" / "1.png"
    write_image(photo, torch.zeros(3, 90, 80))
    done = agns(*given)
    assert (done.code, "gone or another photo by now" in done.complaint) == (2, True)
    photo.unlink()
    done = agns(*given)
    assert (done.code, "gone or another photo by now" in done.complaint) == (2, True)
    (aligned / "alignment.csv").unlink()
    done = agns(*given)
    assert (done.code, "align the photos with agns align" in done.complaint) == (2, True)
