"""Working through a campaign's cells, in one process or in several on one ledger."""

import shutil
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TypeAlias

import torch

from agns.attack.methods import Method, seeded
from agns.data.faces import FaceSet
from agns.errors import AgnsError
from agns.evaluation.apparatus import Apparatus
from agns.evaluation.campaign.cells import Cell
from agns.evaluation.campaign.ledger import Ledger
from agns.evaluation.campaign.plan import Plan, Victim
from agns.evaluation.campaign.rows import Standing
from agns.evaluation.examination import examine
from agns.evaluation.experiment import Experiment, run_experiment
from agns.storage import read_json
from agns.types import Progress, silent

Opened: TypeAlias = tuple[Apparatus, Callable[[str], FaceSet]]
"""A victim with all that an attack on it needs, and a subject's photos by the subject's name."""


def work_through(
    plan: Plan,
    ledger: Ledger,
    out: Path,
    open_victim: Callable[[Victim], Opened],
    *,
    watch: Callable[[Cell], AbstractContextManager[Progress]] = lambda _: nullcontext(silent),
    tell: Callable[[Cell, Standing], None] = lambda *_: None,
) -> None:
    """Claim and run cells until none is open.

    Each cell's artefacts go to `out/cells/KEY`. A cell that cannot be run is entered as failed
    with the reason; a victim that does not open ends the run. Ctrl-C gives the cell in work back.
    The figures do not depend on what ran before, or where.

    Args:
        plan: What the ledger was begun with.
        ledger: Says what is left.
        out: The campaign's directory.
        open_victim: Loads what a victim needs; called when the victim changes.
        watch: Opens what is told of every step of a cell's attack.
        tell: Called after each cell.
    """
    victims = {victim.name: victim for victim in plan.recognizers}
    methods = {entry.name: entry.method for entry in plan.attacks}
    name, opened = "", None
    while (cell := ledger.claim()) is not None:
        started = time.perf_counter()
        try:
            if opened is None or cell.recognizer != name:
                name, opened = cell.recognizer, open_victim(victims[cell.recognizer])
        except BaseException:
            # That a victim does not open is no failure of one cell, but of all of them.
            ledger.release(cell)
            raise
        try:
            folder = out / "cells" / cell.key
            result = run_cell(plan, cell, methods[cell.attack], opened, folder, watch)
        except AgnsError as error:
            ledger.fail(cell, str(error), seconds=time.perf_counter() - started)
        except BaseException:
            ledger.release(cell)
            raise
        else:
            ledger.finish(
                cell, result,
                seconds=time.perf_counter() - started, peak_memory_mb=peak_memory_mb(),
            )  # fmt: skip
        tell(cell, ledger.standing())


def examine_victim(opened: Opened, subjects: Sequence[str]) -> list[str]:
    """Examine a victim on photos of subjects that it was not trained on, four of each at most.

    Args:
        opened: The victim.
        subjects: Whom to take; the first ten count.

    Returns:
        See `agns.evaluation.examination.examine`.
    """
    apparatus, photos_of = opened
    faces, labels = [], []
    for subject in subjects[:10]:
        try:
            own = photos_of(subject)
        except AgnsError:
            # Its attacks will say why they cannot be made.
            continue
        fresh = [
            place
            for place in own.of(subject).tolist()
            if own.digests[place] not in apparatus.photos_seen
        ]
        faces.append(own.faces(torch.tensor(fresh[:4], dtype=torch.int64)))
        labels += [apparatus.recognizer.index_of(subject)] * len(fresh[:4])
    if not labels:
        return ["of the first subjects no photo is left that it was not trained on: not examined"]
    return examine(apparatus.recognizer, torch.cat(faces), torch.tensor(labels))


def run_cell(
    plan: Plan,
    cell: Cell,
    method: Method,
    opened: Opened,
    folder: Path,
    watch: Callable[[Cell], AbstractContextManager[Progress]],
) -> dict[str, object]:
    """Run one cell, unless a run that was killed has left its result.

    Args:
        plan: How much of everything.
        cell: Goal, subject and seed.
        method: The attack's settings.
        opened: The victim.
        folder: Takes the artefacts; what is in it without a result goes.
        watch: Opens what is told of every step.

    Returns:
        What `result.json` in the folder says.

    Raises:
        AgnsError: The cell cannot be run.
        KeyboardInterrupt: The attack was broken off.
    """
    apparatus, photos_of = opened
    path = folder / "result.json"
    if not path.is_file():
        shutil.rmtree(folder, ignore_errors=True)
        experiment = Experiment(
            goal="dodge" if cell.target is None else "impersonate",
            subject=cell.subject,
            target=cell.target,
            craft=plan.craft,
            control_frames=plan.control_frames,
            seed=cell.seed,
        )
        photos, own = photos_of(cell.subject), seeded(method, cell.seed)
        with watch(cell) as progress:
            report = run_experiment(apparatus, photos, experiment, own, folder, progress=progress)
        if report.stopped_because == "interrupted":
            shutil.rmtree(folder, ignore_errors=True)
            raise KeyboardInterrupt
    return read_json(path)


def peak_memory_mb() -> float:
    """The most memory that this process has held so far; 0 where the system does not say."""
    try:
        import resource
    except ImportError:
        return 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # macOS counts bytes, Linux kilobytes.
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
