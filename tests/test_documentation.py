"""README and the pages under docs, and the site that is built of them."""

import ast
import contextlib
import os
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path

import pytest
import typer.main
from typer.exceptions import Exit

import agns
from agns.cli.app import app
from agns.cli.settings_options import SettingsCommand

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [
    README,
    ROOT / "CHANGELOG.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "results").rglob("*.md")),
]
COMMAND = typer.main.get_command(app)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def prose(page: Path) -> str:
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def blocks(page: Path, *languages: str) -> list[str]:
    found = FENCE.findall(page.read_text(encoding="utf-8"))
    return [text for language, text in found if language in languages]


def anchors(page: Path) -> set[str]:
    """What a page's headings are linked by."""
    heads = re.findall(r"^#+ (.+?)(?: \{ #([\w-]+) \})?$", prose(page), re.MULTILINE)
    return {own or re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head, own in heads}


def test_readme_is_read_in_one_sitting() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 200


@pages
def test_relative_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if "://" in link:
            continue
        place, _, anchor = link.partition("#")
        target = (page.parent / place) if place else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pages
def test_no_place_was_left_to_be_filled(page: Path) -> None:
    assert not re.findall(r"^[A-Z][A-Z_]+$|\bTODO\b|\bTBD\b", prose(page), re.MULTILINE)


@pages
def test_python_that_is_shown_can_be_parsed(page: Path) -> None:
    for text in blocks(page, "python"):
        ast.parse(text)


def commands(page: Path) -> Iterator[str]:
    """The commands of `agns` that a page shows to be typed."""
    for text in blocks(page, "", "console", "bash"):
        for line in text.replace("\\\n", " ").splitlines():
            typed = line.strip().removeprefix("$ ").removeprefix("exec ")
            if typed.startswith("agns "):
                yield typed


@pages
def test_commands_that_are_shown_have_the_options_that_they_are_given(page: Path) -> None:
    for typed in commands(page):
        command = COMMAND
        words = shlex.split(typed, comments=True)[1:]
        while hasattr(command, "commands") and words:
            assert words[0] in command.commands, typed
            command = command.commands[words.pop(0)]
        if typed.startswith("agns attack "):
            assert words[0] in ("dodge", "impersonate"), typed
        # Options that are made of settings come when the command is asked for its help.
        if isinstance(command, SettingsCommand) and "own_attack:Colours" not in words:
            with contextlib.suppress(Exit):
                method = words[words.index("--method") :][:2] if "--method" in words else []
                command.make_context("agns", [*method, "--help"])
        known = {name for one in command.params for name in (*one.opts, *one.secondary_opts)}
        given = {word.split("=")[0] for word in words if word.startswith("--")}
        if "own_attack:Colours" in words:
            given.remove("--tries")
        assert given <= known | {"--help"}, typed


def test_the_page_of_results_is_what_the_pages_in_results_say_in_short() -> None:
    written = runpy.run_path(str(ROOT / "scripts" / "results-page"))["page"]()
    assert (ROOT / "docs" / "results.md").read_text(encoding="utf-8") == written


def test_the_reference_describes_what_may_be_relied_on() -> None:
    text = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    described = re.findall(r"^::: agns\.(\w+)$", text, re.MULTILINE)
    assert sorted(described) == sorted(set(agns.__all__) - {"__version__"})


def test_the_algorithm_names_code_that_there_is() -> None:
    text = re.sub(r"\s+", " ", prose(ROOT / "docs" / "algorithm.md"))
    mentions = re.findall(r"((?:`\w+`(?:, | and )?)+) in `([\w/]+\.py)`", text)
    assert len(mentions) > 10
    for names, place in mentions:
        tree = ast.parse((Path(agns.__file__).parent / place).read_text(encoding="utf-8"))
        defined = {one.name for one in tree.body if isinstance(one, ast.FunctionDef | ast.ClassDef)}
        assert set(re.findall(r"\w+", names)) - {"and"} <= defined, place


class Assets(HTMLParser):
    """What a page needs to be shown: not what it links to."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag != "a":
            self.found += [given.get(name) or "" for name in ("src", "srcset", "data", "poster")]
        if tag == "link" and given.get("rel") != "canonical":
            self.found.append(given.get("href") or "")


OUTSIDE = re.compile(r"^\s*(?:https?:)?//")


@pytest.mark.skipif(find_spec("mkdocs") is None, reason="the extra docs is not installed")
def test_the_site_is_built_strictly_and_needs_nothing_from_outside(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", tmp_path],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    built = sorted(tmp_path.rglob("*.html"))
    assert len(built) > 20
    for page in built:
        assets = Assets()
        assets.feed(page.read_text(encoding="utf-8"))
        assert not list(filter(OUTSIDE.match, assets.found)), page
    for sheet in tmp_path.rglob("*.css"):
        needed = re.findall(r"(?:url\(|@import)\s*[\"']?([^\"')]+)", sheet.read_text("utf-8"))
        assert not list(filter(OUTSIDE.match, needed)), sheet
    assert "<math" in (tmp_path / "algorithm.html").read_text(encoding="utf-8")
