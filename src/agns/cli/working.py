"""`agns campaign run`: working through a ledger, in one process or in several."""

import functools
from pathlib import Path
from typing import TYPE_CHECKING

from agns.cli.console import accept_every_name, bar, prepare, say
from agns.cli.opening import in_turn, open_for_campaign

if TYPE_CHECKING:
    from agns.campaign.cells import Cell
    from agns.campaign.plan import Plan
    from agns.campaign.rows import Standing


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
        ledger = Ledger(path)
        ledger.reopen()
        ledger.close()
        raise


def work(plan: "Plan", path: Path, device: str, *, watched: bool = True) -> None:
    """Work through a ledger in this process."""
    from agns.campaign.ledger import Ledger
    from agns.campaign.running import work_through

    ledger = Ledger(path)
    watch = {"watch": lambda cell: bar(cell.title)} if watched else {}
    opened = functools.partial(open_for_campaign, plan=plan, device=device, begun=ledger.photos())
    work_through(plan, ledger, path.parent, opened, tell=tell, **watch)
    ledger.close()


def tell(cell: "Cell", standing: "Standing") -> None:
    """Say that a cell has ended, and what is left."""
    say(
        f"{standing.ended} of {standing.cells}: {cell.recognizer}, {cell.title}; "
        f"{standing.minutes_left:.0f} min left"
    )


def _work_alone(plan: "Plan", path: Path, threads: int, device: str) -> None:
    from agns.data.workers import begin_quietly

    begin_quietly(threads)
    accept_every_name()
    prepare()
    work(plan, path, device, watched=False)
