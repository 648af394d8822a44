"""`agns glasses`: a frame as a PDF, and the natural set of a folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agns.accessory.natural_set import NaturalSet
from agns.images import write_image

Run = Callable[..., Any]


def test_a_result_and_the_marked_frame_are_printed(agns: Run, shop: Path, tmp_path: Path) -> None:
    (tmp_path / "attack").mkdir()
    (tmp_path / "attack" / "frame.png").write_bytes((shop / "00.png").read_bytes())
    out = tmp_path / "x.pdf"
    for given in ((tmp_path / "attack",), ("--marks", "--paper", "letter")):
        done = agns("glasses", "print", *given, "--out", out)
        assert (done.code, done.err) == (0, "")
        assert out.read_bytes().startswith(b"%PDF")
        out.unlink()


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ((), "name a frame, or give --marks"),
        (("none.png",), "is no picture of a frame, nor a directory with a frame.png"),
        (("{face}",), "64x176"),
        (("{shop}",), "is no picture of a frame, nor a directory with a frame.png"),
        (("--marks", "--width", "190"), "must be from 60 to 168 mm wide, got 190"),
        (("--marks", "--palette", "none.txt"), "there is no palette none.txt"),
        (("--marks", "--out", "x.png"), "a sheet's name ends in .pdf, got x.png"),
    ],
)
def test_what_cannot_be_printed_is_refused_in_one_sentence(
    agns: Run, shop: Path, tmp_path: Path, portrait: Any, given: tuple[str, ...], sentence: str
) -> None:
    face = tmp_path / "face.png"
    write_image(face, portrait)
    words = [one.format(face=face, shop=shop) for one in given]
    done = agns("glasses", "print", "--out", tmp_path / "x.pdf", *words)
    assert done.code == 2
    assert sentence in done.complaint
    assert not (tmp_path / "x.pdf").exists()


def test_a_natural_set_is_fitted_to_a_folder(agns: Run, shop: Path, tmp_path: Path) -> None:
    out = tmp_path / "natural.safetensors"
    done = agns("glasses", "fit", "--glasses", shop, "--directions", 2, "--out", out)
    assert done.code == 0
    assert "Wrote 2 directions of" in done.out
    assert len(NaturalSet.read(out).deviations) == 2


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (("--out", "natural.png"), "a natural set's name ends in .safetensors, got natural.png"),
        (("--directions", "500"), "500 directions need more real frames than"),
    ],
)
def test_a_natural_set_that_cannot_be_fitted_is_refused_in_one_sentence(
    agns: Run, shop: Path, tmp_path: Path, given: tuple[str, ...], sentence: str
) -> None:
    out = tmp_path / "natural.safetensors"
    done = agns("glasses", "fit", "--glasses", shop, "--out", out, *given)
    assert done.code == 2
    assert sentence in done.complaint
    assert not out.exists()
