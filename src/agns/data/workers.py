"""Work on a list, spread over processes of its own."""

import contextlib
import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

import torch

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def each_in_order(
    work: Callable[[_Item], _Result], items: Sequence[_Item], *, workers: int, chunk: int = 1
) -> Iterator[_Result]:
    """Do some work on each item, here or in other processes; give the results in order.

    Args:
        work: What to do; pickled, if it is done elsewhere.
        items: What to do it on.
        workers: Processes; with 0 or 1, or a single item, everything is done in this one.
        chunk: Items that a process is handed at a time.

    Raises:
        BrokenProcessPool: A process was killed.
    """
    workers = min(workers, len(items))
    if workers <= 1:
        yield from map(work, items)
        return
    # Spawned, since forking a process that has run PyTorch's threads may hang.
    pool = ProcessPoolExecutor(
        workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=torch.set_num_threads,
        initargs=(1,),
    )
    try:
        with _interrupts_held_back():
            results = pool.map(work, items, chunksize=chunk)
        yield from results
    finally:
        pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Let Ctrl-C wait, and keep it from processes begun meanwhile, which only this one ends.

    They would each tell of it with a traceback, those that are still starting too.
    """
    # Windows has no such thing, and no Ctrl-C for processes of a pool.
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
