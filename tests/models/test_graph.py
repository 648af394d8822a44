"""Graphs of networks: what stands in the boxes, how they hang together, and who draws them."""

import html
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch

from agns.errors import ConfigError
from agns.models.backbone import Backbone
from agns.models.checkpoint import Stored
from agns.models.dcgan import Discriminator, Generator
from agns.models.diagram import graph_source
from agns.models.graph import Drawing, check_drawing, draw_graph
from agns.models.layers import Inception, Pooling
from agns.models.recognizer import Recognizer

KINDS = ("recognizer", "openface", "vgg16", "generator", "discriminator")
DRAWN = Drawing("a title").source()


@dataclass(frozen=True)
class Box:
    """One node of a graph."""

    caption: str
    rows: list[tuple[str, str]]
    frame: str | None


@dataclass(frozen=True)
class Graph:
    """Graphviz source, read back line by line."""

    boxes: dict[str, Box]
    arrows: list[tuple[str, str]]

    def into(self, name: str) -> list[str]:
        return [start for start, end in self.arrows if end == name]

    def out_of(self, name: str) -> list[str]:
        return [end for start, end in self.arrows if start == name]

    def saying(self, words: str) -> list[str]:
        """The boxes with such a line."""
        return [name for name, box in self.boxes.items() if words in dict(box.rows)]


def read(source: str) -> Graph:
    lines = source.splitlines()
    assert (lines[0], lines[-1]) == ("digraph network {", "}")
    boxes: dict[str, Box] = {}
    arrows: list[tuple[str, str]] = []
    frames: list[str] = []
    for line in map(str.strip, lines[1:-1]):
        if line.startswith("subgraph"):
            frames.append("")
        elif line == "}":
            frames.pop()
        elif frames and (title := re.match(r"label=<(.*)>; style", line)):
            frames[-1] = html.unescape(title[1])
        elif arrow := re.fullmatch(r"(n\d+) -> (n\d+);", line):
            assert not frames
            arrows.append((arrow[1], arrow[2]))
        elif box := re.fullmatch(r"(n\d+) \[label=<(<table.*</table>)>\];", line):
            rows = [
                ["".join(cell.itertext()) for cell in row] for row in ElementTree.fromstring(box[2])
            ]
            caption = rows.pop(0)[0] if len(rows[0]) == 1 else ""
            assert box[1] not in boxes
            boxes[box[1]] = Box(
                caption, [(row[0], row[1]) for row in rows], frames[-1] if frames else None
            )
    assert not frames
    return Graph(boxes, arrows)


def build(kind: str, pooling: Pooling = "strided") -> Stored:
    if kind == "recognizer":
        return Recognizer("of", ("Ann", "Bob", "Cyd"), pooling=pooling).eval()
    if kind == "openface":
        return Backbone("of").eval()
    return Generator().eval() if kind == "generator" else Discriminator().eval()


def graph_of(kind: str) -> tuple[Stored, Graph]:
    if kind == "vgg16":
        # Its 134 million parameters are not needed for shapes.
        with torch.device("meta"):
            network = Backbone("vgg").eval()
            return network, read(graph_source(network, kind))
    built = build(kind)
    return built, read(graph_source(built, kind))


@pytest.mark.parametrize("kind", KINDS)
def test_every_box_lies_on_the_way_from_one_input_to_one_output(kind: str) -> None:
    _, graph = graph_of(kind)
    assert [name for name in graph.boxes if not graph.into(name)] == ["n1"]
    last = f"n{len(graph.boxes)}"
    assert [name for name in graph.boxes if not graph.out_of(name)] == [last]
    for start, end in graph.arrows:
        assert int(start[1:]) < int(end[1:])


@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_stands_in_one_box_under_its_name(kind: str) -> None:
    network, graph = graph_of(kind)
    captions = [box.caption for box in graph.boxes.values() if "parameters" in box.caption]
    counted = {caption.split(",")[0]: caption.split(" ")[1] for caption in captions}
    assert len(counted) == len(captions)
    total = sum(parameter.numel() for parameter in network.parameters())
    assert sum(int(count.replace(",", "")) for count in counted.values()) == total
    for name in counted:
        assert isinstance(network.get_submodule(name).weight, torch.Tensor)


def test_an_inception_module_is_a_frame_with_its_branches_side_by_side() -> None:
    network, graph = graph_of("recognizer")
    inceptions = [name for name, part in network.named_modules() if isinstance(part, Inception)]
    joins = graph.saying("channels joined")
    branches = [len(graph.into(join)) for join in joins]
    assert branches == [4, 4, 3, 4, 3, 3, 3]
    frames = [graph.boxes[join].frame for join in joins]
    assert frames == [f"{name}: inception" for name in inceptions]
    for join, before in zip(joins[1:], joins, strict=False):
        assert len(graph.out_of(before)) == len(graph.into(join))


def test_the_shapes_are_those_of_the_papers_table() -> None:
    # Amos et al. 2016, table 4
    _, graph = graph_of("openface")
    shapes = [graph.boxes[join].rows[0][1] for join in graph.saying("channels joined")]
    assert shapes == [
        "256 × 12 × 12", "320 × 12 × 12", "640 × 6 × 6", "640 × 6 × 6", "1024 × 3 × 3",
        "736 × 3 × 3", "736 × 3 × 3",
    ]  # fmt: skip
    first = next(box for box in graph.boxes.values() if box.caption)
    assert first == Box(
        "backbone.stem.0.0, 9,600 parameters",
        [
            ("convolution 7x7, stride 2", "64 × 48 × 48"),
            ("batch norm", "64 × 48 × 48"),
            ("ReLU", "64 × 48 × 48"),
        ],
        "backbone: OpenFace's nn4.small2, convention torch",
    )


def test_a_recogniser_says_what_it_does_to_faces() -> None:
    network = build("recognizer")
    assert isinstance(network, Recognizer)
    network.subtract(torch.zeros(3, 1, 1))
    graph = read(graph_source(network, "victim"))
    assert graph.boxes["n1"].rows == [("RGB faces in [0, 1]", "3 × 224 × 224")]
    assert [words for words, _ in graph.boxes["n2"].rows] == [
        "resized to 96x96", "brought to [-1, 1]", "less the average face"
    ]  # fmt: skip
    assert graph.boxes[f"n{len(graph.boxes)}"].rows == [("logits of 3 identities", "3")]


def test_only_strided_pooling_is_padded_back() -> None:
    strided = read(graph_source(build("recognizer"), ""))
    same = read(graph_source(build("recognizer", "same"), ""))
    assert len(strided.saying("padded with zeros")) == 7
    assert same.saying("padded with zeros") == []


def test_minibatch_discrimination_goes_beside_the_features() -> None:
    _, graph = graph_of("discriminator")
    (joined,) = graph.saying("features and closeness")
    assert len(graph.into(joined)) == 2
    assert graph.boxes[joined].rows == [("features and closeness", "7200")]


def test_text_cannot_break_out_of_a_label() -> None:
    drawing = Drawing('<b>"]; evil & \x1b[31m')
    drawing.box([("<i>\x00</table>", (1, 2))], colour="#ffffff", caption="a>b")
    source = drawing.source()
    assert "label=<&lt;b&gt;&quot;]; evil &amp; [31m>;" in source
    assert read(source).boxes == {"n1": Box("a>b", [("<i></table>", "1 × 2")], None)}


def test_a_name_in_dot_gets_the_source(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", "")
    draw_graph(DRAWN, tmp_path / "deep" / "net.dot")
    assert (tmp_path / "deep" / "net.dot").read_text(encoding="utf-8") == DRAWN


@pytest.mark.parametrize("ending", ["svg", "png", "pdf", "SVG"])
def test_without_graphviz_a_picture_is_refused_with_a_hint(
    ending: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigError, match=r"dot, which is not installed: .*apt.*net\.dot$"):
        check_drawing(tmp_path / f"net.{ending}")


@pytest.mark.parametrize("name", ["net", "net.jpg", "net.safetensors"])
def test_other_endings_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"ends in \.svg, \.png, \.pdf or \.dot, got"):
        draw_graph(DRAWN, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def graphviz(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A program in place of Graphviz's, still to be written."""
    program = tmp_path / "bin" / "dot"
    program.parent.mkdir()
    program.touch(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    return program


def test_graphviz_is_given_the_source_and_the_kind(graphviz: Path, tmp_path: Path) -> None:
    graphviz.write_text('#!/bin/sh\necho "$@"\ncat\n')
    draw_graph(DRAWN, tmp_path / "net.SVG")
    assert (tmp_path / "net.SVG").read_text(encoding="utf-8") == f"-Tsvg\n{DRAWN}"


def test_what_graphviz_complains_of_is_one_sentence(graphviz: Path, tmp_path: Path) -> None:
    graphviz.write_text(
        "#!/bin/sh\necho 'Format: \"png\" not recognized' >&2\necho more >&2\nexit 1\n"
    )
    with pytest.raises(ConfigError, match=r'net\.png: Format: "png" not recognized$'):
        draw_graph(DRAWN, tmp_path / "net.png")
    assert not (tmp_path / "net.png").exists()


@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")
@pytest.mark.parametrize("kind", KINDS)
def test_graphviz_draws_every_box_and_arrow(kind: str, tmp_path: Path) -> None:
    with torch.device("meta" if kind == "vgg16" else "cpu"):
        network = Backbone("vgg").eval() if kind == "vgg16" else build(kind)
        source = graph_source(network, kind)
    draw_graph(source, tmp_path / "net.svg")
    drawn = ElementTree.parse(tmp_path / "net.svg").iter("{http://www.w3.org/2000/svg}g")
    classes = [group.get("class") for group in drawn]
    graph = read(source)
    assert classes.count("node") == len(graph.boxes)
    assert classes.count("edge") == len(graph.arrows)
