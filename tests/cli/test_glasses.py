"""`agns glasses print`: a frame as a PDF."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

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
