"""What a Dask worker does with a cell of a campaign."""

import contextlib
import dataclasses
import os
import platform
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from distributed import Worker, get_worker

from agns.errors import AgnsError, DataError
from agns.evaluation.campaign.cells import Cell
from agns.evaluation.campaign.plan import Plan, PlanVictim
from agns.evaluation.campaign.running import Opened, peak_memory_mb, run_cell
from agns.storage import versions
from agns.training.precision import set_up_process
from agns.types import Progress
from agns.writing import replacing

_KEPT = 2
"""Victims that a process keeps; cells of one come together."""

_opened: dict[tuple[str, ...], Opened] = {}
_opening = threading.Lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A cell, and what a worker needs to know of it."""

    plan: Plan
    cell: Cell
    victim: PlanVictim
    """With an absolute face folder."""
    content: str
    """Digest of the victim's weights file; empty for the recogniser that comes with agns."""
    threads: int | None
    """That PyTorch may use; None for what the worker's environment says."""
    agns: str
    """The version that the campaign is run with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Return:
    """What became of a cell."""

    files: Mapping[str, bytes]
    """The artefacts by their path in the cell's folder, `result.json` among them."""
    sentence: str | None
    """Why there are none."""
    seconds: float
    """That it took, scoring included."""
    peak_memory_mb: float
    """The most that the worker's process has held so far."""


class CellCancelled(Exception):
    """Nobody waits for the cell any more."""


class CellBrokeDown(Exception):
    """Something else than agns failed within the cell; another try may succeed."""


def carry_out(
    order: Order, weights: bytes | None, open_victim: Callable[[PlanVictim], Opened]
) -> Return:
    """Run a cell in a Dask task, in the worker's scratch folder.

    Args:
        order: The cell.
        weights: The victim's weights file; None for the recogniser that comes with agns.
        open_victim: Loads what a victim needs.

    Returns:
        What became of it.

    Raises:
        DataError: This worker can run no cell of this victim's.
        CellBrokeDown: Something else than agns failed.
        CellCancelled: The task was cancelled while it ran, so that this goes nowhere.
    """
    _check_fit(order)
    started = time.perf_counter()
    # Both are a thread's own.
    if order.threads is not None:
        torch.set_num_threads(order.threads)
    set_up_process()
    worker, sentence, files = get_worker(), None, {}
    with tempfile.TemporaryDirectory(prefix="agns-", dir=worker.local_directory) as scratch:
        try:
            opened = _open_once(order, weights, open_victim, Path(scratch))
            folder, watch = Path(scratch) / "cells", _until_cancelled(worker)
            run_cell(order.plan, order.cell, opened, folder, lambda _: watch)
            files = _contents(folder / order.cell.key)
        except AgnsError as error:
            sentence = str(error)
        except CellCancelled:
            raise
        except Exception as error:
            raise CellBrokeDown(f"{type(error).__name__}: {error}") from error
    return Return(
        files=files,
        sentence=sentence,
        seconds=time.perf_counter() - started,
        peak_memory_mb=peak_memory_mb(),
    )


def _contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _check_fit(order: Order) -> None:
    here, own = platform.node(), versions()["agns"]
    if own != order.agns:
        raise DataError(f"on {here} agns is {own}, and the campaign is run with {order.agns}")
    faces = order.victim.faces
    if faces is not None and not (faces.is_dir() and os.access(faces, os.R_OK | os.X_OK)):
        raise DataError(
            f"on {here} there is no readable face folder {faces}: faces must lie at the same path "
            "on every worker"
        )


def _open_once(
    order: Order,
    weights: bytes | None,
    open_victim: Callable[[PlanVictim], Opened],
    scratch: Path,
) -> Opened:
    victim = order.victim
    # How it is opened counts too: a worker may live on into a run on another device.
    key = (order.content, str(victim.file), str(victim.faces), repr(open_victim))
    with _opening:
        if key not in _opened:
            while len(_opened) >= _KEPT:
                del _opened[next(iter(_opened))]
            if weights is None:
                _opened[key] = open_victim(victim)
            else:
                file = scratch / "recognizer.safetensors"
                with replacing(file) as temporary:
                    temporary.write_bytes(weights)
                setup, photos = open_victim(dataclasses.replace(victim, file=file))
                # Results name it as in a run without a cluster.
                named = dataclasses.replace(setup, recognizer_name=str(victim.file))
                _opened[key] = named, photos
        return _opened[key]


@contextlib.contextmanager
def _until_cancelled(worker: Worker) -> Iterator[Progress]:
    """Breaks an attack off at its next step once its task is cancelled: Dask cannot."""
    key = worker.get_current_task()

    def progress(done: int, total: int, figures: Mapping[str, float]) -> None:
        task = worker.state.tasks.get(key)
        if task is None or task.state == "cancelled":
            raise CellCancelled(key)

    yield progress
