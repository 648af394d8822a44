"""What a training begins with: a backbone, or a whole recogniser."""

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from agns.errors import ConfigError
from agns.models.backbone import Backbone
from agns.models.checkpoint import read_network
from agns.models.families import DlibBackbone
from agns.models.importing.dlib_network import dlib_file, read_dlib
from agns.models.recognizer import Recognizer
from agns.models.record import photos_seen, recorded_crop


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """A network to begin a training with."""

    network: Backbone
    """A recogniser where the file holds one."""

    path: Path
    """The file that it came from."""

    @property
    def seen(self) -> frozenset[str]:
        """Digests of the photos that it was trained on, as far as its file tells."""
        return photos_seen(self.network.record)

    @property
    def center_crop(self) -> int | None:
        """How those photos were cut; photos that are cut otherwise have other digests."""
        return recorded_crop(self.network.record)

    def give(self, recognizer: Recognizer) -> None:
        """Put the weights into a recogniser.

        Its head stays as it is, unless the one to begin with knows all of its identities: it
        then tells them apart from the first step on.

        Raises:
            ConfigError: The recogniser's backbone is of another family, pooling or convention.
        """
        for name in ("family", "pooling", "convention"):
            own, given = getattr(recognizer, name), getattr(self.network, name)
            if own != given:
                raise ConfigError(
                    f"{self.path} holds a backbone with {name} {given!r}, and {recognizer.arch} "
                    f"needs {own!r}"
                )
        recognizer.subtract(self.network.average)
        recognizer.backbone.load_state_dict(self.network.backbone.state_dict())
        if isinstance(self.network, Recognizer):
            _give_head(self.network, recognizer)


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
    """Read a backbone, or a recogniser, to begin a training with; as `read_network`."""
    return Start(network=read_network(path, Backbone, Recognizer), path=path)


def dlib_start() -> Start:
    """Dlib's embedding, to train a head on.

    Raises:
        ConfigError: The package face-recognition-models is not installed.
        WeightsError: Its file is damaged.
    """
    backbone = Backbone("dlib")
    path = dlib_file()
    inner = backbone.backbone
    assert isinstance(inner, DlibBackbone)
    inner.network.load_state_dict(read_dlib(path).state_dict())
    return Start(network=backbone.eval(), path=path)
