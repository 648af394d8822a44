"""Working through a campaign's jobs, in one process or in several on one ledger."""

import shutil
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import torch

from agns.campaign.jobs import UNIVERSAL, Job
from agns.campaign.ledger import Ledger
from agns.campaign.plan import Plan, PlanVictim
from agns.campaign.records import Remaining, Result, read_result
from agns.data.faces import FaceSet
from agns.data.twins import were_seen
from agns.errors import AgnsError, AttackError
from agns.evaluation.attack_setup import AttackSetup
from agns.evaluation.attack_spec import AttackSpec
from agns.evaluation.prepared_attack import prepare
from agns.evaluation.sanity import examine
from agns.evaluation.universal import run_universal
from agns.models.black_box import count_anew
from agns.models.victim import class_of
from agns.storage import read_json
from agns.types import Progress, silent

Watch: TypeAlias = Callable[[Job], AbstractContextManager[Progress]]
"""Opens what is told of every step of a job's attack."""

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
    tell: Callable[[Job, Remaining], None] = lambda *_: None,
) -> None:
    """Claim and run jobs until none is open.

    A job's artefacts go to `out/cells/KEY`. One that cannot be run is entered as failed with the
    reason; a victim that does not open ends the run. Ctrl-C gives the job in work back. The
    numbers do not depend on what ran before, or where.

    Args:
        plan: What the ledger was begun with.
        ledger: Says what is left.
        out: The campaign's directory.
        open_victim: Loads what a victim needs; called when the victim changes.
        watch: Opens what is told of every step of a job's attack.
        tell: Called after each job.
    """
    victims = {victim.name: victim for victim in plan.recognizers}
    name, opened = "", None
    while (job := ledger.claim()) is not None:
        started = time.perf_counter()
        try:
            # That a victim does not open is no failure of one job, but of all of them.
            if opened is None or job.recognizer != name:
                name, opened = job.recognizer, open_victim(victims[job.recognizer])
            try:
                ended: Result | str = run_job(plan, job, opened, out, watch)
            except AgnsError as error:
                ended = str(error)
            seconds = time.perf_counter() - started
            with ledger.at_once():
                if isinstance(ended, str):
                    ledger.fail(job, ended, seconds=seconds)
                else:
                    ledger.finish(job, ended, seconds=seconds, peak_memory_mb=peak_memory_mb())
        except BaseException:
            ledger.release(job)
            raise
        tell(job, ledger.remaining())


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


def run_job(plan: Plan, job: Job, opened: Opened, out: Path, watch: Watch) -> Result:
    """Run a job, unless a run that was killed has left its result.

    Args:
        plan: The attacks' settings, and how much of everything.
        job: Goal, subject, attack and seed.
        opened: The victim.
        out: Takes the artefacts, in the job's own folder; what is in that without a result goes.
        watch: Opens what is told of every step.

    Raises:
        AgnsError: It could not be run.
        KeyboardInterrupt: The attack was broken off.
    """
    own = job.folder(out)
    if not (own / "result.json").is_file():
        shutil.rmtree(own, ignore_errors=True)
        run = _run_universal if job.goal == UNIVERSAL else _run_attack
        run(plan, job, opened, own, watch)
    return read_result(read_json(own / "result.json"), job)


def _run_attack(plan: Plan, job: Job, opened: Opened, out: Path, watch: Watch) -> None:
    setup, photos_of = opened
    method = next(one.method for one in plan.attacks if one.name == job.attack)
    spec = AttackSpec(
        goal="dodge" if job.target is None else "impersonate",
        subject=job.subject,
        target=job.target,
        craft=plan.craft,
        control_frames=plan.control_frames,
        seed=job.seed,
    )
    prepared = prepare(setup, photos_of(job.subject), spec, method)
    count_anew(setup.victim)
    # Photos are read with a bar of their own.
    with watch(job) as progress:
        result = prepared.run(progress)
    if result.stopped_because == "interrupted":
        raise KeyboardInterrupt
    if result.stopped_because == "lost the victim":
        raise AttackError(f"the victim failed after {result.iterations} iterations: {result.lost}")
    prepared.score(result).save(out)


def _run_universal(plan: Plan, job: Job, opened: Opened, out: Path, watch: Watch) -> None:
    attack = next(one for one in plan.universal if one.name == job.attack)
    setup, photos_of = opened
    everybody, spec = photos_of(""), replace(attack.experiment, seed=job.seed)
    with watch(job) as progress:
        run_universal(
            setup, everybody, spec, attack.method, out,
            whole=True, progress=progress, scoring=progress,
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
