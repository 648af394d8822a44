"""`agns campaign run --part`: which share of a plan, and in which ledger."""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from agns.campaign.jobs import Job
from agns.campaign.ledger import Ledger
from agns.campaign.parts import (
    LEDGER,
    Part,
    check_beside,
    part_of_array,
    read_ledgers,
    read_part,
    share_of,
)
from agns.campaign.plan import Plan, plan_as_json
from agns.campaign.runs import Run, at_work
from agns.cli.console import say
from agns.errors import ConfigError
from agns.storage import versions


def chosen_part(text: str | None, environment: Mapping[str, str] = os.environ) -> Part:
    """What was asked for, or falls to this task of a job array, which is told.

    Raises:
        ConfigError: It is no part.
    """
    if text is not None:
        return read_part(text)
    part = part_of_array(environment) or Part(number=1, of=1)
    if part.of > 1:
        say(f"This task of the job array runs {part}; --part 1/1 would run the whole plan")
    return part


@contextlib.contextmanager
def ledger_of(
    part: Part,
    plan: Plan,
    jobs: Sequence[Job],
    out: Path,
    *,
    retry_failed: bool,
    reopen: bool,
) -> Iterator[Ledger]:
    """A part's ledger, begun or gone on with, with all that is left for this run open.

    Args:
        part: Which; the one of one for the whole plan.
        plan: The plan.
        jobs: All of its jobs.
        out: The campaign's directory.
        retry_failed: Open what failed, too, here or in another ledger.
        reopen: Open what a run had in work of which nobody can tell whether it is gone.

    Raises:
        ConfigError: The directory is another campaign's, or another run is at work on it.
        DataError: A ledger there cannot be used.
    """
    own, alone, here = share_of(jobs, part), part.of > 1, Run.here()
    written = plan_as_json(plan)
    check_beside(part.ledger, read_ledgers(out, but=part.ledger), written, jobs)
    with (
        contextlib.closing(Ledger(out / part.ledger)) as ledger,
        # Others, which may begin now, find this run before they are asked for theirs.
        at_work(ledger.file, ledger.path, here, alone=alone, sure=reopen),
    ):
        others = read_ledgers(out, but=part.ledger)
        check_beside(part.ledger, others, written, jobs)
        for other in others:
            # Parts have no jobs in common.
            if not reopen and (not alone or other.path.name == LEDGER):
                for run in other.runs:
                    if run.may_go_on(here):
                        raise ConfigError(run.refusal(other.path))
        told = [one for other in others for one in other.records]
        ledger.begin(
            written, jobs, versions(), share=own if alone else None,
            beside={one.job.key for one in told if one.state != "elsewhere"},
        )  # fmt: skip
        ledger.reopen(failed=retry_failed, elsewhere=reopen or alone)
        last = ("done",) if retry_failed else ("done", "failed")
        ledger.settle(own, {one.job for one in told if one.state in last})
        for other in others:
            for name in other.weights.keys() - ledger.weights().keys():
                ledger.enter_victim(name, other.weights[name], other.warnings[name])
            known = ledger.photos()
            ledger.enter_photos(
                {key: rows for key, rows in other.photos.items() if key not in known}
            )
        yield ledger
