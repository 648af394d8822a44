"""Reaching a Dask cluster, or starting one."""

# Dask's own annotations are not complete.
# mypy: disable-error-code="no-untyped-call"

import contextlib
import logging
from collections.abc import Iterator, Mapping

from distributed import Client, LocalCluster

from agns.data.workers import interrupts_held_back
from agns.errors import ConfigError, DataError

LOCAL = "local"
"""In place of a scheduler's address: a cluster of this machine's, for as long as it is needed."""

_CONNECT_SECONDS = 5.0


@contextlib.contextmanager
def connected(
    address: str, *, workers: int = 1, resources: Mapping[str, float] | None = None
) -> Iterator[Client]:
    """A client of a cluster.

    Args:
        address: Its scheduler's, as `tcp://10.0.0.5:8786`; or `LOCAL`, for processes of this
            machine that listen on 127.0.0.1 alone.
        workers: Processes of a local cluster.
        resources: What each of these offers.

    Raises:
        ConfigError: The address is none.
        DataError: Nobody answers there, or what does is no scheduler.
    """
    with _logs_held_back(), contextlib.ExitStack() as stack:
        if address == LOCAL:
            stack.enter_context(cluster := _local(workers, dict(resources or {})))
            yield stack.enter_context(Client(cluster, set_as_default=False))
            return
        try:
            client = Client(address, timeout=_CONNECT_SECONDS, set_as_default=False)
        except ValueError as error:
            raise ConfigError(f"{address} is no address of a Dask scheduler: {error}") from error
        except OSError as error:
            raise DataError(f"no Dask scheduler answers at {address}") from error
        yield stack.enter_context(client)


def _local(workers: int, resources: Mapping[str, float]) -> LocalCluster:
    # Held back for good in the processes begun here: Ctrl-C is for this one, which ends them.
    with interrupts_held_back():
        return LocalCluster(
            host="127.0.0.1", n_workers=workers, threads_per_worker=1, processes=True,
            # With a share of the memory for each, Dask would kill what needs more than its share.
            memory_limit=0, resources=resources, silence_logs=logging.CRITICAL,
            # Any free port: another cluster may have Dask's usual one.
            dashboard_address="127.0.0.1:0", worker_dashboard_address="127.0.0.1:0",
        )  # fmt: skip


@contextlib.contextmanager
def _logs_held_back() -> Iterator[None]:
    """Keep what Dask logs off the terminal, where a sentence says the same."""
    handlers = logging.getLogger("distributed").handlers
    before = [(handler, handler.level) for handler in handlers]
    for handler in handlers:
        handler.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for handler, level in before:
            handler.setLevel(level)
