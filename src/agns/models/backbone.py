"""Backbones in files of their own: what a recogniser can be started from."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from agns.errors import ConfigError, WeightsError
from agns.models.layers import Convention, Pooling
from agns.models.openface import OpenFace
from agns.models.recognizer import Recognizer, load_recognizer
from agns.models.vgg import Vgg16
from agns.models.weights import fill, photos_seen, plain_state, read_average
from agns.storage import load_tensors, save_tensors, under


@dataclass(frozen=True, slots=True, kw_only=True)
class Backbone:
    """A network from faces to descriptors, and what a recogniser around it must do."""

    network: OpenFace | Vgg16
    """The backbone itself."""

    pooling: Pooling = "strided"
    """Form of OpenFace's pooling branches."""

    convention: Convention = "torch"
    """Form of OpenFace's padding and normalisations."""

    average: Tensor | None = None
    """What is subtracted from a face in the network's range, (3, 1, 1) or a whole picture."""

    @property
    def family(self) -> str:
        """A key of `agns.models.families.FAMILIES`."""
        return "of" if isinstance(self.network, OpenFace) else "vgg"


def save_backbone(
    path: Path, backbone: Backbone, metadata: Mapping[str, object] | None = None
) -> None:
    """Write a backbone with all that loading needs.

    Args:
        path: A safetensors file.
        backbone: What to save.
        metadata: More to keep beside, as JSON values: recipe, source, figures.
    """
    content = {
        "family": backbone.family,
        "pooling": backbone.pooling,
        "convention": backbone.convention,
        **(metadata or {}),
    }
    tensors = {f"backbone.{name}": value for name, value in plain_state(backbone.network).items()}
    if backbone.average is not None:
        tensors["average"] = backbone.average
    save_tensors(
        path,
        tensors,
        {"format": "agns-backbone-1", **{k: json.dumps(v) for k, v in content.items()}},
    )


def load_backbone(path: Path) -> tuple[Backbone, dict[str, object]]:
    """Read a backbone, or that of a recogniser; it comes in evaluation mode.

    Returns:
        The backbone, and the file's metadata.

    Raises:
        ConfigError: There is no such file.
        WeightsError: The file is damaged, holds something else, or does not fit.
    """
    backbone, content, _ = _load(path)
    return backbone, content


def _load(path: Path) -> tuple[Backbone, dict[str, object], Recognizer | None]:
    """A backbone, its file's metadata, and the recogniser that the file holds, if it does."""
    tensors, metadata = load_tensors(path)
    kind = metadata.pop("format", None)
    if kind == "agns-recognizer-1":
        recognizer, content = load_recognizer(path)
        return backbone_of(recognizer), content, recognizer
    if kind != "agns-backbone-1":
        raise WeightsError(f"{path} holds no backbone or recogniser written by agns")
    try:
        content = {key: json.loads(text) for key, text in metadata.items()}
        family = content["family"]
        pooling: Pooling = "same" if content["pooling"] == "same" else "strided"
        convention: Convention = "tensorflow" if content["convention"] == "tensorflow" else "torch"
    except (KeyError, ValueError) as error:
        raise WeightsError(f"{path} has unusable metadata: {error}") from error
    if family not in ("of", "vgg"):
        raise WeightsError(f"{path} holds a backbone of the unknown family {family!r}")
    network = OpenFace(pooling=pooling, convention=convention) if family == "of" else Vgg16()
    average = read_average(tensors, path)
    fill(network, under(tensors, "backbone"), path)
    backbone = Backbone(
        network=network.eval(), pooling=pooling, convention=convention, average=average
    )
    return backbone, content, None


def backbone_of(recognizer: Recognizer) -> Backbone:
    """A recogniser's backbone; its weights are shared, not copied."""
    network = recognizer.backbone
    assert isinstance(network, OpenFace | Vgg16)
    return Backbone(
        network=network,
        pooling=recognizer.pooling,
        convention=recognizer.convention,
        average=recognizer.average,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """A backbone to begin a training with, or a recogniser."""

    backbone: Backbone
    path: Path
    """The file that it came from."""

    recognizer: Recognizer | None = None
    """The recogniser around the backbone, where the file holds one."""

    seen: frozenset[str] = frozenset()
    """Digests of the photos that it was trained on, as far as its file tells."""

    center_crop: int | None = None
    """How those photos were cut; photos that are cut otherwise have other digests."""

    def give(self, recognizer: Recognizer) -> None:
        """Put the weights into a recogniser.

        Its head stays as it is, unless the one to begin with knows all of its identities: it
        then tells them apart from the first step on.

        Raises:
            ConfigError: The recogniser's backbone is of another family, pooling or convention.
        """
        own = backbone_of(recognizer)
        for name in ("family", "pooling", "convention"):
            if getattr(own, name) != getattr(self.backbone, name):
                raise ConfigError(
                    f"{self.path} holds a backbone with {name} "
                    f"{getattr(self.backbone, name)!r}, and {recognizer.arch} needs "
                    f"{getattr(own, name)!r}"
                )
        recognizer.subtract(self.backbone.average)
        recognizer.backbone.load_state_dict(self.backbone.network.state_dict())
        if self.recognizer is not None:
            _give_head(self.recognizer, recognizer)


def _give_head(known: Recognizer, recognizer: Recognizer) -> None:
    """Take over a head's weights, where it knows all identities and is as wide within."""
    if not set(recognizer.identities) <= set(known.identities):
        return
    places = [known.identities.index(identity) for identity in recognizer.identities]
    theirs, own = (
        [layer for layer in head.modules() if isinstance(layer, nn.Linear)]
        for head in (known.head, recognizer.head)
    )
    if theirs[-1].in_features != own[-1].in_features:
        return
    for layer, before in zip(own[:-1], theirs[:-1], strict=True):
        layer.load_state_dict(before.state_dict())
    rows = {name: value[places] for name, value in theirs[-1].state_dict().items()}
    own[-1].load_state_dict(rows)


def load_start(path: Path) -> Start:
    """Read a backbone, or that of a recogniser, to begin a training with.

    Raises:
        ConfigError: There is no such file.
        WeightsError: The file is damaged, holds something else, or does not fit.
    """
    backbone, metadata, recognizer = _load(path)
    crop = metadata.get("center_crop")
    return Start(
        backbone=backbone,
        path=path,
        recognizer=recognizer,
        seen=photos_seen(metadata),
        center_crop=crop if isinstance(crop, int) else None,
    )
