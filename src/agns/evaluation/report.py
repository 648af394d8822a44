"""A report in one HTML file: words, tables and pictures, nothing fetched from elsewhere."""

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agns.writing import write_text

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --quiet: #777; --warn: #b3541e; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 68rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.7rem; } h2 { margin-top: 2.5rem; border-top: 1px solid var(--line);
padding-top: 1.2rem; font-size: 1.25rem; }
img { max-width: 100%; background: #fff; border-radius: 6px; }
figure { margin: 1rem 0; } figcaption { color: var(--quiet); font-size: .9rem; }
table { border-collapse: collapse; margin: 1rem 0; font-size: .9rem;
font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem; border-bottom: 1px solid var(--line); text-align: right; }
td { white-space: nowrap; } th { vertical-align: bottom; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
.warning { border-left: 4px solid var(--warn); padding-left: .8rem; }
.scroll { overflow-x: auto; }
pre { font-size: .8rem; overflow-x: auto; }
@media print { h2 { break-after: avoid; } figure, tr { break-inside: avoid; }
body { margin: 0; max-width: none; } .scroll { overflow: visible; }
table { font-size: 6.5pt; } th, td { padding: .1rem .25rem; } pre { white-space: pre-wrap; } }
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows of text under a head; the first column is to the left, the others to the right."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A PNG, JPEG or GIF file and what it shows."""

    path: Path
    caption: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One part of a report, in this order; whatever is empty is left out."""

    title: str
    words: Sequence[str] = ()
    warnings: Sequence[str] = ()
    table: Table | None = None
    pictures: Sequence[Picture] = ()
    fine_print: str = ""


def write_report(path: Path, title: str, sections: Sequence[Section]) -> None:
    """Write sections as one HTML file with its pictures inside."""
    body = "\n".join(part for section in sections for part in _section(section))
    write_text(
        path,
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{html.escape(title)}</h1>\n{body}\n</body>\n</html>\n",
    )


def _section(section: Section) -> list[str]:
    parts = [f"<h2>{html.escape(section.title)}</h2>"]
    parts += [f"<p>{html.escape(words)}</p>" for words in section.words]
    parts += [f'<p class="warning">{html.escape(words)}</p>' for words in section.warnings]
    if section.table is not None:
        head = "".join(f"<th>{html.escape(cell)}</th>" for cell in section.table.head)
        rows = "".join(
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
            for row in section.table.rows
        )
        parts.append(f'<div class="scroll"><table><tr>{head}</tr>{rows}</table></div>')
    for picture in section.pictures:
        caption = html.escape(picture.caption)
        parts.append(
            f'<figure><img src="{_embedded(picture.path)}" alt="{caption}">'
            f"<figcaption>{caption}</figcaption></figure>"
        )
    if section.fine_print:
        parts.append(f"<pre>{html.escape(section.fine_print)}</pre>")
    return parts


def _embedded(path: Path) -> str:
    kind = {".jpg": "jpeg", ".jpeg": "jpeg", ".gif": "gif"}.get(path.suffix.lower(), "png")
    return f"data:image/{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"
