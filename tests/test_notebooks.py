"""The notebooks under docs are run as a reader runs them, and show what they are to show.

Where `AGNS_NOTEBOOKS` names a folder, they are kept there as they were run: so those under docs are
made anew.
"""

import os
import re
import sys
from pathlib import Path

import pytest

EXTRA = "{} is not installed, which the extra notebooks brings"
nbclient = pytest.importorskip("nbclient", reason=EXTRA.format("nbclient"))
pytest.importorskip("ipykernel", reason=EXTRA.format("ipykernel"))
nbformat = pytest.importorskip("nbformat", reason=EXTRA.format("nbformat"))

NOTEBOOKS = Path(__file__).parents[1] / "docs" / "notebooks"
LARGEST = 400_000
"""Bytes of a notebook with its pictures, at most."""

PATHS = re.compile(r"/(?:home|root|tmp|work|usr|opt|Users|var)/|[A-Z]:\\")
"""How paths of a machine begin."""

OTHERWISE = {"compare", "evaluate", "weaknesses"}
"""Cells whose sentences depend on figures that differ from machine to machine."""

names = pytest.mark.parametrize("name", ["attack", "campaign"])


def read(name: str) -> nbformat.NotebookNode:
    return nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)


def run(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> nbformat.NotebookNode:
    """Run a notebook in a folder; the first cell that fails ends it."""
    # Cells call agns as a command.
    bin_folder = str(Path(sys.executable).parent)
    monkeypatch.setenv("PATH", os.pathsep.join([bin_folder, os.environ.get("PATH", "")]))
    notebook = read(name)
    nbclient.NotebookClient(
        notebook,
        timeout=600,
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(folder)}},
    ).execute()
    # Python's version and the like would change with each machine.
    notebook.metadata.language_info = {"name": "python"}
    if place := os.environ.get("AGNS_NOTEBOOKS"):
        nbformat.write(notebook, Path(place) / f"{name}.ipynb")
    return notebook


def printed(notebook: nbformat.NotebookNode) -> dict[str, str]:
    """What each code cell printed, by the cell's id."""
    return {
        cell.id: "".join(one.text for one in cell.outputs if one.output_type == "stream")
        for cell in notebook.cells
        if cell.cell_type == "code"
    }


def pictures(notebook: nbformat.NotebookNode) -> list[str]:
    """The cells that show pictures, one entry a picture."""
    return [
        cell.id
        for cell in notebook.cells
        if cell.cell_type == "code"
        for one in cell.outputs
        if "image/jpeg" in one.get("data", {})
    ]


def form(text: str) -> list[str]:
    """Lines without their figures, nor the width of columns."""
    lines = re.sub(r"[-+]?\d+(?:\.\d+)?", "0", text).splitlines()
    return [" ".join(line.split()) for line in lines if line.strip()]


def percents(line: str) -> list[int]:
    return [int(one) for one in re.findall(r"(\d+)%", line)]


def check_alike(ran: nbformat.NotebookNode, stored: nbformat.NotebookNode) -> None:
    """The same pictures and, but for figures, the same words as in the file, if it is kept."""
    if "AGNS_NOTEBOOKS" in os.environ:
        return
    assert pictures(ran) == pictures(stored)
    now, before = printed(ran), printed(stored)
    for cell in now.keys() - OTHERWISE:
        assert form(now[cell]) == form(before[cell]), cell


@names
def test_a_stored_notebook_has_been_run_and_tells_nothing_of_the_machine(name: str) -> None:
    path, notebook = NOTEBOOKS / f"{name}.ipynb", read(name)
    nbformat.validate(notebook)
    assert path.stat().st_size < LARGEST
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert not [text for text in printed(notebook).values() if PATHS.search(text)]
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", cell.id) for cell in notebook.cells)


def test_the_attacks_notebook_finds_a_frame_that_works_on_photos_it_was_not_made_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = read("attack")
    ran = run("attack", tmp_path, monkeypatch)
    rows = {
        re.split(r"\s{2,}|(?<=untrained_generator)", line)[0]: percents(line)[0]
        for line in printed(ran)["evaluate"].splitlines()
        if line.startswith(("craft", "held out"))
    }
    assert rows["held out"] >= rows["held out, benign"] + 50
    assert rows["held out, no frame"] <= 20
    looks = [line for line in printed(ran)["compare"].splitlines() if " pass" in line]
    # The first passes narrowly or not, as rounding has it; the second, held to nothing, never.
    assert looks[0].startswith(("  passes for eyeglasses", "  does not pass: "))
    assert looks[1].startswith("  does not pass: ")
    check_alike(ran, stored)


def test_the_campaigns_notebook_tells_success_above_that_of_benign_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = read("campaign")
    ran = run("campaign", tmp_path, monkeypatch)
    gains = {
        line.split()[0]: percents(line)[:2] for line in printed(ran)["gain"].splitlines() if line
    }
    for attack in ("span", "pixels"):
        held_out, benign = gains[attack]
        assert held_out >= benign + 30
    assert "only 2 subjects" in printed(ran)["weaknesses"]
    assert "benign" in printed(ran)["judged"]
    check_alike(ran, stored)
