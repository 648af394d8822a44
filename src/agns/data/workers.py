"""Work on a list, spread over processes of its own."""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import resource_tracker
from multiprocessing.process import BaseProcess
from typing import TypeVar

from agns.errors import DataError

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def each_in_order(
    work: Callable[[_Item], _Result], items: Sequence[_Item], *, workers: int, chunk: int = 1
) -> Iterator[_Result]:
    """Do some work on each item, here or in other processes; give the results in order.

    Args:
        work: What to do; pickled, if it is done elsewhere. A program that does must keep what it
            runs below `if __name__ == "__main__"`: the processes import it.
        items: What to do it on.
        workers: Processes; with 0 or 1, or a single item, everything is done in this one, and in a
            process that may have none of its own, as those of campaigns.
        chunk: Items that a process is handed at a time.

    Raises:
        DataError: A process was killed, or could not start.
    """
    workers = min(workers, len(items))
    if workers <= 1 or multiprocessing.current_process().daemon:
        yield from map(work, items)
        return
    # Spawned, since forking a process that has run PyTorch's threads may hang.
    pool = ProcessPoolExecutor(
        workers, mp_context=multiprocessing.get_context("spawn"), initializer=begin_quietly
    )
    try:
        with interrupts_held_back():
            results = [
                pool.submit(_each, work, items[first : first + chunk])
                for first in range(0, len(items), chunk)
            ]
        for some in results:
            yield from some.result()
    except KeyboardInterrupt:
        # Nobody waits for what they have in work, of which they may know nothing. The pool ends in
        # good order when its processes have died, unless it finds work called off meanwhile.
        for process in list((pool._processes or {}).values()):
            process.terminate()
        pool.shutdown()
        raise
    except BrokenProcessPool as error:
        raise DataError(
            "a process that shared the work was killed or could not start: try again"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _each(work: Callable[[_Item], _Result], items: Sequence[_Item]) -> list[_Result]:
    return [work(item) for item in items]


def begin_quietly(threads: int = 1) -> None:
    """What a process does first: it takes its threads, and ends without a word on Ctrl-C.

    It ends with the one that began it, too, even if that is killed.

    Args:
        threads: That PyTorch may use in it.
    """
    # PyTorch takes them from here once it is imported, which not every work needs.
    os.environ.update(OMP_NUM_THREADS=str(threads), MKL_NUM_THREADS=str(threads))
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(threads)
    if (parent := multiprocessing.parent_process()) is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    # A program in the background of a shell ignores Ctrl-C, and so do its processes.
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _end_with(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)


@contextlib.contextmanager
def interrupts_held_back() -> Iterator[None]:
    """Let Ctrl-C wait, also in processes begun meanwhile, until they have begun.

    One that is still importing would tell of it with a traceback. Windows cannot hold it back.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    # Python's own helper process lets Ctrl-C through again when it begins; so it begins first.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
