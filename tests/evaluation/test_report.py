"""Reports in one file: nothing fetched, nothing taken for markup."""

import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from agns.evaluation.report import Picture, Section, Table, write_report

NASTY = "<script>alert('1')</script> & \"quoted\""


class Page(HTMLParser):
    """Tags with their attributes, and the text between them, as a browser reads them."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.tags)


@pytest.fixture
def pictures(tmp_path: Path) -> list[Picture]:
    contents = {"a.png": b"png bytes", "b.JPG": b"jpeg bytes", "c.gif": b"gif bytes"}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    return [Picture(path=tmp_path / name, caption=f"{NASTY} {name}") for name in contents]


@pytest.fixture
def page(tmp_path: Path, pictures: list[Picture]) -> Page:
    section = Section(
        title=f"{NASTY} title",
        words=[f"{NASTY} words"],
        warnings=[f"{NASTY} warning"],
        table=Table(head=("", f"{NASTY} head"), rows=[("row", f"{NASTY} cell"), ("next", "3")]),
        pictures=pictures,
        fine_print=f"{NASTY} fine print",
    )
    write_report(tmp_path / "report.html", f"{NASTY} heading", [section, Section(title="empty")])
    return Page(tmp_path / "report.html")


def test_nothing_is_fetched_from_elsewhere(page: Page, tmp_path: Path) -> None:
    assert not re.search(
        r"https?:|file:|//|@import|url\(", re.sub(r"base64,[^\"]*", "", page.source)
    )
    assert str(tmp_path) not in page.source
    assert not {"script", "link", "iframe", "object"} & {name for name, _ in page.tags}
    for _, attributes in page.tags:
        for name in ("src", "href", "srcset"):
            assert (attributes.get(name) or "data:").startswith("data:")


def test_pictures_are_embedded_as_what_they_are(page: Page) -> None:
    images = [attributes["src"] or "" for name, attributes in page.tags if name == "img"]
    kinds = [source.partition(";")[0] for source in images]
    assert kinds == ["data:image/png", "data:image/jpeg", "data:image/gif"]
    contents = [base64.b64decode(source.partition("base64,")[2]) for source in images]
    assert contents == [b"png bytes", b"jpeg bytes", b"gif bytes"]


@pytest.mark.parametrize(
    "place", ["heading", "title", "words", "warning", "head", "cell", "a.png", "fine print"]
)
def test_text_is_shown_as_it_is(page: Page, place: str) -> None:
    assert f"{NASTY} {place}" in page.texts


def test_a_picture_says_what_it_shows_where_it_cannot_be_seen(
    page: Page, pictures: list[Picture]
) -> None:
    shown = [attributes["alt"] for name, attributes in page.tags if name == "img"]
    assert shown == [picture.caption for picture in pictures]


def test_what_is_empty_is_left_out(page: Page) -> None:
    assert page.count("h2") == 2
    assert page.count("table") == page.count("pre") == 1
    assert page.count("p") == 2


def test_a_table_has_every_cell(page: Page) -> None:
    assert (page.count("th"), page.count("td"), page.count("tr")) == (2, 4, 3)


def test_a_report_replaces_the_one_before_it(tmp_path: Path) -> None:
    for title in ("first", "second"):
        write_report(tmp_path / "report.html", title, [])
    page = Page(tmp_path / "report.html")
    assert "second" in page.texts
    assert "first" not in page.texts
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
