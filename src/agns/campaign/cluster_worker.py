"""What a Dask worker does with a job of a campaign."""

import contextlib
import dataclasses
import os
import platform
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from distributed import Worker, get_worker

from agns.campaign.jobs import Job
from agns.campaign.plan import Plan, PlanVictim
from agns.campaign.running import Opened, peak_memory_mb, run_job
from agns.errors import AgnsError, DataError
from agns.storage import versions
from agns.training.precision import set_up_process
from agns.types import Progress
from agns.writing import replacing

_KEPT = 2
"""Victims that a process keeps; jobs of one come together."""

_opened: dict[tuple[str, ...], Opened] = {}
_opening = threading.Lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A job, and what a worker needs to know of it."""

    plan: Plan
    job: Job
    victim: PlanVictim
    """With an absolute face folder."""
    content: str
    """Digest of the victim's weights file; empty for the recogniser that comes with agns."""
    threads: int | None
    """That PyTorch may use; None for what the worker's environment says."""
    agns: str
    """The version that the campaign is run with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskResult:
    """What became of a job."""

    files: Mapping[str, bytes] = field(default_factory=dict)
    """The artefacts by their path in the job's folder, `result.json` among them."""
    sentence: str | None = None
    """Why there are none."""
    seconds: float = 0.0
    """That it took, scoring included."""
    peak_memory_mb: float = 0.0
    """The most that the worker's process has held so far."""


class JobCancelled(Exception):
    """Nobody waits for the job any more."""


class JobBrokeDown(Exception):
    """Something else than agns failed within the job; another try may succeed."""


def carry_out(
    task: Task, weights: bytes | None, open_victim: Callable[[PlanVictim], Opened]
) -> TaskResult:
    """Run a job in a Dask task, in the worker's scratch folder.

    Args:
        task: The job.
        weights: The victim's weights file; None for the recogniser that comes with agns.
        open_victim: Loads what a victim needs.

    Returns:
        What became of it.

    Raises:
        DataError: This worker can run no job of this victim's.
        JobBrokeDown: Something else than agns failed.
        JobCancelled: The task was cancelled while it ran, so that this goes nowhere.
    """
    _check_fit(task)
    started = time.perf_counter()
    # Both are a thread's own.
    if task.threads is not None:
        torch.set_num_threads(task.threads)
    set_up_process()
    worker, sentence, files = get_worker(), None, {}
    with tempfile.TemporaryDirectory(prefix="agns-", dir=worker.local_directory) as scratch:
        try:
            opened = _open_once(task, weights, open_victim, Path(scratch))
            watch = _until_cancelled(worker)
            run_job(task.plan, task.job, opened, Path(scratch), lambda _: watch)
            folder = task.job.folder(Path(scratch))
            files = {
                path.relative_to(folder).as_posix(): path.read_bytes()
                for path in sorted(folder.rglob("*"))
                if path.is_file()
            }
        except AgnsError as error:
            sentence = str(error)
        except JobCancelled:
            raise
        except Exception as error:
            raise JobBrokeDown(f"{type(error).__name__}: {error}") from error
    return TaskResult(
        files=files,
        sentence=sentence,
        seconds=time.perf_counter() - started,
        peak_memory_mb=peak_memory_mb(),
    )


def _check_fit(task: Task) -> None:
    here, own = platform.node(), versions()["agns"]
    if own != task.agns:
        raise DataError(f"on {here} agns is {own}, and the campaign is run with {task.agns}")
    faces = task.victim.faces
    if faces is not None and not (faces.is_dir() and os.access(faces, os.R_OK | os.X_OK)):
        raise DataError(
            f"on {here} there is no readable face folder {faces}: faces must lie at the same path "
            "on every worker"
        )


def _open_once(
    task: Task,
    weights: bytes | None,
    open_victim: Callable[[PlanVictim], Opened],
    scratch: Path,
) -> Opened:
    victim = task.victim
    # How it is opened counts too: a worker may live on into a run on another device.
    key = (task.content, str(victim.file), str(victim.faces), repr(open_victim))
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
                setup, photos = open_victim(dataclasses.replace(victim, file=str(file)))
                # Results name it as in a run without a cluster.
                named = dataclasses.replace(setup, recognizer_name=str(victim.file))
                _opened[key] = named, photos
        return _opened[key]


@contextlib.contextmanager
def _until_cancelled(worker: Worker) -> Iterator[Progress]:
    """Breaks an attack off at its next step once its task is cancelled: Dask cannot."""
    key = worker.get_current_task()

    def progress(done: int, total: int, figures: Mapping[str, float]) -> None:
        running = worker.state.tasks.get(key)
        if running is None or running.state == "cancelled":
            raise JobCancelled(key)

    yield progress
