"""How recognisers are put together: a backbone, a head, and what the network itself takes."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from agns.models.dlib_resnet import MEAN, SIZE, DlibResNet
from agns.models.layers import Convention, Pooling
from agns.models.openface import OpenFace
from agns.models.preprocessing import Preprocessing
from agns.models.vgg import Vgg16


@dataclass(frozen=True, slots=True, kw_only=True)
class InputContract:
    """What a network itself takes; the recogniser translates public faces into it."""

    size: int
    """Height and width in pixels."""

    low: float
    """What black becomes."""

    high: float
    """What white becomes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """How the recognisers on one backbone are put together."""

    contract: InputContract
    backbone: Callable[[Pooling, Convention], nn.Module]
    head: Callable[[int], nn.Module]


def _openface_head(classes: int) -> nn.Module:
    # The papers' two heads have 12 hidden units for 10 classes, and 286 for 143.
    hidden = 12 if classes <= 10 else 2 * classes
    return nn.Sequential(nn.Linear(128, hidden), nn.Tanh(), nn.Linear(hidden, classes))


class DlibBackbone(nn.Module):
    """dlib's embedding of canonical faces, ten times as long.

    Embeddings of one person lie within a few tenths of each other: a head could not tell them apart
    for sure without weights that its decay forbids.
    """

    def __init__(self) -> None:
        super().__init__()
        self.preprocessing = Preprocessing(
            size=SIZE, low=0, high=255, mean=MEAN, deviation=256, chip="dlib"
        )
        self.network = DlibResNet()

    def forward(self, faces: Tensor) -> Tensor:
        """Embed canonical faces in [0, 1]."""
        embedded: Tensor = self.network(self.preprocessing(faces))
        return 10 * embedded


FAMILIES: dict[str, Family] = {
    "vgg": Family(
        contract=InputContract(size=224, low=0, high=1),
        backbone=lambda _, __: Vgg16(),
        head=lambda classes: nn.Linear(4096, classes),
    ),
    "of": Family(
        contract=InputContract(size=96, low=-1, high=1),
        backbone=lambda pooling, convention: OpenFace(pooling=pooling, convention=convention),
        head=_openface_head,
    ),
    "dlib": Family(
        # Its own chips are cut within.
        contract=InputContract(size=224, low=0, high=1),
        backbone=lambda _, __: DlibBackbone(),
        head=lambda classes: nn.Linear(128, classes),
    ),
}
