"""Working through a campaign's cells, in one process or in several on one ledger."""

import shutil
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import torch

from agns.attack.methods import Method, seeded
from agns.data.faces import FaceSet
from agns.data.twins import were_seen
from agns.errors import AgnsError
from agns.evaluation.apparatus import Apparatus
from agns.evaluation.campaign.cells import UNIVERSAL, Cell
from agns.evaluation.campaign.ledger import Ledger
from agns.evaluation.campaign.plan import Plan, Victim
from agns.evaluation.campaign.rows import Standing
from agns.evaluation.examination import examine
from agns.evaluation.experiment import Experiment
from agns.evaluation.trial import Trial, prepare
from agns.evaluation.trials import run_trials
from agns.evaluation.universal import run_universal
from agns.storage import read_json
from agns.types import Progress, silent

Watch: TypeAlias = Callable[[Sequence[Cell]], AbstractContextManager[Progress]]
"""Opens what is told of every step of the attacks of some cells."""

Opened: TypeAlias = tuple[Apparatus, Callable[[str], FaceSet]]
"""A victim with all that an attack on it needs, and a subject's photos by the subject's name; by no
name, `""`, those of everybody whom the victim knows."""


def work_through(
    plan: Plan,
    ledger: Ledger,
    out: Path,
    open_victim: Callable[[Victim], Opened],
    *,
    watch: Watch = lambda _: nullcontext(silent),
    tell: Callable[[Cell, Standing], None] = lambda *_: None,
) -> None:
    """Claim and run cells until none is open.

    As many cells are claimed at once as the plan runs together, and entered at once. Each one's
    artefacts go to `out/cells/KEY`. A cell that cannot be run is entered as failed
    with the reason; a victim that does not open ends the run. Ctrl-C gives the cells in work back.
    The figures do not depend on what ran before, or where.

    Args:
        plan: What the ledger was begun with.
        ledger: Says what is left.
        out: The campaign's directory.
        open_victim: Loads what a victim needs; called when the victim changes.
        watch: Opens what is told of every step of the attacks of some cells.
        tell: Called after each cell.
    """
    victims = {victim.name: victim for victim in plan.recognizers}
    name, opened = "", None
    while cells := ledger.claim(plan.together):
        started = time.perf_counter()
        first = cells[0]
        try:
            # That a victim does not open is no failure of one cell, but of all of them.
            if opened is None or first.recognizer != name:
                name, opened = first.recognizer, open_victim(victims[first.recognizer])
            ended = run_cells(plan, cells, opened, out / "cells", watch)
        except BaseException:
            with ledger.at_once():
                for cell in cells:
                    ledger.release(cell)
            raise
        seconds = (time.perf_counter() - started) / len(cells)
        with ledger.at_once():
            for cell, result in zip(cells, ended, strict=True):
                if isinstance(result, AgnsError):
                    ledger.fail(cell, str(result), seconds=seconds)
                else:
                    ledger.finish(cell, result, seconds=seconds, peak_memory_mb=peak_memory_mb())
        for cell in cells:
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
        own = own.subset(own.of(subject))
        fresh = (~were_seen(own, apparatus.photos_seen)).nonzero()[:, 0]
        faces.append(own.faces(fresh[:4]))
        labels += [apparatus.recognizer.index_of(subject)] * len(fresh[:4])
    if not labels:
        return ["of the first subjects no photo is left that it was not trained on: not examined"]
    return examine(apparatus.recognizer, torch.cat(faces), torch.tensor(labels))


def run_cells(
    plan: Plan, cells: Sequence[Cell], opened: Opened, folder: Path, watch: Watch
) -> list[dict[str, object] | AgnsError]:
    """Run cells side by side, unless a run that was killed has left the results of all of them.

    Args:
        plan: The attacks' settings, and how much of everything.
        cells: Goal, subject and seed; of one kind, and one alone if it is a universal attack.
        opened: The victim.
        folder: Takes the artefacts, each cell's in a folder named by its key; what is in that
            without a result goes.
        watch: Opens what is told of every step.

    Returns:
        For each cell what `result.json` in its folder says, or why it could not be run.

    Raises:
        KeyboardInterrupt: The attacks were broken off.
    """
    folders = [folder / cell.key for cell in cells]
    run = _run_universal if cells[0].goal == UNIVERSAL else _run_trials
    failed: dict[int, AgnsError] = {}
    if not all((own / "result.json").is_file() for own in folders):
        for own in folders:
            shutil.rmtree(own, ignore_errors=True)
        failed = run(plan, cells, opened, folders, watch)
    return [failed.get(place) or _result_in(own) for place, own in enumerate(folders)]


def _run_trials(
    plan: Plan, cells: Sequence[Cell], opened: Opened, folders: Sequence[Path], watch: Watch
) -> dict[int, AgnsError]:
    """Why cells could not be run, by their places."""
    method = next(one.method for one in plan.attacks if one.name == cells[0].attack)
    failed: dict[int, AgnsError] = {}
    trials: dict[int, Trial] = {}
    for place, (cell, own) in enumerate(zip(cells, folders, strict=True)):
        try:
            trials[place] = _prepare(plan, cell, method, opened, own)
        except AgnsError as error:
            failed[place] = error
    # Photos are read with a bar of their own.
    with watch(cells) as progress:
        ended = run_trials(list(trials.values()), progress)
    for place, report in zip(trials, ended, strict=True):
        if isinstance(report, AgnsError):
            failed[place] = report
    return failed


def _run_universal(
    plan: Plan, cells: Sequence[Cell], opened: Opened, folders: Sequence[Path], watch: Watch
) -> dict[int, AgnsError]:
    (cell,), (own,) = cells, folders
    crowd = next(one for one in plan.universal if one.name == cell.attack)
    apparatus, photos_of = opened
    try:
        everybody = photos_of("")
        with watch(cells) as progress:
            run_universal(
                apparatus, everybody, replace(crowd.experiment, seed=cell.seed),
                replace(crowd.method, seed=cell.seed), own, whole=True,
                progress=progress, scoring=progress,
            )  # fmt: skip
    except AgnsError as error:
        return {0: error}
    return {}


def _result_in(folder: Path) -> dict[str, object] | AgnsError:
    try:
        return read_json(folder / "result.json")
    except AgnsError as error:
        return error


def _prepare(plan: Plan, cell: Cell, method: Method, opened: Opened, out: Path) -> Trial:
    apparatus, photos_of = opened
    experiment = Experiment(
        goal="dodge" if cell.target is None else "impersonate",
        subject=cell.subject,
        target=cell.target,
        craft=plan.craft,
        control_frames=plan.control_frames,
        seed=cell.seed,
    )
    photos = photos_of(cell.subject)
    return prepare(apparatus, photos, experiment, seeded(method, cell.seed), out)


def peak_memory_mb() -> float:
    """The most memory that this process has held so far; 0 where the system does not say."""
    try:
        import resource
    except ImportError:
        return 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # macOS counts bytes, Linux kilobytes.
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
