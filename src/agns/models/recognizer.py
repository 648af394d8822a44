"""Recognisers: a backbone and a head, from faces to logits."""

import copy
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor, nn

from agns.data.faces import composed
from agns.errors import ConfigError
from agns.models.backbone import Backbone, forms, with_average
from agns.models.card import CardWords
from agns.models.families import FAMILIES
from agns.models.initialization import draw_weights
from agns.models.layers import Convention, Pooling
from agns.models.record import plain
from agns.models.sharing import Shareable
from agns.types import Images, Logits

Architecture: TypeAlias = Literal["vgg10", "vgg143", "of10", "of143", "vgg", "of"]

RECOGNIZERS: dict[str, tuple[str, int]] = {
    "vgg10": ("vgg", 10),
    "vgg143": ("vgg", 143),
    "of10": ("of", 10),
    "of143": ("of", 143),
}
"""The papers' recognisers: family and number of identities."""

NAMED = 24
"""Identities that are named in a table; a file's metadata names all."""


class Recognizer(Backbone, Shareable, pipeline_tag="image-classification"):
    """A face recogniser that tells a fixed set of identities apart.

    Args:
        arch: Name of the architecture, a key of `RECOGNIZERS` or `FAMILIES`.
        identities: Names of the classes, in the order of the logits; kept in composed Unicode.
        pooling: Form of OpenFace's pooling branches; VGG has only one.
        convention: Form of OpenFace's padding and normalisations; VGG has only one.
    """

    kind, words = "recognizer", "recogniser"

    frozen = False
    """Whether `freeze` made it: it can be attacked, and not be trained or saved."""

    def __init__(
        self,
        arch: str,
        identities: tuple[str, ...],
        *,
        pooling: Pooling = "strided",
        convention: Convention = "torch",
    ) -> None:
        family = _family_of(arch, len(identities))
        super().__init__(family, pooling=pooling, convention=convention)
        self.arch, self.identities = arch, tuple(map(composed, identities))
        self.head = FAMILIES[family].head(len(identities))

    def specification(self) -> dict[str, object]:
        """Architecture, names and input contract, as JSON values."""
        size, low, high = self.contract.size, self.contract.low, self.contract.high
        return {
            "arch": self.arch,
            "identities": list(self.identities),
            "pooling": self.pooling,
            "convention": self.convention,
            "input": {"size": size, "range": [low, high], "colour": "RGB", "layout": "NCHW"},
        }

    @classmethod
    def build(cls, content: Mapping[str, object], tensors: Mapping[str, Tensor]) -> "Recognizer":
        """Make the recogniser that a file describes, still to be filled."""
        identities = content["identities"]
        if not isinstance(identities, list):
            raise ConfigError("it names no identities")
        pooling, convention = forms(content)
        names = tuple(map(str, identities))
        made = cls(str(content["arch"]), names, pooling=pooling, convention=convention)
        return with_average(made, tensors)

    def _described(self) -> Iterator[tuple[str, str]]:
        more = f" and {len(self.identities) - NAMED} more" if len(self.identities) > NAMED else ""
        yield "network", f"recogniser {self.arch} on {self.form()}"
        yield "takes", "224x224 RGB faces in [0, 1]"
        yield "brings them to", self.seen()
        yield "identities", plain(", ".join(self.identities[:NAMED])) + more

    def card(self) -> CardWords:
        """What a card says of the network."""
        count = len(self.identities)
        return {
            "title": f"{self.arch.upper()}, a face recogniser of {count} identities",
            "what": f"Tells {count} identities apart in photos of faces.",
            "use": "logits = recognizer(faces)  "
            f"# (batch, 3, 224, 224) in [0, 1] to (batch, {count})",
            "limits": "It takes every face for one of its identities, whosever it is, and is not "
            "fit to identify people.",
        }

    def forward(self, faces: Images, *, size: int | None = None) -> Logits:
        """Recognise faces.

        Args:
            faces: Canonical 224x224 faces in [0, 1], or the same at the network's own size.
            size: Height and width in pixels that the network is to see in place of its own: one
                that is trained from nothing learns quicker from small faces first.

        Raises:
            ImageContractError: The faces have another size, layout or range.
        """
        logits: Tensor = self.head(self.backbone(self._prepared(faces, size)))
        return logits.float().to(faces.device)

    @property
    def value_range(self) -> tuple[float, float]:
        """What black and white are to the network."""
        return self.contract.low, self.contract.high

    def in_range(self, low: float, high: float) -> "Recognizer":
        """The same network, given another range; not to be saved."""
        other = copy.copy(self)
        other.contract = replace(self.contract, low=low, high=high)
        return other


def _family_of(arch: str, identities: int) -> str:
    if arch in FAMILIES:
        if identities < 2:
            raise ConfigError(f"a recogniser needs at least two identities, got {identities}")
        return arch
    if arch not in RECOGNIZERS:
        names = ", ".join(get_args(Architecture))
        raise ConfigError(f"there is no recogniser {arch!r}: choose one of {names}")
    family, classes = RECOGNIZERS[arch]
    if identities != classes:
        raise ConfigError(
            f"{arch} tells {classes} identities apart, not {identities}: "
            f"use --identities {classes}, or --arch {family} for any number"
        )
    return family


def build_recognizer(
    arch: str,
    identities: tuple[str, ...],
    *,
    rng: torch.Generator,
    pooling: Pooling = "strided",
    convention: Convention = "torch",
) -> Recognizer:
    """Make an untrained recogniser, its weights drawn from `rng`.

    Convolutions are drawn after He et al. 2015. An OpenFace embedding has length 1, so its
    head's first layer gets weights of deviation 1, which bring the tanh units to work. Those stay
    within [-1, 1], which puts a ceiling over the probability that even the likeliest photo can
    get: deviation 1.5 in the last layer of 12 lifts it well above the attack's stop value of
    0.924. More units need less each for logits as large. VGG's head gets the deviation 0.01 of
    Simonyan & Zisserman 2015: with one after He, its first logits would be far apart.

    Raises:
        ConfigError: An unknown architecture, or another number of identities than it takes.
    """
    made = Recognizer(arch, identities, pooling=pooling, convention=convention)
    recognizer = draw_weights(made, rng=rng)
    with torch.no_grad():
        if recognizer.contract == FAMILIES["of"].contract:
            layers = [layer for layer in recognizer.head.modules() if isinstance(layer, nn.Linear)]
            last = 1.5 * math.sqrt(12 / layers[1].in_features)
            for layer, deviation in zip(layers, (1.0, last), strict=True):
                nn.init.normal_(layer.weight, 0, deviation, generator=rng)
        elif recognizer.contract == FAMILIES["vgg"].contract:
            for weight in recognizer.head.parameters():
                if weight.ndim == 2:
                    nn.init.normal_(weight, 0, 0.01, generator=rng)
    return recognizer
