"""Working through a campaign's cells on a Dask cluster, from the process that has the ledger.

Workers never see the ledger or the campaign's directory: they are handed cells, and hand each
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
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from distributed import Client, Future, KilledWorker
from distributed.comm.core import CommClosedError

from agns.errors import DataError
from agns.evaluation.campaign.cells import Cell
from agns.evaluation.campaign.cluster_worker import CellBrokeDown, Order, Return, carry_out
from agns.evaluation.campaign.ledger import Ledger
from agns.evaluation.campaign.plan import Plan, PlanVictim
from agns.evaluation.campaign.rows import Standing
from agns.evaluation.campaign.running import Opened
from agns.models.sharing import locate_weights
from agns.object_reference import names_code
from agns.storage import read_json, versions
from agns.writing import replacing

RETRIES = 2
"""Further tries of a cell in which something else than agns broke down."""

_GONE = "the connection to Dask's scheduler was lost: the same command goes on with another one"
_LOOK_SECONDS = 2.0


def work_on_cluster(
    plan: Plan,
    ledger: Ledger,
    out: Path,
    open_victim: Callable[[PlanVictim], Opened],
    client: Client,
    *,
    threads: int | None = None,
    resources: Mapping[str, float] | None = None,
    tell: Callable[[Cell, Standing], None] = lambda *_: None,
    say: Callable[[str], None] = lambda _: None,
) -> None:
    """Claim cells, have workers run them, and enter what became of them, until none is open.

    About twice as many cells are claimed as can run at once. Those whose worker is gone run on
    another one; Ctrl-C takes all of them back from the workers and gives them back to the ledger.
    Artefacts come to `out/cells/KEY`, `result.json` last. A cell is entered as failed if it cannot
    be run, if it ended one worker after the other, or if something else than agns broke down in
    each of its tries. The figures are those of `work_through`.

    Args:
        plan: What the ledger was begun with.
        ledger: Says what is left; workers never open it.
        out: The campaign's directory, which workers need not see.
        open_victim: Loads what a victim needs, on a worker, once in each of its processes. It is
            pickled.
        client: Of the cluster.
        threads: That PyTorch may use for a cell; None for what each worker's environment says.
        resources: Names and amounts of workers' resources that a cell takes up while it runs,
            such as `{"GPU": 1}`.
        tell: Called after each cell.
        say: Told when cells wait for workers.

    Raises:
        DataError: The scheduler or a worker has another agns, or none, a worker does not see a
            face folder, or the scheduler is gone.
    """
    desk = _Desk(plan, ledger, out, open_victim, client, threads, dict(resources or {}))
    try:
        while desk.fill(tell, say):
            with contextlib.suppress(queue.Empty):
                desk.take(desk.ready.get(timeout=_LOOK_SECONDS), tell)
            desk.check()
    except CommClosedError as error:
        raise DataError(_GONE) from error
    except TimeoutError as error:
        raise DataError(f"the cluster's workers do not answer: {error}") from error
    finally:
        desk.give_back()


@dataclass(eq=False)
class _Desk:
    """Hands cells out and takes their results in."""

    plan: Plan
    ledger: Ledger
    out: Path
    open_victim: Callable[[PlanVictim], Opened]
    client: Client
    threads: int | None
    resources: dict[str, float]
    ready: queue.SimpleQueue[Future] = field(default_factory=queue.SimpleQueue)
    """What has ended."""
    _out_there: dict[Cell, Future | None] = field(default_factory=dict)
    """What is claimed, and what it waits for."""
    _weights: dict[str, tuple[str, Future | None]] = field(default_factory=dict)
    """By victim: a digest of its weights, and where they lie on workers."""
    _slots: int = 0
    _counted: float = -1e9
    _lost: dict[Cell, int] = field(default_factory=dict)
    _waits: bool = False

    def fill(self, tell: Callable[[Cell, Standing], None], say: Callable[[str], None]) -> bool:
        """Hand out cells; whether any is out."""
        if time.monotonic() - self._counted > _LOOK_SECONDS:
            self._counted, self._slots = time.monotonic(), self._count()
        while len(self._out_there) < max(1, 2 * self._slots):
            cell = self.ledger.claim()
            if cell is None:
                return bool(self._out_there)
            if self._slots == 0:
                # None can be handed out, and weights cannot be sent.
                self.ledger.release(cell)
                break
            self._out_there[cell] = None
            if (self.out / "cells" / cell.key / "result.json").is_file():
                # A run was killed between writing and entering it.
                self._enter(cell, None, tell)
            else:
                self._hand_out(cell)
        if self._slots == 0 and not self._waits:
            offer = " and ".join(f"{name}={amount:g}" for name, amount in self.resources.items())
            say(f"Waiting for a worker{' with ' if offer else ''}{offer}")
        self._waits = self._slots == 0
        return True

    def take(self, future: Future, tell: Callable[[Cell, Standing], None]) -> None:
        """Enter what became of a cell."""
        cell = next((one for one, waits in self._out_there.items() if waits is future), None)
        if cell is None:
            return
        if future.status not in ("finished", "error"):
            self._hand_out_again(cell)
            return
        error = future.exception() if future.status == "error" else None
        if error is not None and not isinstance(error, KilledWorker | CellBrokeDown):
            # No cell's fault: it would end all of them.
            told = " ".join(str(error).split())
            raise DataError(f"the cluster cannot run cells: {told}") from error
        if error is not None:
            lost = Return(files={}, sentence=_sentence(error), seconds=0.0, peak_memory_mb=0.0)
            self._enter(cell, lost, tell)
        else:
            self._enter(cell, future.result(), tell)

    def check(self) -> None:
        """Stop where the scheduler is gone."""
        while self.client.status == "connecting":
            time.sleep(0.05)
        if self.client.status != "running":
            raise DataError(_GONE)

    def give_back(self) -> None:
        """Let workers and the ledger have what is still out."""
        futures = [future for future in self._out_there.values() if future is not None]
        with self.ledger.at_once():
            for cell in self._out_there:
                self.ledger.release(cell)
        with contextlib.suppress(Exception):
            self.client.cancel(futures)

    def _count(self) -> int:
        """Cells that the workers there are can run at once."""
        scheduler = self.client.scheduler
        if scheduler is None:
            return 0
        # The client's own account leaves workers out, in some versions.
        workers = self.client.sync(scheduler.identity)["workers"].values()
        return sum(self._fit_into(worker["nthreads"], worker["resources"]) for worker in workers)

    def _fit_into(self, threads: int, offered: Mapping[str, float]) -> int:
        room = [int(offered.get(name, 0) / amount) for name, amount in self.resources.items()]
        return min([threads, *room])

    def _hand_out(self, cell: Cell) -> None:
        victim = next(one for one in self.plan.recognizers if one.name == cell.recognizer)
        content, weights = self._weights_of(victim)
        faces = None if victim.faces is None else victim.faces.absolute()
        order = Order(
            plan=self.plan, cell=cell, victim=dataclasses.replace(victim, faces=faces),
            content=content, threads=self.threads, agns=versions()["agns"],
        )  # fmt: skip
        future = self.client.submit(
            carry_out, order, weights, self.open_victim,
            pure=False, retries=RETRIES, resources=self.resources or None,
        )  # fmt: skip
        self._out_there[cell] = future
        future.add_done_callback(self.ready.put)

    def _hand_out_again(self, cell: Cell) -> None:
        """What a task was made from is gone with workers, or with the connection."""
        self.check()
        self._lost[cell] = self._lost.get(cell, 0) + 1
        if self._lost[cell] > RETRIES:
            raise DataError(f"the cluster loses its tasks, lately {cell.key}: see its logs")
        self._weights.pop(cell.recognizer, None)
        self._hand_out(cell)

    def _weights_of(self, victim: PlanVictim) -> tuple[str, Future | None]:
        if victim.name not in self._weights:
            used = {cell.recognizer for cell in self._out_there}
            self._weights = {name: kept for name, kept in self._weights.items() if name in used}
            digest, future = "", None
            if victim.file is not None and not names_code(victim.file):
                content = locate_weights(victim.file).read_bytes()
                digest = hashlib.sha256(content).hexdigest()
                future = self.client.scatter(content, broadcast=True, hash=False)
            self._weights[victim.name] = digest, future
        return self._weights[victim.name]

    def _enter(
        self, cell: Cell, returned: Return | None, tell: Callable[[Cell, Standing], None]
    ) -> None:
        """Enter what became of a cell; None for what lies in the campaign's directory already."""
        seconds = 0.0 if returned is None else returned.seconds
        peak = 0.0 if returned is None else returned.peak_memory_mb
        if returned is not None and returned.sentence is not None:
            self.ledger.fail(cell, returned.sentence, seconds=seconds)
        else:
            if returned is not None:
                self._keep(cell, returned)
            result = read_json(self.out / "cells" / cell.key / "result.json")
            self.ledger.finish(cell, result, seconds=seconds, peak_memory_mb=peak)
        del self._out_there[cell]
        tell(cell, self.ledger.standing())

    def _keep(self, cell: Cell, returned: Return) -> None:
        folder = self.out / "cells" / cell.key
        shutil.rmtree(folder, ignore_errors=True)
        for name in sorted(returned.files, key=lambda name: name == "result.json"):
            with replacing(folder / name) as temporary:
                temporary.write_bytes(returned.files[name])


def _sentence(error: BaseException) -> str:
    if isinstance(error, KilledWorker):
        return (
            f"{error.allowed_failures + 1} workers were killed one after the other while it ran or "
            f"waited on them, the last of them {error.last_worker.address}: their logs say why"
        )
    return f"each of {RETRIES + 1} tries broke down, the last with {error}"
