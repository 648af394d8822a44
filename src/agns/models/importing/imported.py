"""What importers share: the empty network for a source, filling it, and what is handed over."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from agns.errors import ConfigError, WeightsError
from agns.models.backbone import Backbone
from agns.models.checkpoint import Stored
from agns.models.layers import Convention, Pooling
from agns.models.recognizer import RECOGNIZERS, Recognizer

GAN = ("generator", "discriminator")
VGG = ("vgg16", "vgg", "vgg10", "vgg143")
OPENFACE = ("openface", "of", "of10", "of143")
"""What can be imported, by family."""

BACKBONES = {"vgg16": "vgg", "openface": "of"}
"""Backbones alone, and their families."""

MOST_CLASSES = 100_000
"""More than any recogniser of faces tells apart; a small file may declare any number."""

WEIGHTED = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm1d, nn.BatchNorm2d)
"""Layers with weights of their own."""

Found: TypeAlias = dict[str, tuple[Tensor, str]]
"""Tensors in our layout by our names, each with what the source calls it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """A network with another system's weights, in evaluation mode."""

    network: Stored
    """Filled and ready."""

    kind: str
    """What the source was recognised as, in words."""

    def save(self, path: Path, source: str) -> None:
        """Write it as safetensors, with the name of its source on record."""
        self.network.record = {"imported": {"source": source, "kind": self.kind}}
        self.network.write(path)


def empty(
    arch: str,
    classes: Callable[[], int],
    identities: Callable[[], Sequence[str] | None],
    *,
    pooling: Pooling = "strided",
    convention: Convention = "torch",
) -> Backbone:
    """A recogniser or a backbone without storage: a small file may declare any size.

    Args:
        arch: One of either.
        classes: Counts the classes that the source's last layer tells apart; a backbone has none.
        identities: Gives their names, if there are any.
        pooling: Form of OpenFace's pooling branches.
        convention: Form of OpenFace's padding and normalisations.

    Raises:
        ConfigError: As `name_classes`.
        WeightsError: As `name_classes`.
    """
    names = () if arch in BACKBONES else name_classes(arch, classes(), identities())
    with torch.device("meta"):
        if arch in BACKBONES:
            return Backbone(BACKBONES[arch], pooling=pooling, convention=convention)
        return Recognizer(arch, names, pooling=pooling, convention=convention)


def finished(
    network: Backbone,
    found: Found,
    path: Path,
    kind: str,
    *,
    average: Tensor | None,
    first: Callable[[Tensor], Tensor] = lambda weight: weight,
) -> Imported:
    """Fill a network, and bring the source's range of faces to ours.

    Args:
        network: Lies on no device.
        found: What becomes its tensors.
        path: Where they came from.
        kind: What the source is, in words.
        average: What is subtracted from a face in our range.
        first: What the first convolution's weights become.

    Raises:
        WeightsError: As `place`.
    """
    place(network, found, path)
    with torch.no_grad():
        weight = next(part for part in network.modules() if isinstance(part, nn.Conv2d)).weight
        weight.copy_(first(weight.clone()))
    network.subtract(average)
    return Imported(network=network.eval(), kind=kind)


def name_classes(arch: str, count: int, identities: Sequence[str] | None) -> tuple[str, ...]:
    """Names of a recogniser's classes: those given, or numbers.

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


def layers_of(
    network: nn.Module, kinds: tuple[type[nn.Module], ...] = WEIGHTED
) -> dict[str, nn.Module]:
    """A network's layers of some kinds by their names, in order."""
    return {name: part for name, part in network.named_modules() if isinstance(part, kinds)}


def to_tensor(array: np.ndarray, what: str) -> Tensor:
    """A float32 copy in rows-first layout.

    Raises:
        WeightsError: A number is not finite in 32 bits; `what` holds it.
    """
    # A number beyond float32 becomes infinite.
    with np.errstate(over="ignore"):
        plain = np.array(array, dtype=np.float32, order="C")
    if not np.isfinite(plain).all():
        raise WeightsError(f"{what} holds a number that is not finite in 32 bits")
    return torch.from_numpy(plain)


def place(network: nn.Module, found: Found, path: Path) -> None:
    """Load tensors into a network, naming in the complaint what the source calls them.

    Args:
        network: Takes them; counters of batches seen may be left out. It may lie on no device:
            room is made for it once everything fits.
        found: The tensors.
        path: Where they came from.

    Raises:
        WeightsError: A tensor is missing, too many, or of another shape.
    """
    own = network.state_dict()
    for name, (tensor, theirs) in found.items():
        if name not in own:
            raise WeightsError(f"{path} holds {theirs}, which the network does not have")
        if tensor.shape != own[name].shape:
            raise WeightsError(
                f"{path}: {theirs} comes to {tuple(tensor.shape)}, "
                f"expected {tuple(own[name].shape)}"
            )
    for name in own:
        if name not in found and not name.endswith("num_batches_tracked"):
            raise WeightsError(f"{path} lacks what becomes {name} {tuple(own[name].shape)}")
    if any(tensor.is_meta for tensor in own.values()):
        network.to_empty(device="cpu")
        for name, tensor in network.state_dict().items():
            if name not in found:
                tensor.zero_()
    network.load_state_dict({name: tensor for name, (tensor, _) in found.items()}, strict=False)
