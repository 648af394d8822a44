"""Victims: what attacks and their scoring know of a recogniser, and any network made into one.

Convention:
    A victim takes canonical faces, (batch, 3, 224, 224), float32 RGB in [0, 1], and gives one logit
    for each of its identities. What its network wants instead (size, range, order of colours, the
    part of the picture it looks at) is its own affair, so that gradients come back to the canonical
    face.
"""

import copy
from collections.abc import Sequence
from typing import Protocol, TypeAlias, TypeVar, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from agns.data.faces import composed, names_like
from agns.errors import ConfigError, ImageContractError
from agns.geometry import resize, warp
from agns.images import check_images
from agns.models.folding import fold_convolutions
from agns.models.layout import lay_channels_last
from agns.models.recognizer import Recognizer
from agns.types import CANVAS, Faces, Images, Logits

Colour: TypeAlias = float | Sequence[float]
"""One figure for all three channels, or one each for red, green and blue."""


@runtime_checkable
class Victim(Protocol):
    """A recogniser under attack: names, and faces to logits.

    Nothing in attacks and scoring asks for more. It must be differentiable in the faces for the
    attacks that follow its gradient, and answer the same faces alike.
    """

    @property
    def identities(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the logits."""
        ...

    def __call__(self, faces: Faces) -> Logits:
        """Recognise canonical faces in [0, 1]."""
        ...


@runtime_checkable
class Ranged(Victim, Protocol):
    """A victim that says in what range its network takes faces."""

    @property
    def value_range(self) -> tuple[float, float]:
        """What black and white are to the network."""
        ...

    def in_range(self, low: float, high: float) -> Victim:
        """The same network, given another range."""
        ...


class Classifier(nn.Module):
    """Any network as a victim.

    Args:
        network: Takes (batch, 3, size, size) in its own range, and gives (batch, identities)
            logits, not probabilities.
        identities: Names of its classes, in the order of the logits.
        size: Height and width in pixels that it takes.
        low: What black is to it.
        high: What white is. Torchvision's networks, for one, take [0, 1] less `mean`, by
            `deviation`.
        mean: Subtracted from faces in [low, high].
        deviation: They are divided by it then.
        bgr: Whether it takes blue first, as networks trained with OpenCV do; `mean` and `deviation`
            stay red, green, blue.
        chip: 2x3 matrix that takes pixels (x, y) of the canonical 224x224 face to pixels of what
            the network takes, as `cv2.warpAffine` wants it; None where that is the whole face,
            shrunk or grown to `size`.

    Raises:
        ConfigError: There are fewer than two identities or one comes twice, or a figure makes no
            sense.
    """

    matrix: Tensor | None

    def __init__(
        self,
        network: nn.Module,
        identities: Sequence[str],
        *,
        size: int = CANVAS,
        low: float = 0.0,
        high: float = 1.0,
        mean: Colour = 0.0,
        deviation: Colour = 1.0,
        bgr: bool = False,
        chip: Float[Tensor, "2 3"] | Sequence[Sequence[float]] | None = None,
    ) -> None:
        super().__init__()
        if isinstance(identities, str):
            raise ConfigError("identities are a sequence of names, got one name")
        self.identities = tuple(map(composed, identities))
        if len(set(self.identities)) < max(2, len(self.identities)):
            raise ConfigError("a victim needs at least two identities, each of another name")
        if size < 1 or not low < high:
            raise ConfigError(
                f"size must be at least 1 and low below high, got {size}, {low} and {high}"
            )
        self.network, self.size, self.low, self.high, self.bgr = network, size, low, high, bgr
        self.register_buffer("mean", _per_channel(mean, "mean"), persistent=False)
        self.register_buffer("deviation", _per_channel(deviation, "deviation"), persistent=False)
        if not bool((self.get_buffer("deviation") > 0).all()):
            raise ConfigError(f"deviation must be above 0, got {deviation}")
        self.register_buffer("matrix", _homography(chip), persistent=False)

    def forward(self, faces: Images) -> Logits:
        """Recognise faces.

        Args:
            faces: Canonical faces, float32 RGB, (batch, 3, 224, 224), in [0, 1].

        Returns:
            (batch, identities), float32, where the faces are.

        Raises:
            ImageContractError: The faces have another size, layout or range, or the network
                gives something else than a logit for each identity.
        """
        check_images(faces, size=(CANVAS, CANVAS))
        mean, deviation = self.get_buffer("mean"), self.get_buffer("deviation")
        own = self._chip(faces.to(mean.device)) * (self.high - self.low) + self.low
        own = (own - mean) / deviation
        logits = self.network(own.flip(1) if self.bgr else own)
        expected = (len(faces), len(self.identities))
        if not isinstance(logits, Tensor) or tuple(logits.shape) != expected:
            got = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise ImageContractError(f"the network should give {expected} logits, got {got}")
        return logits.float().to(faces.device)

    @property
    def value_range(self) -> tuple[float, float]:
        """What black and white are to the network, before the mean is subtracted."""
        return self.low, self.high

    def in_range(self, low: float, high: float) -> "Classifier":
        """The same network, given another range."""
        other = copy.copy(self)
        other.low, other.high = low, high
        return other

    def _chip(self, faces: Tensor) -> Tensor:
        if self.matrix is None:
            return resize(faces, (self.size, self.size))
        return warp(faces, self.matrix, (self.size, self.size))


def _per_channel(given: Colour, name: str) -> Float[Tensor, "1 3 1 1"]:
    try:
        return torch.tensor(given, dtype=torch.float32).expand(3).clone()[None, :, None, None]
    except RuntimeError as error:
        raise ConfigError(f"{name} should be one figure or three, got {given}") from error


def _homography(chip: Tensor | Sequence[Sequence[float]] | None) -> Float[Tensor, "3 3"] | None:
    if chip is None:
        return None
    given = torch.as_tensor(chip, dtype=torch.float32)
    if tuple(given.shape) != (2, 3) or not bool(torch.linalg.det(given[:, :2]).abs() > 1e-9):
        raise ConfigError(
            f"a chip is a 2x3 matrix that can be turned round, got {tuple(given.shape)}"
        )
    return torch.cat([given, given.new_tensor([[0, 0, 1]])])


def class_of(victim: Victim, identity: str) -> int:
    """The class of an identity.

    Raises:
        ConfigError: The victim does not know it.
    """
    name = composed(identity)
    if name not in victim.identities:
        known = ", ".join(victim.identities[:12])
        more = ", ..." if len(victim.identities) > 12 else ""
        told = names_like(name, victim.identities) or f"it knows {known}{more}"
        raise ConfigError(f"the recogniser does not know {identity!r}: {told}")
    return victim.identities.index(name)


_Victim = TypeVar("_Victim", bound=Victim)


def freeze(victim: _Victim) -> _Victim:
    """A victim as attacks want it: evaluation mode, and no gradients to weights.

    A network is copied, and not changed, unless it is so already; what is no network comes back
    itself. A recogniser's batch norms are folded away, which changes the logits by rounding alone,
    and its weights laid out channels-last.
    """
    if not isinstance(victim, nn.Module):
        return victim
    training = any(part.training for part in victim.modules())
    learning = any(parameter.requires_grad for parameter in victim.parameters())
    recognizer = isinstance(victim, Recognizer)
    if not (training or learning) and (not recognizer or victim.frozen):
        return victim
    frozen = copy.deepcopy(victim).eval().requires_grad_(requires_grad=False)
    if recognizer:
        for part in frozen.modules():
            if isinstance(part, nn.Sequential):
                fold_convolutions(part)
        lay_channels_last(frozen.eval()).frozen = True
    return frozen
