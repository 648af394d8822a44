"""Working through a campaign's jobs on a Dask cluster, from the process that has the ledger.

Workers never see the ledger or the campaign's directory: they are handed jobs, and hand each
one's artefacts back as bytes. A recogniser's weights go to them as bytes, too. So no disk need be
shared, but for face folders, which workers read at the same path as this process. Where no folder
is named, they draw the faces. agns must be installed, in the same version, where the scheduler
and the workers run.

Dask's processes send each other pickles: whoever can reach one of them can run anything as its
user. Only for clusters, and networks, that are trusted.
"""

# Dask's own annotations are not complete.
# mypy: disable-error-code="no-untyped-call, type-arg"

import contextlib
import dataclasses
import hashlib
import queue
import shutil
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from distributed import Client, Future, KilledWorker
from distributed.comm.core import CommClosedError

from agns.campaign.cluster_worker import JobBrokeDown, Task, TaskResult, carry_out
from agns.campaign.jobs import Job
from agns.campaign.ledger import Ledger
from agns.campaign.plan import Plan, PlanVictim
from agns.campaign.records import Remaining, read_result
from agns.campaign.running import Opened
from agns.errors import DataError
from agns.models.sharing import locate_weights
from agns.object_reference import names_code
from agns.storage import read_json, versions
from agns.writing import replacing

RETRIES = 2
"""Further tries of a job in which something else than agns broke down."""

_GONE = "the connection to Dask's scheduler was lost: the same command goes on with another one"
_WAIT_SECONDS = 2.0


def work_on_cluster(
    plan: Plan,
    ledger: Ledger,
    out: Path,
    open_victim: Callable[[PlanVictim], Opened],
    client: Client,
    *,
    threads: int | None = None,
    resources: Mapping[str, float] | None = None,
    tell: Callable[[Job, Remaining], None] = lambda *_: None,
    say: Callable[[str], None] = lambda _: None,
) -> None:
    """Claim jobs, have workers run them, and enter what became of them, until none is open.

    About twice as many jobs are claimed as can run at once. Those whose worker is gone run on
    another one; Ctrl-C takes all of them back from the workers and gives them back to the ledger.
    Artefacts come to `out/cells/KEY`, `result.json` last. A job is entered as failed if it cannot
    be run, if it ended one worker after the other, or if something else than agns broke down in
    each of its tries. The figures are those of `work_through`.

    Args:
        plan: What the ledger was begun with.
        ledger: Says what is left; workers never open it.
        out: The campaign's directory, which workers need not see.
        open_victim: Loads what a victim needs, on a worker, once in each of its processes. It is
            pickled.
        client: Of the cluster.
        threads: That PyTorch may use for a job; None for what each worker's environment says.
        resources: Names and amounts of workers' resources that a job takes up while it runs,
            such as `{"GPU": 1}`.
        tell: Called after each job.
        say: LedgerContent when jobs wait for workers.

    Raises:
        DataError: The scheduler or a worker has another agns, or none, a worker does not see a
            face folder, or the scheduler is gone.
    """
    run = _ClusterRun(
        plan, ledger, out, open_victim, client, threads, dict(resources or {}), tell, say
    )
    try:
        while run.hand_out():
            with contextlib.suppress(queue.Empty):
                run.take_in(run.ended.get(timeout=_WAIT_SECONDS))
            run.check()
    except CommClosedError as error:
        raise DataError(_GONE) from error
    except TimeoutError as error:
        raise DataError(f"the cluster's workers do not answer: {error}") from error
    finally:
        run.give_back()


@dataclass(eq=False)
class _ClusterRun:
    """Hands jobs out and takes their results in."""

    plan: Plan
    ledger: Ledger
    out: Path
    open_victim: Callable[[PlanVictim], Opened]
    client: Client
    threads: int | None
    resources: dict[str, float]
    tell: Callable[[Job, Remaining], None]
    say: Callable[[str], None]
    ended: queue.SimpleQueue[Future] = field(default_factory=queue.SimpleQueue)
    _in_work: dict[Job, Future | None] = field(default_factory=dict)
    """What is claimed, and what it waits for."""
    _weights: dict[str, tuple[str, Future | None]] = field(default_factory=dict)
    """By victim: a digest of its weights, and where they lie on workers."""
    _slots: int = 0
    _counted: float = -1e9
    _lost: Counter[Job] = field(default_factory=Counter)
    _waits: bool = False

    def hand_out(self) -> bool:
        """Hand out jobs; whether any is in work."""
        if time.monotonic() - self._counted > _WAIT_SECONDS:
            self._counted, self._slots = time.monotonic(), self._count()
        while len(self._in_work) < max(1, 2 * self._slots):
            job = self.ledger.claim()
            if job is None:
                return bool(self._in_work)
            if self._slots == 0:
                # None can be handed out, and weights cannot be sent.
                self.ledger.release(job)
                break
            self._in_work[job] = None
            if (job.folder(self.out) / "result.json").is_file():
                # A run was killed between writing and entering it.
                self._enter(job, TaskResult())
            else:
                self._submit(job)
        if self._slots == 0 and not self._waits:
            offer = " and ".join(f"{name}={amount:g}" for name, amount in self.resources.items())
            self.say(f"Waiting for a worker{' with ' if offer else ''}{offer}")
        self._waits = self._slots == 0
        return True

    def take_in(self, future: Future) -> None:
        """Enter what became of a job."""
        job = next((one for one, waits in self._in_work.items() if waits is future), None)
        if job is None:
            return
        if future.status == "finished":
            self._enter(job, future.result())
        elif future.status == "error":
            error = future.exception()
            if not isinstance(error, KilledWorker | JobBrokeDown):
                # No job's fault: it would end all of them.
                told = " ".join(str(error).split())
                raise DataError(f"the cluster cannot run jobs: {told}") from error
            self._enter(job, TaskResult(sentence=_sentence(error)))
        else:
            # What a task was made from is gone with workers, or with the connection.
            self.check()
            self._lost[job] += 1
            if self._lost[job] > RETRIES:
                raise DataError(f"the cluster loses its tasks, lately {job.key}: see its logs")
            self._weights.pop(job.recognizer, None)
            self._submit(job)

    def check(self) -> None:
        """Stop where the scheduler is gone."""
        while self.client.status == "connecting":
            time.sleep(0.05)
        if self.client.status != "running":
            raise DataError(_GONE)

    def give_back(self) -> None:
        """Let workers and the ledger have what is still in work."""
        futures = [future for future in self._in_work.values() if future is not None]
        with self.ledger.at_once():
            for job in self._in_work:
                self.ledger.release(job)
        with contextlib.suppress(Exception):
            self.client.cancel(futures)

    def _count(self) -> int:
        """Jobs that the workers there are can run at once."""
        scheduler = self.client.scheduler
        if scheduler is None:
            return 0
        # The client's own account leaves workers out, in some versions.
        workers = self.client.sync(scheduler.identity)["workers"].values()
        return sum(self._fit_into(worker["nthreads"], worker["resources"]) for worker in workers)

    def _fit_into(self, threads: int, offered: Mapping[str, float]) -> int:
        room = [int(offered.get(name, 0) / amount) for name, amount in self.resources.items()]
        return min([threads, *room])

    def _submit(self, job: Job) -> None:
        victim = next(one for one in self.plan.recognizers if one.name == job.recognizer)
        content, weights = self._weights_of(victim)
        faces = None if victim.faces is None else victim.faces.absolute()
        task = Task(
            plan=self.plan, job=job, victim=dataclasses.replace(victim, faces=faces),
            content=content, threads=self.threads, agns=versions()["agns"],
        )  # fmt: skip
        future = self.client.submit(
            carry_out, task, weights, self.open_victim,
            pure=False, retries=RETRIES, resources=self.resources or None,
        )  # fmt: skip
        self._in_work[job] = future
        future.add_done_callback(self.ended.put)

    def _weights_of(self, victim: PlanVictim) -> tuple[str, Future | None]:
        if victim.name not in self._weights:
            used = {job.recognizer for job in self._in_work}
            self._weights = {name: kept for name, kept in self._weights.items() if name in used}
            digest, future = "", None
            if victim.file is not None and not names_code(victim.file):
                content = locate_weights(Path(victim.file)).read_bytes()
                digest = hashlib.sha256(content).hexdigest()
                future = self.client.scatter(content, broadcast=True, hash=False)
            self._weights[victim.name] = digest, future
        return self._weights[victim.name]

    def _enter(self, job: Job, ended: TaskResult) -> None:
        """Enter what became of a job; without files, what lies in the campaign's directory."""
        if ended.sentence is None:
            folder = job.folder(self.out)
            if ended.files:
                shutil.rmtree(folder, ignore_errors=True)
            for name in sorted(ended.files, key=lambda name: name == "result.json"):
                with replacing(folder / name) as temporary:
                    temporary.write_bytes(ended.files[name])
            result = read_result(read_json(folder / "result.json"), job)
            self.ledger.finish(
                job, result, seconds=ended.seconds, peak_memory_mb=ended.peak_memory_mb
            )
        else:
            self.ledger.fail(job, ended.sentence, seconds=ended.seconds)
        del self._in_work[job]
        self.tell(job, self.ledger.remaining())


def _sentence(error: BaseException) -> str:
    if isinstance(error, KilledWorker):
        return (
            f"{error.allowed_failures + 1} workers were killed one after the other while it ran or "
            f"waited on them, the last of them {error.last_worker.address}: their logs say why"
        )
    return f"each of {RETRIES + 1} tries broke down, the last with {error}"
