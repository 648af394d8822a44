"""A report: one HTML file with nothing fetched from elsewhere, or Markdown without pictures."""

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agns.writing import in_markdown, write_text

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
.text { text-align: left; } th:first-child, td:first-child { padding-left: 0; }
.warning { border-left: 4px solid var(--warn); padding-left: .8rem; }
.scroll { overflow-x: auto; }
pre { font-size: .8rem; overflow-x: auto; }
@media print { h2 { break-after: avoid; } figure, tr { break-inside: avoid; }
body { margin: 0; max-width: none; } .scroll { overflow: visible; }
table { font-size: 6.5pt; } th, td { padding: .1rem .25rem; } pre { white-space: pre-wrap; } }
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows of text under a head, for a terminal, for HTML and for Markdown."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    texts: int = 1
    """The first so many columns are aligned to the left, as words are, the others to the right."""

    def only(self, *names: str) -> "Table":
        """The columns of these heads."""
        places = [self.head.index(name) for name in names]
        rows = [[row[place] for place in places] for row in self.rows]
        return Table(head=names, rows=rows, texts=sum(place < self.texts for place in places))

    @property
    def marked_head(self) -> list[str]:
        """As `agns.cli.console.show` takes it: `>` stands before columns aligned to the right."""
        return [f"{'>' * (place >= self.texts)}{name}" for place, name in enumerate(self.head)]

    def as_markdown(self) -> str:
        """A table of Markdown, in which cells stay on their line whatever is in them."""
        rule = ["---" if place < self.texts else "---:" for place in range(len(self.head))]
        rows = [list(map(in_markdown, row)) for row in self.rows]
        return "".join(f"| {' | '.join(row)} |\n" for row in (self.head, rule, *rows))

    def as_html(self) -> str:
        """A table of HTML."""
        kinds = [' class="text"' * (place < self.texts) for place in range(len(self.head))]

        def line(tag: str, row: Sequence[str]) -> str:
            cells = (
                f"<{tag}{kind}>{html.escape(cell)}</{tag}>"
                for kind, cell in zip(kinds, row, strict=True)
            )
            return f"<tr>{''.join(cells)}</tr>"

        rows = "".join(line("td", row) for row in self.rows)
        return f'<div class="scroll"><table>{line("th", self.head)}{rows}</table></div>'


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


def as_markdown(sections: Sequence[Section]) -> str:
    """Sections without their pictures and their fine print; those of nothing else are left out."""
    parts = []
    for section in sections:
        words = [in_markdown(one) for one in section.words]
        listed = "\n".join(f"- {in_markdown(one)}" for one in section.warnings)
        table = "" if section.table is None else section.table.as_markdown().rstrip()
        found = [one for one in (*words, listed, table) if one]
        parts += [f"## {section.title}", *found] if found else []
    return "\n\n".join(parts) + "\n"


def _section(section: Section) -> list[str]:
    parts = [f"<h2>{html.escape(section.title)}</h2>"]
    parts += [f"<p>{html.escape(words)}</p>" for words in section.words]
    parts += [f'<p class="warning">{html.escape(words)}</p>' for words in section.warnings]
    if section.table is not None:
        parts.append(section.table.as_html())
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
