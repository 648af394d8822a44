"""Where a training runs: processor or GPU, one process or many, on Lightning Fabric."""

import contextlib
import gc
import hashlib
import logging
import os
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias, TypeVar

import torch
from lightning_fabric import Fabric
from torch import Tensor, distributed

from agns.errors import AgnsError, ConfigError
from agns.settings import Count, check_settings
from agns.training.precision import has_fast_bfloat16

FabricPrecision: TypeAlias = Literal["auto", "32", "bf16-mixed", "16-mixed"]
"""Lightning's names; `auto` is `bf16-mixed` where it pays, else `32`."""
Accelerator: TypeAlias = Literal["auto", "cpu", "cuda"]
Strategy: TypeAlias = Literal["auto", "ddp"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Machines:
    """What a training runs on. The joint batch, and so the recipe, is the same on all."""

    accelerator: Accelerator = "auto"
    """auto takes a GPU where there is one."""

    devices: Count = 1
    """Processes on each machine, one a GPU where there are any."""

    num_nodes: Count = 1
    """Machines; start each with torchrun."""

    strategy: Strategy = "auto"
    """How processes work together; several always as ddp."""

    precision: FabricPrecision = "auto"
    """Of the networks' steps. auto takes bf16-mixed where the hardware is fast at it."""

    def __post_init__(self) -> None:
        check_settings(self)
        if self.precision == "16-mixed" and not self._on_gpu():
            raise ConfigError("precision 16-mixed needs a GPU: take 32 or bf16-mixed")
        if self.accelerator == "cuda" and not torch.cuda.is_available():
            raise ConfigError("PyTorch sees no GPU here: take --accelerator cpu")
        if self._on_gpu() and self.devices > torch.cuda.device_count():
            raise ConfigError(
                f"{self.devices} devices were asked for, and PyTorch sees "
                f"{torch.cuda.device_count()} GPUs here"
            )
        self._check_launcher()

    @property
    def processes(self) -> int:
        """On all machines together."""
        return self.devices * self.num_nodes

    def check_batch(self, batch: int) -> None:
        """Refuse a batch that cannot be shared out, before anything is started.

        Raises:
            ConfigError: It does not divide by the number of processes.
        """
        share_of(torch.arange(batch), rank=0, processes=self.processes)

    def _check_launcher(self) -> None:
        started = os.environ.get("WORLD_SIZE")
        if started is None and self.num_nodes > 1:
            raise ConfigError(
                f"{self.num_nodes} machines work together only if each is started with torchrun, "
                "which tells them of each other"
            )
        beside = os.environ.get("LOCAL_WORLD_SIZE", str(self.devices))
        if started is not None and (started, beside) != (str(self.processes), str(self.devices)):
            raise ConfigError(
                f"{started} processes were started, {beside} of them here: give --devices "
                f"{beside}, and the number of machines as --num-nodes"
            )

    def _on_gpu(self) -> bool:
        return self.accelerator != "cpu" and torch.cuda.is_available()

    def resolved_precision(self) -> Literal["32", "bf16-mixed", "16-mixed"]:
        """The precision itself where `auto` is given."""
        if self.precision != "auto":
            return self.precision
        if self._on_gpu():
            able = torch.cuda.is_bf16_supported(including_emulation=False)
        else:
            able = has_fast_bfloat16()
        return "bf16-mixed" if able else "32"

    def open(self) -> Fabric:
        """A Fabric for these machines, not launched yet."""
        # What Lightning has to say of itself is not for the users of agns.
        for name in ("lightning_fabric", "lightning.fabric"):
            logging.getLogger(name).setLevel(logging.ERROR)
        # Lightning's own choice may fall on hardware that nobody has tried this on.
        automatic = "cuda" if torch.cuda.is_available() else "cpu"
        return Fabric(
            accelerator=automatic if self.accelerator == "auto" else self.accelerator,
            devices=self.devices,
            num_nodes=self.num_nodes,
            strategy="ddp" if self.processes > 1 else self.strategy,
            precision=self.resolved_precision(),
        )


@contextlib.contextmanager
def running(machines: Machines) -> Iterator[Fabric]:
    """Start the processes and part from each other at the end, all at the same time.

    A process that ends while another still listens to it can be aborted on its way out, and so
    can one whose own threads of the group are not done. What was trained is to be let go of
    inside: a wrapped network keeps the group.
    """
    fabric = machines.open()
    group = None
    try:
        fabric.launch()
        group = distributed.group.WORLD if distributed.is_initialized() else None
        yield fabric
        fabric.barrier()
    except BaseException as error:
        begun = getattr(fabric.strategy.launcher, "procs", [])
        if isinstance(error, KeyboardInterrupt):
            # The others may not have been told, and would wait for this one. They write nothing.
            for process in begun:
                process.kill()
        # Lightning watches these, and kills this process where one has failed: it is to end with
        # its own code.
        begun.clear()
        # Where it was raised there are networks, which hold the group.
        traceback.clear_frames(error.__traceback__)
        raise
    finally:
        if distributed.is_initialized():
            distributed.destroy_process_group()
        # Gloo's threads may still be freeing tensors, which takes Python's lock. They are joined
        # when the last reference goes, with the lock given up only if it is one of Python's, so
        # the networks' go before.
        gc.collect()
        del group


def is_first_process() -> bool:
    """Whether this is the one process that writes and speaks, known before any launch."""
    names = ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID")
    return all(os.environ.get(name, "0") == "0" for name in names)


def precision_of(fabric: Fabric) -> str:
    """The precision that a Fabric steps in, as Lightning names it."""
    return str(fabric.strategy.precision.precision)


_Made = TypeVar("_Made")


def on_first(fabric: Fabric, make: Callable[[], _Made]) -> _Made | None:
    """Let the first process alone make something; the others get None.

    Raises:
        AgnsError: What the first process raised, in all of them, so that none waits in vain.
    """
    made: _Made | None = None
    error: AgnsError | None = None
    if fabric.is_global_zero:
        try:
            made = make()
        except AgnsError as raised:
            error = raised
    error = fabric.broadcast(error)
    if error is not None:
        raise error
    return made


def first_then_others(fabric: Fabric, make: Callable[[], _Made]) -> _Made:
    """Let the first process make something, then the others, which find it done on the disk.

    Raises:
        AgnsError: As `on_first` raises it.
    """
    made = on_first(fabric, make)
    return make() if made is None else made


def mean_over_processes(fabric: Fabric, value: Tensor) -> float:
    """The mean of the processes' values, the same in all of them."""
    mean = fabric.all_reduce(value.detach(), reduce_op="mean")
    assert isinstance(mean, Tensor)
    return float(mean)


def share_of(batch: Tensor, *, rank: int, processes: int) -> Tensor:
    """One process's entries of a joint batch; the shares are disjoint and equally large.

    Raises:
        ConfigError: The batch does not divide by the number of processes.
    """
    if len(batch) % processes:
        raise ConfigError(f"a batch of {len(batch)} does not divide by {processes} processes")
    return batch[rank::processes]


def draws_at(seed: int, *place: int) -> torch.Generator:
    """A generator for one place of a training, such as (epoch, step, rank): it needs no state."""
    # NumPy's seed sequences take (1,) and (1, 0) for the same.
    own = hashlib.sha256(repr((seed, *place)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(own[:7]))
