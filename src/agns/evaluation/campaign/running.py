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

from agns.data.faces import FaceSet
from agns.data.twins import were_seen
from agns.errors import AgnsError
from agns.evaluation.attack_setup import AttackSetup
from agns.evaluation.attack_spec import AttackSpec
from agns.evaluation.campaign.cells import UNIVERSAL, Cell
from agns.evaluation.campaign.ledger import Ledger
from agns.evaluation.campaign.plan import Plan, PlanVictim
from agns.evaluation.campaign.rows import Standing
from agns.evaluation.prepared_attack import prepare
from agns.evaluation.sanity import examine
from agns.evaluation.universal import run_universal
from agns.models.victim import class_of
from agns.storage import read_json
from agns.types import Progress, silent

Watch: TypeAlias = Callable[[Cell], AbstractContextManager[Progress]]
"""Opens what is told of every step of a cell's attack."""

Opened: TypeAlias = tuple[AttackSetup, Callable[[str], FaceSet]]
"""A victim with all that an attack on it needs, and a subject's photos by the subject's name; by no
name, `""`, those of everybody whom the victim knows."""


def work_through(
    plan: Plan,
    ledger: Ledger,
    out: Path,
    open_victim: Callable[[PlanVictim], Opened],
    *,
    watch: Watch = lambda _: nullcontext(silent),
    tell: Callable[[Cell, Standing], None] = lambda *_: None,
) -> None:
    """Claim and run cells until none is open.

    A cell's artefacts go to `out/cells/KEY`. One that cannot be run is entered as failed with the
    reason; a victim that does not open ends the run. Ctrl-C gives the cell in work back. The
    figures do not depend on what ran before, or where.

    Args:
        plan: What the ledger was begun with.
        ledger: Says what is left.
        out: The campaign's directory.
        open_victim: Loads what a victim needs; called when the victim changes.
        watch: Opens what is told of every step of a cell's attack.
        tell: Called after each cell.
    """
    victims = {victim.name: victim for victim in plan.recognizers}
    name, opened = "", None
    while (cell := ledger.claim()) is not None:
        started = time.perf_counter()
        try:
            # That a victim does not open is no failure of one cell, but of all of them.
            if opened is None or cell.recognizer != name:
                name, opened = cell.recognizer, open_victim(victims[cell.recognizer])
            try:
                result = run_cell(plan, cell, opened, out / "cells", watch)
            except AgnsError as error:
                with ledger.at_once():
                    ledger.fail(cell, str(error), seconds=time.perf_counter() - started)
            else:
                seconds = time.perf_counter() - started
                with ledger.at_once():
                    ledger.finish(cell, result, seconds=seconds, peak_memory_mb=peak_memory_mb())
        except BaseException:
            ledger.release(cell)
            raise
        tell(cell, ledger.standing())


def examine_victim(opened: Opened, subjects: Sequence[str]) -> list[str]:
    """Examine a victim on photos of subjects that it was not trained on, four of each at most.

    Args:
        opened: The victim.
        subjects: Whom to take; the first ten count.

    Returns:
        See `agns.evaluation.sanity.examine`.
    """
    setup, photos_of = opened
    faces, labels = [], []
    for subject in subjects[:10]:
        try:
            own = photos_of(subject)
        except AgnsError:
            # Its attacks will say why they cannot be made.
            continue
        own = own.of(subject)
        fresh = (~were_seen(own, setup.photos_seen)).nonzero()[:, 0]
        faces.append(own.faces(fresh[:4]))
        labels += [class_of(setup.recognizer, subject)] * len(fresh[:4])
    if not labels:
        return ["of the first subjects no photo is left that it was not trained on: not examined"]
    return examine(setup.recognizer, torch.cat(faces), torch.tensor(labels))


def run_cell(
    plan: Plan, cell: Cell, opened: Opened, folder: Path, watch: Watch
) -> dict[str, object]:
    """Run a cell, unless a run that was killed has left its result.

    Args:
        plan: The attacks' settings, and how much of everything.
        cell: Goal, subject, attack and seed.
        opened: The victim.
        folder: Takes the artefacts, in a folder named by the cell's key; what is in that without a
            result goes.
        watch: Opens what is told of every step.

    Returns:
        What `result.json` says.

    Raises:
        AgnsError: It could not be run.
        KeyboardInterrupt: The attack was broken off.
    """
    own = folder / cell.key
    if not (own / "result.json").is_file():
        shutil.rmtree(own, ignore_errors=True)
        run = _run_universal if cell.goal == UNIVERSAL else _run_attack
        run(plan, cell, opened, own, watch)
    return read_json(own / "result.json")


def _run_attack(plan: Plan, cell: Cell, opened: Opened, out: Path, watch: Watch) -> None:
    setup, photos_of = opened
    method = next(one.method for one in plan.attacks if one.name == cell.attack)
    experiment = AttackSpec(
        goal="dodge" if cell.target is None else "impersonate",
        subject=cell.subject,
        target=cell.target,
        craft=plan.craft,
        control_frames=plan.control_frames,
        seed=cell.seed,
    )
    photos = photos_of(cell.subject)
    prepared = prepare(setup, photos, experiment, method)
    # Photos are read with a bar of their own.
    with watch(cell) as progress:
        result = prepared.run(progress)
    if result.stopped_because == "interrupted":
        raise KeyboardInterrupt
    prepared.score(result).save(out)


def _run_universal(plan: Plan, cell: Cell, opened: Opened, out: Path, watch: Watch) -> None:
    crowd = next(one for one in plan.universal if one.name == cell.attack)
    setup, photos_of = opened
    everybody = photos_of("")
    with watch(cell) as progress:
        run_universal(
            setup, everybody, replace(crowd.experiment, seed=cell.seed),
            crowd.method, out, whole=True,
            progress=progress, scoring=progress,
        )  # fmt: skip


def peak_memory_mb() -> float:
    """The most memory that this process has held so far; 0 where the system does not say."""
    try:
        import resource
    except ImportError:
        return 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # macOS counts bytes, Linux kilobytes.
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
