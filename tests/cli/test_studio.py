"""`agns studio`: what is refused before there is a page."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agns.cli import studio

Run = Callable[..., Any]


def test_without_gradio_one_sentence_says_how_to_install_it(
    agns: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(studio, "find_spec", lambda _: None)
    done = agns("studio")
    assert done.code == 2
    assert done.complaint == 'the studio needs Gradio: pip install "agns[studio]"'


def test_a_face_folder_that_is_not_there_is_refused(
    agns: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(studio, "find_spec", lambda _: "there")
    done = agns("studio", "--faces", tmp_path / "nowhere")
    assert done.code == 2
    assert done.complaint == f"there is no face folder {tmp_path / 'nowhere'}"
