"""The page that people are given."""

import base64
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from agns.survey.page import write_page
from agns.survey.questions import Candidate, Survey, compose_survey


@pytest.fixture
def survey(candidates: list[Candidate]) -> Survey:
    return compose_survey(candidates, count=2, face=None, seed=0)


@pytest.fixture
def page(survey: Survey, tmp_path: Path) -> str:
    write_page(tmp_path / "page.html", survey)
    return (tmp_path / "page.html").read_text(encoding="utf-8")


def content(page: str) -> dict[str, object]:
    (found,) = re.findall(r'<script type="application/json" id="survey">(.*?)</script>', page)
    read: dict[str, object] = json.loads(found)
    return read


def test_the_page_shows_every_picture_under_its_random_name(page: str, survey: Survey) -> None:
    shown = content(page)
    assert shown == {
        "form": 1,
        "survey": survey.name,
        "frames": [
            {"frame": one.name, "picture": base64.b64encode(one.picture).decode()}
            for one in survey.questions
        ],
    }


def test_the_page_does_not_tell_what_any_frame_is(page: str, survey: Survey) -> None:
    # What is left is the same for every survey.
    rest = re.sub(r'id="survey">.*?</script>', "", page)
    for one in survey.questions:
        assert one.source not in page
        assert one.name not in rest
    for word in ("generated", "agn ", "attack", "kind", "source"):
        assert word not in rest.replace('"agns-survey-"', ""), word


class Tags(HTMLParser):
    """Every tag with its attributes, in order, and tags that are left open."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_fetches_and_sends_nothing(page: str) -> None:
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    (policy,) = [
        given["content"]
        for tag, given in tags.found
        if given.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy is not None
    assert policy.startswith("default-src 'none'; img-src data:;")
    for _, given in tags.found:
        for name in ("src", "href", "action"):
            assert (given.get(name) or "data:").startswith("data:")
    for word in ("fetch(", "XMLHttpRequest", "WebSocket", "sendBeacon", "http:", "https:", "//ww"):
        assert word not in page


def test_the_page_is_for_phones_keyboards_and_readers_and_for_light_and_dark(page: str) -> None:
    tags = Tags()
    tags.feed(page)
    named = {given["id"]: (tag, given) for tag, given in tags.found if given.get("id")}
    used = set(re.findall(r'at\("(\w+)"\)', page))
    assert used <= named.keys()
    assert all(named[one][0] == "button" for one in ("begin", "real", "algorithm", "back", "save"))
    assert named["place"][1]["aria-live"] == "polite"
    assert ("html", {"lang": "en"}) in tags.found
    viewport = {"name": "viewport", "content": "width=device-width, initial-scale=1"}
    assert ("meta", viewport) in tags.found
    assert "color-scheme: light dark" in page
    assert "{{" not in page


def test_a_worn_survey_says_so(candidates: list[Candidate], tmp_path: Path, page: str) -> None:
    import torch

    worn = compose_survey(candidates, count=1, face=torch.zeros(3, 224, 224), seed=0)
    write_page(tmp_path / "worn.html", worn)
    text = (tmp_path / "worn.html").read_text(encoding="utf-8")
    assert "eyeglass frames on a face" in text
    assert "eyeglass frames on a face" not in page
