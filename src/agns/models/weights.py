"""A network's numbers: counted, drawn, averaged, laid out, and filled from a file."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from agns.errors import WeightsError

WRAPPERS = frozenset(
    {
        "module",  # DataParallel, DistributedDataParallel, DeepSpeed, AveragedModel
        "_module",  # Opacus
        "_orig_mod",  # torch.compile
        "_fsdp_wrapped_module", "_fpw_module",  # FSDP, and FairScale's
        "_checkpoint_wrapped_module",  # activation checkpointing
        "_forward_module", "_original_module",  # Fabric
    }
)  # fmt: skip
"""Names that wrappers of networks put into those of the tensors, before them or within."""


def plain_name(name: str) -> str:
    """A tensor's name without what wrappers put into it."""
    return ".".join(part for part in name.split(".") if part not in WRAPPERS)


def plain_state(network: nn.Module) -> dict[str, Tensor]:
    """A network's tensors by their own names, whatever is wrapped around it or its parts."""
    return {plain_name(name): tensor for name, tensor in network.state_dict().items()}


def unwrapped(network: nn.Module) -> nn.Module:
    """The network within torch.compile, DataParallel and their like."""
    while inner := next(
        (network._modules[name] for name in WRAPPERS & network._modules.keys()), None
    ):
        network = inner
    return network


def count_parameters(network: nn.Module) -> int:
    """Parameters and moving statistics; the counters of batches seen are left out."""
    return sum(
        tensor.numel()
        for name, tensor in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    )


def fill(network: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Load tensors into a network, saying which one does not fit.

    A network that lies on no device comes to lie on the CPU.

    Raises:
        WeightsError: As `fitting` raises it.
    """
    fitted = fitting(network, tensors, path)
    if any(tensor.is_meta for tensor in network.state_dict().values()):
        network.to_empty(device="cpu")
    network.load_state_dict(fitted)


def fitting(network: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Tensors in a network's own types, or a complaint of the first that does not fit.

    Args:
        network: May lie on no device.
        tensors: By its names; numbers with a point of any width are taken for its own.
        path: Where they came from.

    Raises:
        WeightsError: A tensor is missing, too many, of another shape, of a type that holds no
            weights, or not finite.
    """
    expected = network.state_dict()
    fitted = {}
    for name in sorted(expected.keys() | tensors.keys()):
        if name not in tensors:
            raise WeightsError(f"{path} lacks the tensor {name}")
        if name not in expected:
            raise WeightsError(f"{path} holds a tensor {name} that the network does not have")
        if tensors[name].shape != expected[name].shape:
            raise WeightsError(
                f"{path}: {name} is {tuple(tensors[name].shape)}, "
                f"expected {tuple(expected[name].shape)}"
            )
        fitted[name] = as_type(tensors[name], expected[name].dtype, f"{path}: {name}")
    return fitted


def as_type(tensor: Tensor, dtype: torch.dtype, what: str) -> Tensor:
    """A tensor in the type that a network keeps it in, if it can be.

    Weights may come in any width, from 8 bits to 64. Whole numbers in their place are what
    quantisation leaves, and mean nothing without its scales.

    Args:
        tensor: Dense or not.
        dtype: The network's own.
        what: Names the tensor in the complaint.

    Raises:
        WeightsError: It holds no weights, or a number that is not finite in that type.
    """
    own = str(tensor.dtype).removeprefix("torch.")
    if tensor.layout != torch.strided or tensor.is_quantized:
        raise WeightsError(f"{what} is {own}, {tensor.layout}, and weights are plain and dense")
    whole = not tensor.is_floating_point() and not tensor.is_complex()
    unfit = tensor.is_complex() or tensor.dtype == torch.bool
    if unfit or (whole and dtype.is_floating_point):
        raise WeightsError(
            f"{what} is {own}, and no numbers with a point: save it as float32 or float16"
        )
    try:
        # Counters are whole, though some scripts save them as they save all else; 8 bits with a
        # point know no test of their own.
        wide = tensor.to(dtype if whole or dtype.is_floating_point else torch.float64)
        finite = bool(wide.isfinite().all())
    except (RuntimeError, TypeError) as error:
        raise WeightsError(f"{what} is {own}, which PyTorch does not turn into {dtype}") from error
    if not finite:
        raise WeightsError(f"{what} holds a number that is not finite")
    return wide.to(dtype)


def read_average(tensors: Mapping[str, Tensor], path: Path) -> Tensor | None:
    """The average face among a file's tensors, if there is one.

    Raises:
        WeightsError: As `as_type` raises it.
    """
    average = tensors.get("average")
    return None if average is None else as_type(average, torch.float32, f"{path}: average")


def weights_digest(network: nn.Module) -> str:
    """The first 16 hex digits of the SHA-256 of a network's tensors, in the order of its names."""
    whole = hashlib.sha256()
    for tensor in network.state_dict().values():
        whole.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return whole.hexdigest()[:16]


def device_of(network: object) -> torch.device:
    """Where a network's weights are; what it is given is moved there, and the answer back.

    The CPU for what has none.
    """
    weights = network.parameters() if isinstance(network, nn.Module) else iter(())
    first = next(weights, None)
    return torch.device("cpu") if first is None else first.device


_Module = TypeVar("_Module", bound=nn.Module)


def lay_channels_last(network: _Module) -> _Module:
    """Lay a network's convolution weights out channels-last in place, which its inputs follow."""
    for parameter in network.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return network


def draw_weights(network: _Module, *, generator: torch.Generator) -> _Module:
    """Draw a network's weights in place after He et al. 2015; biases become 0."""
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
    return network


@torch.no_grad()
def average(averaged: nn.Module, network: nn.Module, decay: float) -> None:
    """Move the averaged weights and statistics towards the network's."""
    into, source = averaged.state_dict(), network.state_dict()
    floating = [name for name, tensor in into.items() if tensor.is_floating_point()]
    torch._foreach_lerp_(
        [into[name] for name in floating], [source[name] for name in floating], 1 - decay
    )


def draw_gan_weights(network: _Module, *, generator: torch.Generator) -> _Module:
    """Draw a network's weights from N(0, 0.02) in place (Radford et al. 2016); biases become 0."""
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
                nn.init.normal_(layer.weight, 0, 0.02, generator=generator)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
    return network


def photos_seen(metadata: Mapping[str, object]) -> frozenset[str]:
    """Digests of the photos that a network was trained on, as far as its file tells.

    Args:
        metadata: What the file says beside the weights.
    """
    listed = metadata.get("training_photos")
    return frozenset(map(str, listed)) if isinstance(listed, list) else frozenset()
