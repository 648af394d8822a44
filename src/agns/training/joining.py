"""What the processes of a training do jointly: sums, batches and batch norms."""

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn
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


def _sum_over_processes(x: Tensor) -> Tensor:
    # torch leaves `apply` without types.
    apply: Callable[[Tensor], Tensor] = _SumOverProcesses.apply
    return apply(x)


class _JoinOverProcesses(torch.autograd.Function):
    """Puts the processes' tensors one after the other; each gets back the sum of its gradients."""

    @staticmethod
    def forward(_: object, x: Tensor) -> Tensor:
        parts = [torch.empty_like(x) for _ in range(distributed.get_world_size())]
        distributed.all_gather(parts, x.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(_: object, gradient: Tensor) -> Tensor:
        total = gradient.clone()
        distributed.all_reduce(total)
        return total.chunk(distributed.get_world_size())[distributed.get_rank()]


def join_over_processes(x: Tensor) -> Tensor:
    """Equally large tensors of all processes, one after the other; differentiable.

    With a loss that every process takes over all of it, and gradients that DDP averages, the
    step is that of one process with the joint batch.
    """
    if not distributed.is_initialized():
        return x
    apply: Callable[[Tensor], Tensor] = _JoinOverProcesses.apply
    return apply(x)


class _JoinedBatchNorm(_BatchNorm):
    """Batch norm by the statistics of the joint batch of all processes (Ioffe & Szegedy 2015).

    torch's own works on GPUs alone. With equal shares, each process gets the outputs, and the
    gradients summed over the processes, that a single one with the joint batch would get.
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
        self._remember(mean.detach(), variance.detach() * count / max(1, count - 1))
        joined: Tensor = normal.to(x.dtype)
        return joined

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)
        self.num_batches_tracked.add_(1)


class JoinedBatchNorm1d(_JoinedBatchNorm, nn.BatchNorm1d):
    """Of (batch, channels)."""


class JoinedBatchNorm2d(_JoinedBatchNorm, nn.BatchNorm2d):
    """Of (batch, channels, height, width)."""


_KINDS: dict[type[nn.Module], type[JoinedBatchNorm1d | JoinedBatchNorm2d]] = {
    nn.BatchNorm1d: JoinedBatchNorm1d,
    nn.BatchNorm2d: JoinedBatchNorm2d,
}

_Network = TypeVar("_Network", bound=nn.Module)


def join_batch_norms(network: _Network) -> _Network:
    """Let a network's batch norms see the joint batch, in place; names and weights stay."""
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            kind = _KINDS.get(type(child))
            if kind is not None and isinstance(child, _BatchNorm):
                joined = kind(child.num_features, child.eps, child.momentum)
                joined.load_state_dict(child.state_dict())
                setattr(parent, name, joined)
    return network
