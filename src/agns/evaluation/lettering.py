r"""Names in any script on pictures: with the fonts of the machine, or else as code points.

Matplotlib's own font has Latin, Greek, Cyrillic, Arabic and a few more. What it lacks is taken from
the first installed font of `FALLBACKS` that has it. A character that none has is written as its
code point, such as \u738b, so that names stay apart; so is a byte of a file name that is no text,
which Matplotlib refuses.
"""

import functools
from collections.abc import Iterable

from matplotlib import font_manager, rcParams
from matplotlib.figure import Figure
from matplotlib.text import Text

FALLBACKS = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "Noto Sans JP", "Noto Sans KR",
    "Source Han Sans SC", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "Droid Sans Fallback",
    "Microsoft YaHei", "Yu Gothic", "Malgun Gothic", "PingFang SC", "Hiragino Sans",
    "Apple SD Gothic Neo", "Arial Unicode MS", "Noto Sans", "Noto Sans Devanagari",
    "Noto Sans Bengali", "Noto Sans Tamil", "Noto Sans Thai", "Noto Sans Ethiopic", "Nirmala UI",
    "Leelawadee UI", "Noto Emoji", "Segoe UI Emoji",
)  # fmt: skip
"""Fonts that are tried, in their order."""


def legible(words: str) -> str:
    """The same words, with the code points of characters that no font here has in their place."""
    lacking = _lacking(words, _families(words))
    return "".join(_code_point(letter) if letter in lacking else letter for letter in words)


def letter(figure: Figure) -> None:
    """Give a figure's words the fonts that they need, and code points where there are none."""
    texts = [text for text in figure.findobj(Text) if isinstance(text, Text)]
    families = _families("".join(text.get_text() for text in texts))
    for text in texts:
        text.set_text(legible(text.get_text()))
        if families:
            text.set_fontfamily([*rcParams["font.family"], *families])


def _code_point(letter: str) -> str:
    return f"\\u{ord(letter):04x}"


def _lacking(words: str, families: Iterable[str]) -> set[str]:
    """The characters that neither Matplotlib's own font nor these have."""
    # A new line is no glyph; letters of ASCII all fonts have.
    lacking = {letter for letter in words if letter != "\n" and not " " <= letter <= "~"}
    for family in (None, *families):
        if lacking:
            lacking = {letter for letter in lacking if ord(letter) not in _letters(family)}
    return lacking


def _families(words: str) -> tuple[str, ...]:
    """The installed fonts that have what Matplotlib's own font lacks."""
    lacking = _lacking(words, ())
    chosen = []
    for family in FALLBACKS:
        if lacking and family in _installed():
            left = {letter for letter in lacking if ord(letter) not in _letters(family)}
            if left < lacking:
                chosen.append(family)
                lacking = left
    return tuple(chosen)


@functools.cache
def _installed() -> frozenset[str]:
    return frozenset(font.name for font in font_manager.fontManager.ttflist)


@functools.cache
def _letters(family: str | None) -> frozenset[int]:
    """The code points that a font has; of the usual one, if none is named."""
    chosen = font_manager.FontProperties(family=family)
    charmap = font_manager.get_font(font_manager.findfont(chosen)).get_charmap()
    # Fonts of last resort have pictures for surrogates too, which are no characters.
    return frozenset(charmap).difference(range(0xD800, 0xE000))
