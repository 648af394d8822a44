import warnings
from pathlib import Path

import pytest
import torch
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.text import Text

from agns.evaluation import lettering
from agns.evaluation.lettering import legible, letter
from agns.evaluation.plots import draw_confusion, save_figure


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without any of the fallbacks."""
    monkeypatch.setattr(lettering, "_installed", frozenset)


@pytest.mark.usefixtures("bare")
def test_characters_that_no_font_has_become_their_code_points() -> None:
    assert legible("José Иван\n王小\t") == "José Иван\n\\u738b\\u5c0f\\u0009"
    assert legible("\U0001fae0") == "\\u1fae0"


def test_bytes_that_are_no_text_are_drawn_as_escapes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class LastResort:
        def get_charmap(self) -> dict[int, int]:
            return dict.fromkeys(range(0x110000), 1)

    with monkeypatch.context() as patch:
        patch.setattr(font_manager, "get_font", lambda path: LastResort())
        lettering._letters.cache_clear()
        assert legible("caf\udce9") == "caf\\udce9"
    lettering._letters.cache_clear()
    figure = Figure(figsize=(2, 2))
    figure.suptitle("caf\udce9", parse_math=False)
    save_figure(figure, tmp_path / "a.png", dpi=30)
    assert (tmp_path / "a.png").is_file()


@pytest.mark.usefixtures("bare")
def test_names_in_any_script_are_drawn_without_a_warning(tmp_path: Path) -> None:
    figure = Figure(figsize=(2, 2))
    figure.suptitle("王")
    axis = figure.subplots()
    axis.plot([0, 1], label="이")
    axis.legend()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save_figure(figure, tmp_path / "a.png", dpi=30)
        draw_confusion(tmp_path / "b.png", torch.eye(2, dtype=torch.int64), ("王", "李"))
    assert (tmp_path / "b.png").is_file()


def test_an_installed_font_writes_what_the_usual_one_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    # Another font that comes with Matplotlib has letters that its usual one lacks.
    family = "STIXNonUnicode"
    has = set(font_manager.get_font(font_manager.findfont(family)).get_charmap())
    lacked = chr(min(has - lettering._letters(None)))
    monkeypatch.setattr(lettering, "FALLBACKS", (family,))
    figure = Figure()
    text = figure.text(0, 0, f"a{lacked}")
    letter(figure)
    assert isinstance(text, Text)
    assert text.get_text() == f"a{lacked}"
    assert text.get_fontfamily()[-1] == family
