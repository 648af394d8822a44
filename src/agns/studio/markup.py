"""What the page shows, as HTML: pictures inside it, tables, sentences, curves."""

import base64
import html
import io
from collections.abc import Sequence

import torch

from agns.accessory.frame import frame_mask
from agns.images import to_picture
from agns.types import Image


def picture(
    image: Image, words: str, *, caption: str = "", scale: float = 1, over: str = ""
) -> str:
    """A picture inside the page.

    Args:
        image: In [0, 1].
        words: What a screen reader says of it.
        caption: What stands below it; may be HTML.
        scale: How large it is shown; 1 for its own pixels. Never wider than its column.
        over: SVG elements that lie over it, in its pixels.
    """
    packed = io.BytesIO()
    to_picture(image).save(packed, format="PNG", compress_level=1)
    address = f"data:image/png;base64,{base64.b64encode(packed.getvalue()).decode()}"
    height, width = image.shape[1:]
    drawn = (
        f'<svg viewBox="-0.5 -0.5 {width} {height}" aria-hidden="true">{over}</svg>' if over else ""
    )
    below = f"<figcaption>{caption}</figcaption>" if caption else ""
    return (
        f'<figure class="picture" style="width:{round(width * scale)}px"><span>'
        f'<img src="{address}" width="{width}" height="{height}" alt="{html.escape(words)}">'
        f"{drawn}</span>{below}</figure>"
    )


def frame(image: Image, words: str, *, caption: str = "", scale: float = 1.5) -> str:
    """A 64x176 frame on white; what lies off its silhouette is nothing, though it is black."""
    shown = torch.lerp(torch.ones_like(image), image, frame_mask())
    return picture(shown, words, caption=caption, scale=scale)


def escaped(text: str) -> str:
    """Text in HTML."""
    return html.escape(text)


def row(parts: Sequence[str], *, kind: str = "row") -> str:
    """Parts beside each other, as many as fit."""
    return f'<div class="{kind}">{"".join(parts)}</div>'


def words(*sentences: str) -> str:
    """Paragraphs."""
    return "".join(f"<p>{html.escape(one)}</p>" for one in sentences if one)


def heading(text: str) -> str:
    """A heading within a tab."""
    return f"<h2>{html.escape(text)}</h2>"


def warnings(sentences: Sequence[str]) -> str:
    """What weakens what stands beside it."""
    return "".join(f'<p class="warning">{html.escape(one)}</p>' for one in sentences)


def refusal(sentence: str) -> str:
    """What went wrong, said at once by screen readers."""
    told = sentence[:1].upper() + sentence[1:]
    end = "" if told.endswith((".", "?", "!")) else "."
    return f'<p class="refusal" role="alert">{html.escape(told)}{end}</p>'


def bars(choices: Sequence[tuple[str, float]], *, marked: str = "") -> str:
    """Probabilities in [0, 1] by name, as a list with bars; one name may be marked."""
    lines = []
    for name, value in choices:
        kind = ' class="marked"' if name == marked else ""
        shown = html.escape(name.replace("_", " "))
        lines.append(
            f"<li{kind}><span>{shown}</span><b>{value:.3f}</b>"
            f'<i style="--share:{100 * min(1, max(0, value)):.1f}%"></i></li>'
        )
    return f'<ol class="bars">{"".join(lines)}</ol>'


def command(text: str) -> str:
    """A command to copy; it can be scrolled by keyboard."""
    return f'<pre class="command" tabindex="0">{html.escape(text)}</pre>'


def curves(
    lines: Sequence[tuple[str, Sequence[tuple[float, float]]]],
    *,
    steps: int,
    stop: float | None,
    title: str,
) -> str:
    """Probabilities in [0, 1] over steps.

    Args:
        lines: Each with its name and its points, (step, probability).
        steps: At the right end.
        stop: Probability at which a dashed line is drawn.
        title: What a screen reader says of it.
    """
    wide, high, left, low = 560, 200, 34, 22

    def at(step: float, value: float) -> str:
        x = left + (wide - left - 6) * step / max(1, steps)
        return f"{x:.1f},{6 + (high - low - 6) * (1 - min(1, max(0, value))):.1f}"

    parts = []
    for value in (0, 0.5, 1):
        start, end = at(0, value), at(steps, value)
        x, y = start.split(",")
        parts.append(
            f'<polyline class="grid" points="{start} {end}"/>'
            f'<text x="{float(x) - 6}" y="{float(y) + 4}" text-anchor="end">{value:g}</text>'
        )
    parts.append(f'<text x="{left}" y="{high - 4}">0</text>')
    parts.append(f'<text x="{wide - 6}" y="{high - 4}" text-anchor="end">{steps} steps</text>')
    if stop is not None:
        parts.append(f'<polyline class="stop" points="{at(0, stop)} {at(steps, stop)}"/>')
    keys = []
    for number, (name, points) in enumerate(lines):
        drawn = " ".join(at(step, value) for step, value in points)
        parts.append(f'<polyline class="line{number}" points="{drawn}"/>')
        now = f" {points[-1][1]:.3f}" if points else ""
        keys.append(f'<span class="key{number}">{html.escape(name)}{now}</span>')
    if stop is not None:
        keys.append(f'<span class="keystop">stop value {stop:g}</span>')
    return (
        f'<figure class="curves"><svg viewBox="0 0 {wide} {high}" role="img" '
        f'aria-label="{html.escape(title)}">{"".join(parts)}</svg>'
        f"<figcaption>{''.join(keys)}</figcaption></figure>"
    )
