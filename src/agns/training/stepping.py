"""What trainings on Fabric share: a network's steps, its averaged weights, and its checkpoint."""

import bisect
import copy
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Generic, TypeVar

import torch
from lightning_fabric import Fabric
from lightning_fabric.wrappers import _FabricOptimizer
from torch import Tensor, nn

from agns.errors import DataError
from agns.models.checkpoint import fill
from agns.models.layout import lay_channels_last
from agns.run_directory import RunDirectory
from agns.storage import under
from agns.training.joining import join_batch_norms
from agns.training.optimizer_state import pack_optimizer, unpack_optimizer
from agns.training.parallel import mean_over_processes, precision_of
from agns.training.recipe import rate_share, set_rate
from agns.types import Images, Progress

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


class Stepper(Generic[_Network]):
    """A network in training on one process or many: AdamW, clipped gradients, averaged weights.

    Args:
        network: Is brought to the Fabric's device; its batch norms come to see the joint batch.
        fabric: Launched.
        name: What its tensors' names begin with in a checkpoint.
        rate: Largest learning rate.
        warm_up: Share of the steps in which the rate rises.
        weight_decay: AdamW's.
        averaging: Decay per step of the moving average of the weights.
        steps: How many there are in an epoch.
        epochs: How many of these there will be.
        stages: The epochs, counted from 0, with which something new begins. In each stage the
            rate rises and falls anew, and the average forgets what was before.
        slowing: What the largest rate is multiplied by from one stage to the next.
    """

    def __init__(
        self,
        network: _Network,
        fabric: Fabric,
        *,
        name: str,
        rate: float,
        warm_up: float,
        weight_decay: float,
        averaging: float,
        steps: int,
        epochs: int,
        stages: Sequence[int] = (0,),
        slowing: float = 1.0,
    ) -> None:
        self.fabric, self.name, self.steps, self.epochs = fabric, name, steps, epochs
        self.rate, self.warm_up, self.averaging = rate, warm_up, averaging
        self.stages, self.slowing = tuple(stages), slowing
        self.losses: list[float] = []
        """Mean loss over the processes, by the steps of this epoch."""
        if fabric.world_size > 1:
            join_batch_norms(network)
        else:
            # Several processes join gradients in buckets, which are laid out plainly.
            lay_channels_last(network)
        self.network = network.train()
        self.averaged = copy.deepcopy(network).to(fabric.device).eval()
        self._wrapped = fabric.setup_module(_Unrounded(network))
        self.optimizer = torch.optim.AdamW(
            network.parameters(),
            lr=rate,
            weight_decay=weight_decay,
            # Scaled 16-bit gradients cannot be clipped with the fused form.
            fused=precision_of(fabric) != "16-mixed",
        )
        stepping = fabric.setup_optimizers(self.optimizer)
        assert isinstance(stepping, _FabricOptimizer)
        self._stepping = stepping

    def forward(self, images: Images, *, size: int | None = None) -> Tensor:
        """What the network makes of this process's share of a batch, in the precision asked for.

        Args:
            images: In [0, 1], or in the network's own range.
            size: As `Recognizer.forward` takes it; not for other networks.
        """
        options = {} if size is None else {"size": size}
        made: Tensor = self._wrapped(_Held(images), **options)
        return made

    def take(self, step: int, loss: Tensor) -> None:
        """Take one step down a loss, and note its mean over the processes.

        Args:
            step: Its number, from 0.
            loss: This process's part of the joint loss, a scalar.

        Raises:
            DataError: It is no longer finite.
        """
        rate, since = self._pace(step)
        set_rate(self.optimizer, rate)
        self._stepping.zero_grad()
        self.fabric.backward(loss)
        self.fabric.clip_gradients(
            self._wrapped, self._stepping, max_norm=5.0, error_if_nonfinite=False
        )
        self._stepping.step()
        move_average(self.averaged, self.network, min(self.averaging, (since + 1) / (since + 11)))
        mean = mean_over_processes(self.fabric, loss)
        if not math.isfinite(mean):
            epoch = step // self.steps + 1
            raise DataError(f"the loss is {mean} in epoch {epoch}: lower the rate")
        self.losses.append(mean)

    def _pace(self, step: int) -> tuple[float, int]:
        """The rate at a step, and how many steps of its stage came before it."""
        stage = bisect.bisect(self.stages, step // self.steps) - 1
        end = self.stages[stage + 1] if stage + 1 < len(self.stages) else self.epochs
        since = step - self.stages[stage] * self.steps
        share = rate_share(since, (end - self.stages[stage]) * self.steps, self.warm_up)
        return self.rate * self.slowing**stage * share, since

    def save(self, run: RunDirectory, counters: Mapping[str, float]) -> None:
        """Write all that a resumed run needs, after an epoch or after any step of it."""
        parts = {self.name: self.network, "averaged": self.averaged}
        tensors = {
            f"{part}.{key}": tensor
            for part, network in parts.items()
            for key, tensor in network.state_dict().items()
        }
        if self.losses:
            tensors["losses"] = torch.tensor(self.losses, dtype=torch.float64)
        run.save_checkpoint({**tensors, **pack_optimizer(self.optimizer, "optimizer")}, counters)

    def tell(
        self,
        progress: Progress,
        step: int,
        speed: float,
        run: RunDirectory | None,
        counters: Mapping[str, float],
    ) -> None:
        """Tell of a step that was taken; a `KeyboardInterrupt` meanwhile leaves a checkpoint.

        Args:
            progress: Told of it.
            step: Its number, from 0.
            speed: Images per second.
            run: Where the checkpoint goes; None in processes that do not write.
            counters: What goes into it beside the tensors.
        """
        figures = {"loss": self.losses[-1], "images/s": speed}
        try:
            progress(step + 1, self.steps * self.epochs, figures)
        except KeyboardInterrupt:
            # Of several processes, each may be at a step of its own.
            if run is not None and self.fabric.world_size == 1:
                self.save(run, counters)
            raise

    def end_epoch(self) -> float:
        """Begin the next epoch's steps, and give the mean loss of this one's."""
        mean = sum(self.losses) / len(self.losses)
        self.losses = []
        return mean

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
        path = out / "checkpoint.safetensors"
        fill(self.network, under(tensors, self.name), path)
        fill(self.averaged, under(tensors, "averaged"), path)
        unpack_optimizer(self.optimizer, "optimizer", tensors, path)
        self.losses = tensors["losses"].tolist() if "losses" in tensors else []
        return counters
