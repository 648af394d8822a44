"""What `agns campaign run` does: examine victims, run what is open, score on other recognisers."""

import contextlib
import functools
import importlib
import math
import multiprocessing
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from agns.campaign.jobs import UNIVERSAL, Job
from agns.campaign.ledger import Ledger
from agns.campaign.parts import join_records, join_transfers, read_ledgers
from agns.campaign.plan import Plan, PlanVictim
from agns.campaign.records import Remaining
from agns.campaign.running import Opened, examine_victim, work_through
from agns.campaign.transfer import transfer_through
from agns.cli.console import accept_every_name, bar, prepare, say
from agns.cli.given import given
from agns.cli.loading import in_turn, open_for_campaign
from agns.data.workers import begin_quietly, interrupts_held_back
from agns.errors import ConfigError
from agns.loading import load_victim
from agns.models.description import SUFFIXES
from agns.models.sharing import locate_weights
from agns.object_reference import names_code
from agns.storage import file_digest


def examine(
    victim: PlanVictim,
    plan: Plan,
    ledger: Ledger,
    jobs: Sequence[Job],
    known: Sequence[str],
    device: str,
) -> None:
    """Look for signs that a victim's numbers cannot be trusted, once, and keep its digest."""
    if victim.file is None:
        weights = "shipped"
    elif names_code(victim.file):
        # What the user's own code makes, nobody can tell before it runs.
        weights = victim.file
    elif Path(victim.file).suffix in SUFFIXES:
        weights = str(load_victim(victim.file).metadata["digest"])
    else:
        weights = file_digest(locate_weights(Path(victim.file)))
    entered = ledger.weights().get(victim.name)
    if entered not in (None, weights):
        raise ConfigError(
            f"{victim.file} is not the recogniser any more that {ledger.path.parent} was begun "
            "with: name another directory"
        )
    if entered is None:
        own = [job for job in jobs if job.recognizer == victim.name and job.goal != UNIVERSAL]
        subjects = list(dict.fromkeys(job.subject for job in own))
        with bar(f"Examining {victim.name}") as progress:
            opened = open_for_campaign(victim, plan, device)
            warnings = examine_victim(opened, subjects or known)
            progress(1, 1, {})
        ledger.enter_victim(victim.name, weights, warnings)


def transfer(
    plan: Plan,
    ledger: Ledger,
    known: Mapping[str, Sequence[str]],
    device: str,
    *,
    whole: bool,
) -> None:
    """Score frames on the other recognisers: the ledger's own, or those of all parts."""
    out, records, transfers = ledger.path.parent, ledger.records(), ledger.transfers()
    if whole:
        ledgers = read_ledgers(out)
        records = join_records(ledgers)
        transfers = join_transfers(ledgers, records)
    opened = functools.partial(open_for_campaign, plan=plan, device=device, begun=ledger.photos())
    with bar("Scoring on the other recognisers") as progress:
        transfer_through(
            plan, ledger, out, opened, known,
            records=records, transfers=transfers, progress=progress,
        )  # fmt: skip


def share(plan: Plan, path: Path, count: int, device: str) -> None:
    """Let several processes work through a ledger, and wait for them.

    Where `device` leaves it open which GPU, they take them in turn. What interrupts this process
    ends them, and what they had in work is open again.
    """
    threads = max(1, (os.cpu_count() or 1) // count)
    spawn = multiprocessing.get_context("spawn")
    processes = [
        spawn.Process(
            target=_work_alone,
            args=(plan, path, threads, in_turn(device, number)),
            daemon=True,
        )
        for number in range(count)
    ]
    try:
        with interrupts_held_back():
            for process in processes:
                process.start()
        for process in processes:
            process.join()
    except BaseException:
        begun = [process for process in processes if process.pid is not None]
        for process in begun:
            process.terminate()
        for process in begun:
            process.join()
        # Another machine, which may be the next to go on, could not tell that they are gone.
        with contextlib.closing(Ledger(path)) as ledger:
            ledger.reopen()
        raise


def work(plan: Plan, path: Path, device: str, *, watched: bool = True) -> None:
    """Work through a ledger in this process."""
    watch = {"watch": lambda job: bar(job.title)} if watched else {}
    with contextlib.closing(Ledger(path)) as ledger:
        opened = functools.partial(
            open_for_campaign, plan=plan, device=device, begun=ledger.photos()
        )
        work_through(plan, ledger, path.parent, opened, tell=tell, **watch)


def tell(job: Job, remaining: Remaining) -> None:
    """Say that a job has ended, and what is left."""
    say(
        f"{remaining.ended} of {remaining.jobs}: {job.recognizer}, {job.title}; "
        f"{remaining.minutes_left:.0f} min left"
    )


def _work_alone(plan: Plan, path: Path, threads: int, device: str) -> None:
    begin_quietly(threads)
    accept_every_name()
    prepare()
    work(plan, path, device, watched=False)


def check_dask(address: str | None, resources: list[str] | None) -> None:
    """Refuse options that do not go together, before anything is computed.

    Raises:
        ConfigError: They do not, a resource is no NAME=NUMBER, or Dask is missing.
    """
    if address is None:
        if resources:
            raise ConfigError("--dask-resources belongs to --dask")
        return
    if address != "local" and "workers" in given():
        raise ConfigError(
            f"--workers starts processes here, and {address} has workers: leave it out, or give "
            "--dask local"
        )
    _amounts(resources)
    try:
        importlib.import_module("distributed")
    except ImportError as error:
        raise ConfigError(
            f"--dask needs Dask's distributed ({error}): pip install 'agns[cluster]'"
        ) from error


def work_on_dask(
    plan: Plan,
    path: Path,
    address: str,
    open_victim: Callable[[PlanVictim], Opened],
    *,
    workers: int,
    resources: list[str] | None,
    tell: Callable[[Job, Remaining], None],
) -> None:
    """Let a cluster work through a campaign, from the ledger at `path`."""
    # Dask is an extra.
    from agns.campaign.cluster import work_on_cluster
    from agns.campaign.connecting import LOCAL, connected

    amounts = _amounts(resources)
    threads = max(1, (os.cpu_count() or 1) // workers) if address == LOCAL else None
    with (
        connected(address, workers=workers, resources=amounts) as client,
        contextlib.closing(Ledger(path)) as ledger,
    ):
        work_on_cluster(
            plan, ledger, path.parent, open_victim, client,
            threads=threads, resources=amounts, tell=tell, say=say,
        )  # fmt: skip


def _amounts(given: list[str] | None) -> dict[str, float]:
    """Resources by name."""
    amounts = {}
    for one in given or ():
        name, _, number = one.partition("=")
        try:
            amount = float(number)
        except ValueError:
            amount = math.nan
        if not name or not 0 < amount < math.inf:
            raise ConfigError(f"--dask-resources should be NAME=NUMBER, as GPU=1, got {one}")
        amounts[name] = amount
    return amounts
