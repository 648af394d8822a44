"""Victims: what attacks and their scoring know of a recogniser, and any network made into one.

Convention:
    A victim takes canonical faces, (batch, 3, 224, 224), float32 RGB in [0, 1], and gives one logit
    for each of its identities. What its network wants instead (size, range, order of colours, the
    part of the picture it looks at) is its own affair, so that gradients come back to the canonical
    face.
"""

import copy
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Literal, Protocol, TypeAlias, TypeVar, get_args, runtime_checkable

from torch import Tensor, nn

from agns.data.faces import composed, names_told
from agns.errors import ConfigError, ImageContractError
from agns.models.folding import fold_convolutions
from agns.models.layout import lay_channels_last
from agns.models.preprocessing import Chip, Colour, Preprocessing, show
from agns.models.recognizer import Recognizer
from agns.types import CANVAS, Faces, Images, Logits


@runtime_checkable
class Victim(Protocol):
    """A recogniser under attack: names, and faces to logits.

    Nothing in attacks and scoring asks for more, but for a `task`, where there is one, and whether
    it `refuses` faces. It must be differentiable in the faces for the attacks that follow its
    gradient, and answer the same faces alike.
    """

    @property
    def identities(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the logits."""
        ...

    def __call__(self, faces: Faces) -> Logits:
        """Recognise canonical faces in [0, 1]."""
        ...


Task: TypeAlias = Literal["closed-set", "open-set", "verification"]
"""What a victim's logits are for.

`closed-set`: a face is taken for whoever comes first. `open-set`: only if that logit is above 0,
else for nobody. `verification`: somebody claims to be an identity, and is believed if its logit is
above 0, whatever the others are.
"""


def task_of(victim: "Victim") -> Task:
    """A victim's `task`; closed-set where it has none.

    Raises:
        ConfigError: It is none of these.
    """
    task: Task = getattr(victim, "task", "closed-set")
    if task not in get_args(Task):
        raise ConfigError(f"a victim's task is {', '.join(get_args(Task))}, got {task!r}")
    return task


def refuses(victim: "Victim") -> bool:
    """Whether a victim's last identity is nobody's: it comes first where a face is refused."""
    return bool(getattr(victim, "refuses", False))


def people_known(victim: "Victim") -> tuple[str, ...]:
    """A victim's identities, without that of refused faces."""
    return tuple(victim.identities[: -1 if refuses(victim) else None])


def check_identities(victim: "Victim") -> None:
    """Refuse a victim whose identities are no names, each another.

    Raises:
        ConfigError: It has fewer than two, one comes twice, or they are no sequence of names.
    """
    names = getattr(victim, "identities", None)
    if names is None:
        raise ConfigError(
            f"a victim has identities and gives a logit for each, and {type(victim).__name__} has "
            "none: put a network into agns.Classifier(network, names)"
        )
    if not isinstance(names, tuple | list) or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"a victim's identities are a tuple of names, got {names!r:.80}")
    if len(set(names)) < len(names) or not names:
        raise ConfigError("a victim's identities are names, each another, and at least one")


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
        size: Height and width in pixels that it takes; this and what follows are explained in
            `agns.models.preprocessing.Preprocessing`.
        low: What black is to it.
        high: What white is.
        mean: Subtracted from faces in [low, high].
        deviation: They are divided by it then.
        bgr: Whether it takes blue first.
        chip: 2x3 matrix from the canonical 224x224 face to its own picture, or `arcface` or
            `dlib` for that of their networks; None for the whole face.

    Raises:
        ConfigError: There are fewer than two identities or one comes twice, or a figure makes no
            sense.
    """

    record: Mapping[str, object] = MappingProxyType({})
    """Where the network comes from and what it was trained on, as JSON values, as far as known."""

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
        chip: Chip | str | None = None,
    ) -> None:
        super().__init__()
        if isinstance(identities, str):
            raise ConfigError("identities are a sequence of names, got one name")
        names = tuple(identities) if isinstance(identities, Iterable) else identities
        if not isinstance(names, tuple) or not all(isinstance(name, str) for name in names):
            raise ConfigError(f"identities are names, one for each class, got {identities!r:.80}")
        if not callable(network):
            raise ConfigError(f"network must be a module that takes faces, got {network!r:.80}")
        self.identities = tuple(map(composed, names))
        if len(set(self.identities)) < max(2, len(self.identities)):
            raise ConfigError("a victim needs at least two identities, each of another name")
        self.network = network
        # What the network was trained on, where it says so.
        if known := getattr(network, "record", None):
            self.record = known
        self.preprocessing = Preprocessing(
            size=size, low=low, high=high, mean=mean, deviation=deviation, bgr=bgr, chip=chip
        )

    def forward(self, faces: Images) -> Logits:
        """Recognise faces.

        Args:
            faces: Canonical faces, float32 RGB, (batch, 3, 224, 224), in [0, 1].

        Returns:
            (batch, identities), float32, where the faces are.

        Raises:
            ConfigError: The network takes no faces of this size.
            ImageContractError: The faces have another size, layout or range, or the network
                gives something else than a logit for each identity.
        """
        logits = show(self.network, self.preprocessing, faces)
        expected = (len(faces), len(self.identities))
        if not isinstance(logits, Tensor) or tuple(logits.shape) != expected:
            got = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise ImageContractError(f"the network should give {expected} logits, got {got}")
        return logits.float().to(faces.device)

    @property
    def value_range(self) -> tuple[float, float]:
        """What black and white are to the network, before the mean is subtracted."""
        return self.preprocessing.low, self.preprocessing.high

    def in_range(self, low: float, high: float) -> "Classifier":
        """The same network, given another range."""
        other = copy.copy(self)
        other._modules = {**self._modules, "preprocessing": self.preprocessing.in_range(low, high)}
        return other


def class_of(victim: Victim, identity: str) -> int:
    """The class of a person.

    Raises:
        ConfigError: The victim does not know them.
    """
    name, people = composed(identity), people_known(victim)
    if name not in people:
        told = names_told(name, people)
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
    frozen = copy.deepcopy(victim).eval()
    for parameter in frozen.parameters():
        # Copies of TorchScript's are no leaves.
        parameter.detach_()
    frozen.requires_grad_(requires_grad=False)
    if recognizer:
        for part in frozen.modules():
            if isinstance(part, nn.Sequential):
                fold_convolutions(part)
        lay_channels_last(frozen.eval()).frozen = True
    return frozen
