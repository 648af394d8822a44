"""A studio that listens, with drawn faces, and pages of a real browser that look at it."""

import contextlib
import io
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests.campaign.conftest import attack_score, make_job

from agns.campaign.ledger import Ledger
from agns.data.simulation.drawn_frames import draw_frames
from agns.data.simulation.synthetic import SyntheticConfig, write_synthetic_folder
from agns.images import from_pixels, write_image

SCREENSHOTS = "AGNS_SCREENSHOTS"
"""Environment variable that names a folder for the documentation's pictures."""

PATIENCE = 300_000
"""Milliseconds that a page may take: other tests may take the machine meanwhile."""


@dataclass(frozen=True)
class Studio:
    """A server that runs."""

    address: str
    runs: Path
    passing: Path
    """Where it keeps what passes through it."""


@dataclass
class Visit:
    """A page in a browser of its own, and what it asked of other machines."""

    page: Any
    outside: list[str]

    def open(self, tab: str) -> None:
        """Turn to a tab."""
        self.page.get_by_role("tab", name=tab).locator("visible=true").first.click()

    def see(self, words: str, within: str = "body") -> None:
        """Wait until some words can be read."""
        self.page.locator(within).get_by_text(words).first.wait_for()

    def press(self, button: str, words: str) -> None:
        """Press a button until some words can be read.

        A tab that was just turned to is drawn anew, and may lose what is pressed meanwhile.
        """
        for _ in range(4):
            self.page.get_by_role("button", name=button).click()
            read = self.page.get_by_text(words).first
            with contextlib.suppress(Exception):
                read.wait_for(timeout=60_000)
                return
        self.see(words)

    def pick(self, label: str, option: str) -> None:
        """Choose from a list."""
        self.page.get_by_label(label, exact=True).locator("visible=true").first.click()
        self.page.get_by_role("option", name=option).first.click()

    def upload(self, place: str, *files: Path) -> None:
        """Give files to an input, by its id."""
        self.page.locator(f"#{place} input[type=file]").set_input_files(list(files))


@pytest.fixture(scope="package")
def chromium() -> Iterator[Any]:
    pytest.importorskip("gradio", reason="Gradio is not installed (the extra studio)")
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("chromium is not installed")
    with playwright.sync_playwright() as opened:
        # As root, as in a container, chromium has no sandbox.
        yield opened.chromium.launch(executable_path=path, args=["--no-sandbox"])


@pytest.fixture(scope="package")
def studio(tmp_path_factory: pytest.TempPathFactory, chromium: Any) -> Iterator[Studio]:
    root = tmp_path_factory.mktemp("studio")
    write_synthetic_folder(root / "faces", SyntheticConfig(identities=2, photos=6, first_photo=80))
    for index, frame in enumerate(from_pixels(draw_frames(80))):
        write_image(root / "glasses" / f"{index:02d}.png", frame)
    for name, held in (("before", 0.2), ("after", 0.9)):
        enter_campaign(root / "runs" / name, held)
    (root / "passing").mkdir()
    with (root / "errors.txt").open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "agns", "studio", "--port", "0", "--faces", root / "faces",
             "--glasses", root / "glasses", "--runs", root / "runs"],
            stdout=subprocess.PIPE, stderr=errors, text=True,
            env={**os.environ, "TMPDIR": str(root / "passing"), "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
    assert process.stdout is not None
    told = process.stdout.readline()
    address = re.search(r"http://127\.0\.0\.1:\d+", told)
    assert address, told + (root / "errors.txt").read_text(encoding="utf-8")
    yield Studio(address[0], root / "runs", root / "passing")
    process.send_signal(signal.SIGINT)
    process.wait(timeout=60)
    process.stdout.close()
    assert "Traceback" not in (root / "errors.txt").read_text(encoding="utf-8")
    assert not list((root / "passing").glob("agns-*")), "what passed through it is gone"


def enter_campaign(out: Path, held: float) -> None:
    """A campaign of six attacks, whose photos nobody had."""
    out.mkdir(parents=True)
    jobs = [make_job(f"P{number}") for number in range(6)]
    ledger = Ledger(out / "campaign.sqlite")
    ledger.begin({"craft": 3, "attacks": [{"name": "agn", "method": {}}]}, jobs, {"agns": "0"})
    while (job := ledger.claim()) is not None:
        ledger.finish(job, attack_score(job.subject, held), seconds=1, peak_memory_mb=1)
    ledger.close()


@pytest.fixture
def visit(studio: Studio, chromium: Any) -> Iterator[Callable[..., Visit]]:
    """Opens the page in a browser of its own; nothing may be asked of another machine."""
    opened: list[tuple[Visit, Any]] = []

    def make(query: str = "", *, width: int = 1440, dark: bool = False) -> Visit:
        context = chromium.new_context(
            viewport={"width": width, "height": 900},
            color_scheme="dark" if dark else "light", accept_downloads=True,
        )  # fmt: skip
        context.set_default_timeout(PATIENCE)
        outside: list[str] = []

        def watch(route: Any) -> None:
            if route.request.url.startswith((studio.address, "data:", "blob:")):
                route.continue_()
            else:
                outside.append(route.request.url)
                route.abort()

        context.route("**/*", watch)
        made = Visit(context.new_page(), outside)
        made.page.goto(f"{studio.address}/{query}")
        opened.append((made, context))
        return made

    yield make
    for made, context in opened:
        assert made.outside == []
        context.close()


@pytest.fixture
def picture(tmp_path: Path) -> Callable[[Visit, str], None]:
    """Takes a screenshot, for the documentation where its folder is named."""
    folder = Path(os.environ.get(SCREENSHOTS, tmp_path))

    def take(visit: Visit, name: str) -> None:
        taken = visit.page.screenshot(full_page=True)
        with Image.open(io.BytesIO(taken)) as opened:
            top = opened.convert("RGB").crop((0, 0, opened.width, min(opened.height, 1440)))
        # Small files: two thirds of the size, and few colours.
        shown = top.resize(
            (round(top.width / 1.5), round(top.height / 1.5)), Image.Resampling.LANCZOS
        )
        few = shown.quantize(200, dither=Image.Dither.NONE)
        few.save(folder / f"studio-{name}.png", optimize=True)

    return take
