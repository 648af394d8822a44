"""`agns campaign run --dask`: the options, and what they do."""

import contextlib
import importlib
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from agns.cli.console import say
from agns.cli.given import given

if TYPE_CHECKING:
    from agns.campaign.jobs import Job
    from agns.campaign.plan import Plan, PlanVictim
    from agns.campaign.records import Remaining
    from agns.campaign.running import Opened

DaskOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--dask",
        metavar="ADDRESS",
        help="Let the workers of this Dask scheduler run the attacks, such as tcp://10.0.0.5:8786; "
        "local starts a cluster of --workers processes on 127.0.0.1. Face folders must lie at the "
        "same path on every worker. Only for clusters that you trust.",
    ),
]
DaskResourcesOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--dask-resources",
        metavar="NAME=NUMBER",
        help="What an attack takes up of a worker's resources, such as GPU=1; may be given many "
        "times.",
    ),
]


def check_dask(address: str | None, resources: list[str] | None) -> None:
    """Refuse options that do not go together, before anything is computed.

    Raises:
        ConfigError: They do not, a resource is no NAME=NUMBER, or Dask is missing.
    """
    from agns.errors import ConfigError

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
    plan: "Plan",
    path: Path,
    address: str,
    open_victim: "Callable[[PlanVictim], Opened]",
    *,
    workers: int,
    resources: list[str] | None,
    tell: "Callable[[Job, Remaining], None]",
) -> None:
    """Let a cluster work through a campaign, from the ledger at `path`."""
    from agns.campaign.cluster import work_on_cluster
    from agns.campaign.connecting import LOCAL, connected
    from agns.campaign.ledger import Ledger

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
    from agns.errors import ConfigError

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
