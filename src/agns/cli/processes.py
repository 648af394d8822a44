"""`agns campaign run`: working through a ledger, in one process or in several."""

import contextlib
import functools
from pathlib import Path
from typing import TYPE_CHECKING

from agns.cli.console import accept_every_name, bar, prepare, say
from agns.cli.loading import in_turn, open_for_campaign

if TYPE_CHECKING:
    from agns.campaign.jobs import Job
    from agns.campaign.plan import Plan
    from agns.campaign.records import Remaining


def share(plan: "Plan", path: Path, count: int, device: str) -> None:
    """Let several processes work through a ledger, and wait for them.

    Where `device` leaves it open which GPU, they take them in turn. What interrupts this process
    ends them, and what they had in work is open again.
    """
    import multiprocessing
    import os

    from agns.campaign.ledger import Ledger
    from agns.data.workers import interrupts_held_back

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


def work(plan: "Plan", path: Path, device: str, *, watched: bool = True) -> None:
    """Work through a ledger in this process."""
    from agns.campaign.ledger import Ledger
    from agns.campaign.running import work_through

    watch = {"watch": lambda job: bar(job.title)} if watched else {}
    with contextlib.closing(Ledger(path)) as ledger:
        opened = functools.partial(
            open_for_campaign, plan=plan, device=device, begun=ledger.photos()
        )
        work_through(plan, ledger, path.parent, opened, tell=tell, **watch)


def tell(job: "Job", remaining: "Remaining") -> None:
    """Say that a job has ended, and what is left."""
    say(
        f"{remaining.ended} of {remaining.jobs}: {job.recognizer}, {job.title}; "
        f"{remaining.minutes_left:.0f} min left"
    )


def _work_alone(plan: "Plan", path: Path, threads: int, device: str) -> None:
    from agns.data.workers import begin_quietly

    begin_quietly(threads)
    accept_every_name()
    prepare()
    work(plan, path, device, watched=False)
