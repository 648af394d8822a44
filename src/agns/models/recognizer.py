"""Recognisers: a backbone, a head, and the network's own size and range, from faces to logits."""

import copy
import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from agns.data.faces import composed
from agns.errors import ConfigError, WeightsError
from agns.geometry import resize
from agns.images import check_images
from agns.models.families import FAMILIES
from agns.models.halving import FromPicture
from agns.models.layers import Convention, Pooling
from agns.models.sharing import Shareable, read_content
from agns.models.weights import (
    device_of,
    draw_weights,
    fill,
    lay_channels_last,
    plain_state,
    read_average,
    unwrapped,
)
from agns.storage import load_tensors, save_tensors
from agns.types import CANVAS, Images, Logits

Architecture: TypeAlias = Literal["vgg10", "vgg143", "of10", "of143", "vgg", "of"]

RECOGNIZERS: dict[str, tuple[str, int]] = {
    "vgg10": ("vgg", 10),
    "vgg143": ("vgg", 143),
    "of10": ("of", 10),
    "of143": ("of", 143),
}
"""The papers' recognisers: family and number of identities."""


class Recognizer(nn.Module, Shareable, pipeline_tag="image-classification"):
    """A face recogniser that tells a fixed set of identities apart.

    Args:
        arch: Name of the architecture, a key of `RECOGNIZERS` or `FAMILIES`.
        identities: Names of the classes, in the order of the logits; kept in composed Unicode.
        pooling: Form of OpenFace's pooling branches; VGG has only one.
        convention: Form of OpenFace's padding and normalisations; VGG has only one.
    """

    average: Tensor | None
    """What is subtracted from faces in the network's range before its first layer, for weights
    that were trained so: (3, 1, 1), or a picture of the network's size."""

    frozen = False
    """Whether `frozen_copy` made it: it can be attacked, and not be trained or saved."""

    def __init__(
        self,
        arch: str,
        identities: tuple[str, ...],
        *,
        pooling: Pooling = "strided",
        convention: Convention = "torch",
    ) -> None:
        super().__init__()
        family = FAMILIES[_family_of(arch, len(identities))]
        self.arch, self.identities = arch, tuple(map(composed, identities))
        self.pooling, self.convention = pooling, convention
        self.contract = family.contract
        self.backbone = family.backbone(pooling, convention)
        self.head = family.head(len(identities))
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
        """Architecture, names and input contract, as JSON values."""
        size, low, high = self.contract.size, self.contract.low, self.contract.high
        return {
            "arch": self.arch,
            "identities": list(self.identities),
            "pooling": self.pooling,
            "convention": self.convention,
            "input": {"size": size, "range": [low, high], "colour": "RGB", "layout": "NCHW"},
        }

    def write(self, path: Path) -> None:
        """As `save_recognizer`, with the record."""
        save_recognizer(path, self, self.record)

    @classmethod
    def read(cls, path: Path) -> "Recognizer":
        """As `load_recognizer`, the metadata left in `record`."""
        return load_recognizer(path)[0]

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

    def describe(self, faces: Images) -> Float[Tensor, "batch descriptor"]:
        """What the head is given of each face; faces and errors as for `forward`."""
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

    @property
    def value_range(self) -> tuple[float, float]:
        """What black and white are to the network."""
        return self.contract.low, self.contract.high

    def in_range(self, low: float, high: float) -> "Recognizer":
        """The same network, given another range; not to be saved."""
        other = copy.copy(self)
        other.contract = replace(self.contract, low=low, high=high)
        return other

    def frozen_copy(self) -> "Recognizer":
        """A copy for attacks: evaluation mode, no gradients to weights, batch norm folded away.

        The logits are the same up to float rounding; the weights are laid out channels-last. What
        is frozen already comes back itself.
        """
        if self.frozen and not any(one.training for one in self.modules()):
            return self
        frozen = copy.deepcopy(self).eval().requires_grad_(requires_grad=False)
        for module in frozen.modules():
            if isinstance(module, nn.Sequential) and len(module) == 3:
                convolution, norm = module[0], module[1]
                if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                    module[0] = _quick(fuse_conv_bn_eval(convolution, norm))
                    module[1] = nn.Identity()
                    if isinstance(module[2], nn.ReLU):
                        # Nothing else looks at what a convolution gives, its gradient included.
                        module[2].inplace = True
        # What was put in place of others, too.
        frozen.eval().frozen = True
        return lay_channels_last(frozen)


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
    generator: torch.Generator,
    pooling: Pooling = "strided",
    convention: Convention = "torch",
) -> Recognizer:
    """Make an untrained recogniser, its weights drawn from `generator`.

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
    recognizer = draw_weights(made, generator=generator)
    with torch.no_grad():
        if recognizer.contract == FAMILIES["of"].contract:
            layers = [layer for layer in recognizer.head.modules() if isinstance(layer, nn.Linear)]
            last = 1.5 * math.sqrt(12 / layers[1].in_features)
            for layer, deviation in zip(layers, (1.0, last), strict=True):
                nn.init.normal_(layer.weight, 0, deviation, generator=generator)
        elif recognizer.contract == FAMILIES["vgg"].contract:
            for weight in recognizer.head.parameters():
                if weight.ndim == 2:
                    nn.init.normal_(weight, 0, 0.01, generator=generator)
    return recognizer


def _quick(convolution: nn.Conv2d) -> nn.Conv2d:
    """The same convolution, by way of more channels where it takes a picture at stride 2."""
    if type(convolution) is not nn.Conv2d or convolution.in_channels > 4:
        return convolution
    if convolution.stride != (2, 2):
        return convolution
    kernel, padding = convolution.kernel_size[0], int(convolution.padding[0])
    made = FromPicture(convolution.in_channels, convolution.out_channels, kernel, 2, padding)
    made.weight, made.bias = convolution.weight, convolution.bias
    return made.eval()


def save_recognizer(
    path: Path,
    recognizer: nn.Module,
    metadata: Mapping[str, object] | None = None,
    *,
    half: bool = False,
) -> None:
    """Write weights with all that loading needs: names, architecture, input contract.

    Args:
        path: A safetensors file.
        recognizer: What to save, compiled or not.
        metadata: More to keep beside, as JSON values: recipe, figures, training photos.
        half: As `save_tensors` takes it.

    Raises:
        ConfigError: It is no recogniser, its batch norms were folded away, or a layer was
            exchanged for another.
    """
    recognizer = unwrapped(recognizer)
    if not isinstance(recognizer, Recognizer):
        raise ConfigError(f"expected a recogniser to save, got a {type(recognizer).__name__}")
    state = plain_state(recognizer)
    with torch.device("meta"):
        whole = Recognizer(recognizer.arch, recognizer.identities)
    lacking = sorted(whole.state_dict().keys() - state.keys())
    if any(name.endswith("running_mean") for name in lacking):
        raise ConfigError("a frozen recogniser cannot be saved: save what it was made from")
    if lacking:
        raise ConfigError(f"the recogniser cannot be saved: it has no {lacking[0]} any more")
    content = {**(metadata or {}), **recognizer.specification()}
    about = {"format": "agns-recognizer-1", **{k: json.dumps(v) for k, v in content.items()}}
    save_tensors(path, state, about, half=half)


def load_recognizer(path: Path) -> tuple[Recognizer, dict[str, object]]:
    """Read a recogniser and its metadata; it comes in evaluation mode.

    Raises:
        ConfigError: There is no such file.
        WeightsError: The file is damaged, holds something else, or does not fit.
    """
    tensors, metadata = load_tensors(path)
    if metadata.pop("format", None) != "agns-recognizer-1":
        raise WeightsError(f"{path} holds no recogniser written by agns")
    content = read_content(metadata, path)
    try:
        identities = content["identities"]
        if not isinstance(identities, list):
            raise WeightsError(f"{path} names no identities")
        # Files of before this choice hold networks of the original form.
        port = content.get("convention") == "tensorflow"
        # Even a small file may name enough identities for any amount of memory.
        with torch.device("meta"):
            recognizer = Recognizer(
                str(content["arch"]),
                tuple(map(str, identities)),
                pooling="same" if content["pooling"] == "same" else "strided",
                convention="tensorflow" if port else "torch",
            )
        recognizer.subtract(read_average(tensors, path))
    except (KeyError, ConfigError) as error:
        raise WeightsError(f"{path} has unusable metadata: {error}") from error
    fill(recognizer, tensors, path)
    own = recognizer.specification()
    recognizer.record = {name: value for name, value in content.items() if name not in own}
    return recognizer.eval(), content
