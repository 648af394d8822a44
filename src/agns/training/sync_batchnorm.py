"""Batch norms and embeddings of the joint batch of all processes of a training.

torch's own `SyncBatchNorm`, which Lightning uses too, refuses tensors on the processor; the
differentiable sums of `torch.distributed.nn` are deprecated in favour of private ones.
"""

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm


class _SumOverProcesses(torch.autograd.Function):
    """Sums a tensor over the processes; so does its gradient."""

    @staticmethod
    def forward(_: object, x: Tensor) -> Tensor:
        total = x.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(_: object, gradient: Tensor) -> Tensor:
        total = gradient.clone()
        distributed.all_reduce(total)
        return total


# torch leaves `apply` without types.
_sum_over_processes: Callable[[Tensor], Tensor] = _SumOverProcesses.apply


def gather_over_processes(x: Tensor) -> Tensor:
    """Equally large tensors of all processes, one after the other; differentiable.

    With a loss that every process takes over all of it, and gradients that DDP averages, the
    step is that of one process with the joint batch.
    """
    if not distributed.is_initialized():
        return x
    before = len(x) * distributed.get_rank()
    after = len(x) * distributed.get_world_size() - len(x) - before
    # Each process's own in its place, and nothing in the others'.
    return _sum_over_processes(functional.pad(x, (*[0, 0] * (x.ndim - 1), before, after)))


class _SyncBatchNorm(_BatchNorm):
    """Batch norm by the statistics of the joint batch of all processes (Ioffe & Szegedy 2015).

    With equal shares, each process gets the outputs, and the gradients summed over the processes,
    that a single one with the joint batch would get.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (batch, channels, ...); while training, jointly."""
        if not self.training or not distributed.is_initialized():
            alone: Tensor = super().forward(x)
            return alone
        count = x.numel() // x.shape[1] * distributed.get_world_size()
        others = [dimension for dimension in range(x.ndim) if dimension != 1]
        shape = (-1, *[1] * (x.ndim - 2))
        with torch.autocast(x.device.type, enabled=False):
            entries = x.float()
            mean = _sum_over_processes(entries.sum(others)) / count
            centred = entries - mean.reshape(shape)
            variance = _sum_over_processes(centred.square().sum(others)) / count
            scale = self.weight * (variance + self.eps).rsqrt()
            normal = centred * scale.reshape(shape) + self.bias.reshape(shape)
        with torch.no_grad():
            unbiased = variance * count / max(1, count - 1)
            for running, found in ((self.running_mean, mean), (self.running_var, unbiased)):
                assert running is not None
                assert self.momentum is not None
                running.lerp_(found, self.momentum)
            assert self.num_batches_tracked is not None
            self.num_batches_tracked.add_(1)
        joined: Tensor = normal.to(x.dtype)
        return joined


class SyncBatchNorm1d(_SyncBatchNorm, nn.BatchNorm1d):
    """Of (batch, channels)."""


class SyncBatchNorm2d(_SyncBatchNorm, nn.BatchNorm2d):
    """Of (batch, channels, height, width)."""


_Network = TypeVar("_Network", bound=nn.Module)


def sync_batch_norms(network: _Network) -> _Network:
    """Let a network's batch norms see the joint batch, in place; names and weights stay."""
    kinds = {nn.BatchNorm1d: SyncBatchNorm1d, nn.BatchNorm2d: SyncBatchNorm2d}
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if isinstance(child, _BatchNorm) and type(child) in kinds:
                synced = kinds[type(child)](child.num_features, child.eps, child.momentum)
                synced.load_state_dict(child.state_dict())
                setattr(parent, name, synced)
    return network
