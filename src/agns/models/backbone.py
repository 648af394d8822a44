"""Backbones: from faces to descriptors, and what the network itself takes for a face."""

from collections.abc import Iterator, Mapping
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from agns.errors import ConfigError, WeightsError
from agns.geometry import resize
from agns.images import check_images
from agns.models.checkpoint import Stored
from agns.models.families import FAMILIES
from agns.models.layers import Convention, Pooling
from agns.models.layout import device_of
from agns.types import CANVAS, Images


class Backbone(Stored):
    """A network from faces to descriptors; a recogniser can be started from it.

    Args:
        family: A key of `FAMILIES`.
        pooling: Form of OpenFace's pooling branches; VGG has only one.
        convention: Form of OpenFace's padding and normalisations; VGG has only one.

    Raises:
        ConfigError: There is no such family.
    """

    kind, words = "backbone", "backbone"

    average: Tensor | None
    """What is subtracted from faces in the network's range before its first layer, for weights
    that were trained so: (3, 1, 1), or a picture of the network's size."""

    def __init__(
        self, family: str, *, pooling: Pooling = "strided", convention: Convention = "torch"
    ) -> None:
        super().__init__()
        if family not in FAMILIES:
            raise ConfigError(f"unknown family {family!r}: choose one of {', '.join(FAMILIES)}")
        self.family, self.pooling, self.convention = family, pooling, convention
        self.contract = FAMILIES[family].contract
        self.backbone = FAMILIES[family].backbone(pooling, convention)
        self.register_buffer("average", None)

    def subtract(self, average: Tensor | None) -> None:
        """Take another average, or none.

        Raises:
            WeightsError: It is neither (3, 1, 1) nor a picture of the network's size.
        """
        size = self.contract.size
        if average is not None and tuple(average.shape) not in ((3, 1, 1), (3, size, size)):
            raise WeightsError(
                f"an average face should be (3, 1, 1) or (3, {size}, {size}), "
                f"got {tuple(average.shape)}"
            )
        self.average = None if average is None else average.detach().clone()

    def specification(self) -> dict[str, object]:
        """Family and form, as JSON values."""
        return {"family": self.family, "pooling": self.pooling, "convention": self.convention}

    @classmethod
    def build(cls, content: Mapping[str, object], tensors: Mapping[str, Tensor]) -> "Backbone":
        """Make the backbone that a file describes, still to be filled."""
        pooling, convention = forms(content)
        made = cls(str(content["family"]), pooling=pooling, convention=convention)
        return with_average(made, tensors)

    def _described(self) -> Iterator[tuple[str, str]]:
        yield "network", f"backbone {self.form()}"
        yield "takes", self.seen("RGB faces ")

    def form(self) -> str:
        """Its architecture, in words."""
        if self.family == "vgg":
            return "VGG-16"
        return f"OpenFace's nn4.small2, pooling {self.pooling}, convention {self.convention}"

    def seen(self, what: str = "") -> str:
        """What the network itself takes, in words: `what`, with size and range."""
        size, low, high = self.contract.size, self.contract.low, self.contract.high
        less = "" if self.average is None else ", less an average face"
        return f"{size}x{size} {what}in [{low:g}, {high:g}]{less}"

    def forward(self, faces: Images) -> Float[Tensor, "batch output"]:
        """As `describe`; a recogniser gives logits instead."""
        return self.describe(faces)

    def describe(self, faces: Images) -> Float[Tensor, "batch descriptor"]:
        """Descriptors of faces, which are canonical or at the network's own size, in [0, 1].

        Raises:
            ImageContractError: The faces have another size, layout or range.
        """
        descriptors: Tensor = self.backbone(self._prepared(faces, None))
        return descriptors.float().to(faces.device)

    def _prepared(self, faces: Tensor, size: int | None) -> Tensor:
        """Faces as the backbone takes them."""
        size = self.contract.size if size is None else size
        own = faces.ndim == 4 and tuple(faces.shape[2:]) == (size, size)
        check_images(faces, size=(size, size) if own else (CANVAS, CANVAS))
        low, high = self.contract.low, self.contract.high
        faces = faces.to(device_of(self.backbone))
        scaled = resize(faces, (size, size)) * (high - low) + low
        if self.average is not None:
            # A whole picture shrinks with the faces; a colour fits any size.
            average = self.average[None]
            scaled = scaled - (resize(average, (size, size)) if average.shape[2] > 1 else average)
        # Follow the weights: a network laid out channels-last is slowed by other input.
        if next(self.backbone.parameters()).is_contiguous(memory_format=torch.channels_last):
            scaled = scaled.contiguous(memory_format=torch.channels_last)
        return scaled


_Backbone = TypeVar("_Backbone", bound=Backbone)


def with_average(network: _Backbone, tensors: Mapping[str, Tensor]) -> _Backbone:
    """A network with room for the average face that a file holds, if it does."""
    if "average" in tensors:
        network.subtract(torch.empty(tensors["average"].shape))
    return network


def forms(content: Mapping[str, object]) -> tuple[Pooling, Convention]:
    """The forms of OpenFace that a file names."""
    return (
        "same" if content["pooling"] == "same" else "strided",
        # Files of before this choice hold networks of the original form.
        "tensorflow" if content.get("convention") == "tensorflow" else "torch",
    )
