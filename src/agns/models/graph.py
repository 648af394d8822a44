"""Boxes, arrows and frames in Graphviz's language, and pictures of them.

torchview, which draws networks too, shows every operation of resizing faces in place of a step,
and neither kernels nor parameters.
"""

import contextlib
import html
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

from agns.errors import ConfigError
from agns.writing import replacing, write_text

Row: TypeAlias = tuple[str, tuple[int, ...]]
"""A layer in words, and the shape of what it gives."""

PICTURES = (".svg", ".png", ".pdf")
HEAD = """\
digraph network {
  graph [fontname="Helvetica", labelloc=t, labeljust=l, nodesep=0.3, ranksep=0.3];
  node [shape=plain, fontname="Helvetica", fontsize=11];
  edge [color="#555555", arrowsize=0.7];"""
TABLE = '<table border="1" cellborder="0" cellspacing="0" cellpadding="3" bgcolor="{colour}">'
CAPTION = (
    '<tr><td align="left" colspan="2"><font point-size="9" color="#555555">{}</font></td></tr>'
)
ROW = '<tr><td align="left">{}</td><td align="right">{}</td></tr>'


class Drawing:
    """Collects boxes, arrows between them, and frames around them.

    Args:
        title: What stands above the picture.
    """

    def __init__(self, title: str) -> None:
        self.boxes, self.arrows = [f"  label=<{_escape(title)}>;"], list[str]()
        self.count, self.frames, self.depth = 0, 0, 1

    def source(self) -> str:
        """The whole in Graphviz's language."""
        return "\n".join([HEAD, *self.boxes, *self.arrows, "}"]) + "\n"

    def box(self, rows: Sequence[Row], *inputs: str, colour: str, caption: str = "") -> str:
        """Draw one box with a line for each layer, and arrows from others; it gives its name."""
        self.count += 1
        name = f"n{self.count}"
        cells = [CAPTION.format(_escape(caption))] if caption else []
        cells += [ROW.format(_escape(words), " × ".join(map(str, shape))) for words, shape in rows]
        table = TABLE.format(colour=colour) + "".join(cells) + "</table>"
        self.boxes.append("  " * self.depth + f"{name} [label=<{table}>];")
        # A box named within a frame would be drawn there: arrows stand outside of all frames.
        self.arrows += [f"  {source} -> {name};" for source in inputs]
        return name

    @contextlib.contextmanager
    def frame(self, title: str) -> Iterator[None]:
        """Draw a frame around the boxes drawn within; none without a title."""
        if not title:
            yield
            return
        self.frames += 1
        margin = "  " * self.depth
        self.boxes.append(f"{margin}subgraph cluster_{self.frames} {{")
        style = 'style=rounded; color="#999999"; fontsize=12;'
        self.boxes.append(f"{margin}  label=<{_escape(title)}>; {style}")
        self.depth += 1
        yield
        self.depth -= 1
        self.boxes.append(f"{margin}}}")


def _escape(text: str) -> str:
    """Text as Graphviz's labels take it; characters that no XML may hold go."""
    return html.escape("".join(letter for letter in text if letter.isprintable()))


def check_drawing(out: Path) -> None:
    """Complain early of a picture that cannot be drawn.

    Raises:
        ConfigError: The name ends in something else than .svg, .png, .pdf or .dot, or Graphviz,
            which all but .dot need, is not installed.
    """
    ending = out.suffix.lower()
    if ending not in (*PICTURES, ".dot"):
        raise ConfigError(f"a graph's name ends in {', '.join(PICTURES)} or .dot, got {out}")
    if ending != ".dot" and shutil.which("dot") is None:
        raise ConfigError(
            f"drawing {out} needs Graphviz's program dot, which is not installed: install it "
            "(`apt install graphviz` or `brew install graphviz`), or write the source alone, to "
            f"{out.with_suffix('.dot')}"
        )


def draw_graph(source: str, out: Path) -> None:
    """Have Graphviz draw a picture, or write its source where the name ends in .dot.

    Raises:
        ConfigError: As `check_drawing`, or Graphviz fails.
    """
    check_drawing(out)
    ending = out.suffix.lower()
    if ending == ".dot":
        write_text(out, source)
        return
    done = subprocess.run(
        ["dot", f"-T{ending[1:]}"], input=source.encode(), capture_output=True, check=False
    )
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").split("\n")[0] or "it gives no reason"
        raise ConfigError(f"Graphviz cannot draw {out}: {said}")
    with replacing(out) as temporary:
        temporary.write_bytes(done.stdout)
