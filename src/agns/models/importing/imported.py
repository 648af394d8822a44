"""What an importer hands over."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from agns.errors import ConfigError, WeightsError
from agns.models.backbone import Backbone, save_backbone
from agns.models.dcgan import Discriminator, Generator, save_network
from agns.models.recognizer import RECOGNIZERS, Recognizer, save_recognizer

MOST_CLASSES = 100_000
"""More than any recogniser of faces tells apart; a small file may declare any number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """A network with another system's weights, in evaluation mode."""

    network: Recognizer | Backbone | Generator | Discriminator
    """Filled and ready."""

    kind: str
    """What the source was recognised as, in words."""

    def save(self, path: Path, source: str) -> None:
        """Write it as safetensors, with where it came from.

        Args:
            path: The file.
            source: Name of the source, for the record.
        """
        about = {"imported": {"source": source, "kind": self.kind}}
        if isinstance(self.network, Recognizer):
            save_recognizer(path, self.network, about)
        elif isinstance(self.network, Backbone):
            save_backbone(path, self.network, about)
        else:
            save_network(path, self.network, about)


@runtime_checkable
class Shaped(Protocol):
    """Anything that knows its shape."""

    @property
    def shape(self) -> Sequence[int]:
        """Sizes of the axes."""


def name_classes(arch: str, count: int, identities: Sequence[str] | None) -> tuple[str, ...]:
    """Names of a recogniser's classes: those given, or numbers.

    Args:
        arch: A recogniser's architecture.
        count: Classes that the source's last layer tells apart.
        identities: The names given, if any.

    Raises:
        WeightsError: The source tells another number apart than the architecture, or one that no
            recogniser does.
        ConfigError: The names are another number than the classes, or one stands twice.
    """
    if arch in RECOGNIZERS and RECOGNIZERS[arch][1] != count:
        raise WeightsError(
            f"the source tells {count} classes apart, and {arch} {RECOGNIZERS[arch][1]}"
        )
    if not 2 <= count <= MOST_CLASSES:
        raise WeightsError(
            f"the source tells {count} classes apart, and a recogniser 2 to {MOST_CLASSES}"
        )
    if identities is None:
        return tuple(f"class_{index:04d}" for index in range(count))
    if len(identities) != count:
        raise ConfigError(f"the source has {count} classes, and {len(identities)} names were given")
    if len(set(identities)) != count:
        raise ConfigError("two classes were given the same name")
    return tuple(identities)


def place(
    network: nn.Module, tensors: Mapping[str, Tensor], names: Mapping[str, str], path: Path
) -> None:
    """Load tensors into a network, naming in the complaint what the source calls them.

    Args:
        network: Takes them; counters of batches seen may be left out. It may lie on no device:
            room is made for it once everything fits.
        tensors: By the network's own names, in its own layout.
        names: For each of these, the source's name.
        path: Where they came from.

    Raises:
        WeightsError: A tensor is missing, too many, or of another shape.
    """
    own = network.state_dict()
    for name, tensor in tensors.items():
        if name not in own:
            raise WeightsError(f"{path} holds {names[name]}, which the network does not have")
        if tensor.shape != own[name].shape:
            raise WeightsError(
                f"{path}: {names[name]} comes to {tuple(tensor.shape)}, "
                f"expected {tuple(own[name].shape)}"
            )
    for name in missing(own, tensors):
        raise WeightsError(f"{path} lacks what becomes {name} {tuple(own[name].shape)}")
    if any(tensor.is_meta for tensor in own.values()):
        network.to_empty(device="cpu")
        for name, tensor in network.state_dict().items():
            if name not in tensors:
                tensor.zero_()
    network.load_state_dict(dict(tensors), strict=False)


def missing(own: Mapping[str, Shaped], given: Mapping[str, Shaped]) -> Iterator[str]:
    """Names in `own` that `given` lacks, counters of batches seen left out."""
    return (name for name in own if name not in given and not name.endswith("num_batches_tracked"))
