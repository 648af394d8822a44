"""Networks in safetensors files: weights, and beside them what the network is and its record.

This is the one reader and the one writer for all networks: what a file says is checked, an empty
network is made by it, and filled if every tensor fits.
"""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, TypeVar, cast

import torch
from torch import Tensor, nn

from agns.errors import ConfigError, WeightsError
from agns.storage import load_tensors, save_tensors

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


_Stored = TypeVar("_Stored", bound="Stored")


class Stored(nn.Module, ABC):
    """A network that has files of its own."""

    kind: ClassVar[str]
    """What its files call it."""

    words: ClassVar[str]
    """What people call it."""

    record: Mapping[str, object] = MappingProxyType({})
    """How the weights came about, as JSON values: recipe, scores, digests of training photos.
    Loading fills it, training and attacks replace it, and sharing passes it on."""

    @abstractmethod
    def specification(self) -> dict[str, object]:
        """What the network is, as JSON values, apart from its weights."""

    @abstractmethod
    def _described(self) -> Iterator[tuple[str, str]]:
        """What the network is, as pairs of words."""

    def described(self) -> Iterator[tuple[str, str]]:
        """What the network is, its size included, as pairs of words for a table."""
        yield from self._described()
        yield "parameters", f"{count_parameters(self):,} with moving statistics"

    @classmethod
    @abstractmethod
    def build(cls, content: Mapping[str, object], tensors: Mapping[str, Tensor]) -> "Stored":
        """Make a network that is still to be filled.

        Args:
            content: What its file says; `specification` is part of it.
            tensors: The file's, where they decide what is built.

        Raises:
            AgnsError, KeyError, TypeError, ValueError: Something is missing, or makes no sense.
        """

    def write(self, path: Path, *, half: bool = False) -> None:
        """Write weights, specification and record as one safetensors file.

        Args:
            path: The file.
            half: As `save_tensors` takes it.

        Raises:
            ConfigError: Batch norms were folded away, or a layer was exchanged for another.
        """
        state, specification = plain_state(self), self.specification()
        with torch.device("meta"):
            whole = self.build(specification, {}).state_dict()
        lacking = sorted(whole.keys() - state.keys())
        if any(name.endswith("running_mean") for name in lacking):
            raise ConfigError(f"a frozen {self.words} cannot be saved: save what it was made from")
        if lacking:
            raise ConfigError(f"the {self.words} cannot be saved: it has no {lacking[0]} any more")
        content = {**self.record, **specification}
        about = {name: json.dumps(value) for name, value in content.items()}
        save_tensors(path, state, {"format": f"agns-{self.kind}-1", **about}, half=half)

    @classmethod
    def read(cls: type[_Stored], path: Path) -> _Stored:
        """Read what `write` wrote; as `read_network`."""
        return read_network(path, cls)


def read_network(path: Path, *kinds: type[_Stored]) -> _Stored:
    """Read a network and its record; it comes in evaluation mode.

    Args:
        path: A safetensors file.
        kinds: What it may hold.

    Raises:
        ConfigError: There is no such file.
        WeightsError: The file is damaged, holds something else, or does not fit.
    """
    tensors, metadata = load_tensors(path)
    written = metadata.pop("format", None)
    kind = next((kind for kind in kinds if written == f"agns-{kind.kind}-1"), None)
    if kind is None:
        words = " or ".join(kind.words for kind in kinds) if len(kinds) < 3 else "network"
        raise WeightsError(f"{path} holds no {words} written by agns")
    try:
        content = {name: json.loads(text) for name, text in metadata.items()}
        # Even a small file may declare a network of any size: memory comes when all fits.
        with torch.device("meta"):
            network = cast(_Stored, kind.build(content, tensors))
    except (ConfigError, WeightsError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise WeightsError(f"{path} has unusable metadata: {error}") from error
    fill(network, tensors, path)
    own = network.specification()
    network.record = {name: value for name, value in content.items() if name not in own}
    return network.eval()


def count_parameters(network: nn.Module) -> int:
    """Parameters and moving statistics; not the batches seen, nor how faces are prepared."""
    apart = ("num_batches_tracked", "average", "mean", "deviation", "matrix")
    state = network.state_dict()
    return sum(state[name].numel() for name in state if name.rpartition(".")[2] not in apart)


def plain_name(name: str) -> str:
    """A tensor's name without what wrappers put into it."""
    return ".".join(part for part in name.split(".") if part not in WRAPPERS)


def plain_state(network: nn.Module) -> dict[str, Tensor]:
    """A network's tensors by their own names, whatever is wrapped around it or its parts."""
    return {plain_name(name): tensor for name, tensor in network.state_dict().items()}


def fill(network: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Load a file's tensors into a network, which may lie on no device and then lies on the CPU.

    Raises:
        WeightsError: A tensor is missing, too many, of another shape, of a type that holds no
            weights, or not finite; nothing is loaded then.
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
    if any(tensor.is_meta for tensor in expected.values()):
        network.to_empty(device="cpu")
    network.load_state_dict(fitted)


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


def weights_digest(network: nn.Module) -> str:
    """The first 16 hex digits of the SHA-256 of a network's tensors, in the order of its names."""
    whole = hashlib.sha256()
    for tensor in network.state_dict().values():
        whole.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return whole.hexdigest()[:16]
