"""What trainings on Fabric share: a network's steps, its averaged weights, and its checkpoint."""

import bisect
import copy
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Generic, TypeVar

import torch
from lightning_fabric import Fabric
from lightning_fabric.wrappers import _FabricOptimizer
from torch import Tensor, nn

from agns.errors import DataError
from agns.models.layout import lay_channels_last
from agns.run_directory import RunDirectory
from agns.training.parallel import mean_over_processes, precision_of
from agns.training.recipe import RecognizerTraining, rate_share, set_rate
from agns.training.resume_state import pack, unpack
from agns.training.sync_batchnorm import sync_batch_norms
from agns.training.triplets import MetricTraining
from agns.types import Images, Progress, silent

_Network = TypeVar("_Network", bound=nn.Module)


@torch.no_grad()
def move_average(averaged: nn.Module, network: nn.Module, decay: float) -> None:
    """Move averaged weights and statistics towards the network's."""
    into, source = averaged.state_dict(), network.state_dict()
    floating = [name for name, tensor in into.items() if tensor.is_floating_point()]
    torch._foreach_lerp_(
        [into[name] for name in floating], [source[name] for name in floating], 1 - decay
    )


class _Held:
    """Images that Fabric does not look into: it would round them to 16 bits."""

    def __init__(self, images: Images) -> None:
        self.images = images


class _Unrounded(nn.Module):
    """A network that is given its images as they are, whatever it computes in."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, held: _Held, **options: int) -> Tensor:
        made: Tensor = self.network(held.images, **options)
        return made


class Trainer(Generic[_Network]):
    """A network in training on one process or many: AdamW, clipped gradients, averaged weights.

    Args:
        network: Is brought to the Fabric's device; its batch norms come to see the joint batch.
        fabric: Launched.
        config: Rates, decays and epochs.
        run: Where checkpoints go; None in processes that do not write.
        name: What its tensors' names begin with in a checkpoint.
        steps: How many there are in an epoch.
        restarts: The epochs, counted from 0, with which something new begins. From each the
            rate rises and falls anew, and the average forgets what was before.
        slowing: What the largest rate is multiplied by at each restart but the first.
        seconds: Spent before, on a network that this one grew from.
        progress: Told of every step.
    """

    def __init__(
        self,
        network: _Network,
        fabric: Fabric,
        config: RecognizerTraining | MetricTraining,
        run: RunDirectory | None,
        *,
        name: str,
        steps: int,
        restarts: Sequence[int] = (0,),
        slowing: float = 1.0,
        seconds: float = 0.0,
        progress: Progress = silent,
    ) -> None:
        self.fabric, self.config, self.run, self.steps = fabric, config, run, steps
        self.restarts, self.slowing, self.progress = tuple(restarts), slowing, progress
        self.losses: list[float] = []
        """Mean loss over the processes, by the steps of this epoch."""
        self.seconds = seconds
        """Time spent up to the last checkpoint."""
        self._begun, self._losses_then = time.perf_counter(), 0
        if fabric.world_size > 1:
            sync_batch_norms(network)
        else:
            # Several processes join gradients in buckets, which are laid out plainly.
            lay_channels_last(network)
        self.network = network.train()
        self.averaged = copy.deepcopy(network).to(fabric.device).eval()
        self._wrapped = fabric.setup_module(_Unrounded(network))
        self.optimizer = torch.optim.AdamW(
            network.parameters(),
            lr=config.rate,
            weight_decay=config.weight_decay,
            # Scaled 16-bit gradients cannot be clipped with the fused form.
            fused=precision_of(fabric) != "16-mixed",
        )
        stepping = fabric.setup_optimizers(self.optimizer)
        assert isinstance(stepping, _FabricOptimizer)
        self._stepping = stepping
        self._parts: dict[str, nn.Module | torch.optim.Optimizer] = {
            name: network, "averaged": self.averaged, "optimizer": self.optimizer
        }  # fmt: skip

    def forward(self, images: Images, *, size: int | None = None) -> Tensor:
        """What the network makes of this process's share of a batch, in the precision asked for.

        Images are in the network's own range; `size` is for recognisers, as their `forward` has it.
        """
        options = {} if size is None else {"size": size}
        made: Tensor = self._wrapped(_Held(images), **options)
        return made

    def step(
        self, number: int, loss: Tensor, *, images: int = 1, counters: Mapping[str, float]
    ) -> None:
        """Take the step of a number, from 0, down this process's part of the joint loss.

        A `KeyboardInterrupt` that `progress` raises leaves a checkpoint with these counters, where
        this is the only process. `images` counts the joint batch.

        Raises:
            DataError: The loss is no longer finite.
        """
        rate, since = self._rate_at(number)
        set_rate(self.optimizer, rate)
        self._stepping.zero_grad()
        self.fabric.backward(loss)
        self.fabric.clip_gradients(
            self._wrapped, self._stepping, max_norm=5.0, error_if_nonfinite=False
        )
        self._stepping.step()
        decay = min(self.config.averaging, (since + 1) / (since + 11))
        move_average(self.averaged, self.network, decay)
        mean = mean_over_processes(self.fabric, loss)
        if not math.isfinite(mean):
            epoch = number // self.steps + 1
            raise DataError(f"the loss is {mean} in epoch {epoch}: lower the rate")
        self.losses.append(mean)
        taken = len(self.losses) - self._losses_then
        speed = images * taken / (time.perf_counter() - self._begun)
        try:
            self.progress(
                number + 1, self.steps * self.config.epochs, {"loss": mean, "images/s": speed}
            )
        except KeyboardInterrupt:
            # Of several processes, each may be at a step of its own.
            if self.fabric.world_size == 1:
                self.save(counters)
            raise

    def _rate_at(self, step: int) -> tuple[float, int]:
        """The rate at a step, and how many steps came before it since the last restart."""
        at = bisect.bisect(self.restarts, step // self.steps) - 1
        begin, end = [*self.restarts, self.config.epochs][at : at + 2]
        since = step - begin * self.steps
        share = rate_share(since, (end - begin) * self.steps, self.config.warm_up)
        return self.config.rate * self.slowing**at * share, since

    def end_epoch(self) -> float:
        """Begin the next epoch's steps, and give the mean loss of this one's."""
        mean = sum(self.losses) / len(self.losses)
        self.losses = []
        return mean

    @property
    def spent(self) -> float:
        """Seconds up to now."""
        return self.seconds + time.perf_counter() - self._begun

    def save(self, counters: Mapping[str, float]) -> None:
        """Write all that a resumed run needs, after an epoch or after any step of it."""
        self.seconds = self.spent
        self._begun, self._losses_then = time.perf_counter(), len(self.losses)
        if self.run is not None:
            tensors = pack(self._parts)
            if self.losses:
                tensors["losses"] = torch.tensor(self.losses, dtype=torch.float64)
            self.run.save_checkpoint(tensors, {**counters, "seconds": self.seconds})

    def load(self, out: Path) -> dict[str, float] | None:
        """Go on from a run's checkpoint, and return its counters; None if there is none yet.

        Raises:
            WeightsError: The checkpoint is damaged, or of another network.
        """
        run = RunDirectory(out, None, resume=True)
        saved = run.load_checkpoint(writing=self.fabric.is_global_zero)
        if saved is None:
            return None
        tensors, counters = saved
        unpack(self._parts, tensors, out / "checkpoint.safetensors")
        self.losses = tensors["losses"].tolist() if "losses" in tensors else []
        self._losses_then = len(self.losses)
        self.seconds = counters.pop("seconds")
        return counters
