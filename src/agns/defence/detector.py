"""A detector of adversarial eyeglasses that reads a recogniser's features, and guards it.

Sharif et al. 2019, section 5.2, after Metzen et al. 2017.
"""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from agns.defence.defended import Defended
from agns.errors import ConfigError
from agns.models.dlib_resnet import DlibResNet
from agns.models.openface import OpenFace
from agns.models.vgg import Vgg16
from agns.models.victim import Victim
from agns.types import CANVAS, Faces, Logits

REFUSED = "(refused)"
"""What stands for the identity of a face that the detector takes for adversarial."""

WIDTH = 196
"""Channels within the detector."""


class DetectorNetwork(nn.Sequential):
    """Features to two logits: of a photo as it should be, and of an adversarial one.

    Three 3x3 convolutions of stride 2, each with batch norm and ReLU, the first followed by 2x2
    pooling: VGG's 14x14 features come to 1x1, and a matrix of 196x2 follows. Smaller ones, such as
    OpenFace's 6x6, do so too.

    Args:
        channels: Of the features.
    """

    def __init__(self, channels: int) -> None:
        layers: list[nn.Module] = []
        for before in (channels, WIDTH, WIDTH):
            layers += [
                nn.Conv2d(before, WIDTH, 3, 2, 1),
                nn.BatchNorm2d(WIDTH),
                nn.ReLU(),
            ]
        # Of less than 2x2 nothing would be left.
        layers.insert(3, nn.MaxPool2d(2, ceil_mode=False))
        super().__init__(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(WIDTH, 2))


def find_tap(victim: Victim) -> str:
    """The layer whose output is a sixteenth as high and wide as what the network sees.

    VGG's fourth pooling (512 channels of 14x14), OpenFace's inception 3c (640 of 6x6), and the
    second block of dlib's that halves (128 of 8x8).

    Raises:
        ConfigError: It is none of these networks.
    """
    for name, part in victim.named_modules() if isinstance(victim, nn.Module) else ():
        if isinstance(part, Vgg16):
            pools = [at for at, one in enumerate(part.features) if isinstance(one, nn.MaxPool2d)]
            return f"{name}.features.{pools[3]}".lstrip(".")
        if isinstance(part, OpenFace):
            return f"{name}.inceptions.2".lstrip(".")
        if isinstance(part, DlibResNet):
            return f"{name}.blocks.7".lstrip(".")
    raise ConfigError("nobody knows where a detector should read this network: name a layer as tap")


def tapped(victim: Victim, tap: str, faces: Faces) -> tuple[Logits, Float[Tensor, "batch _ _ _"]]:
    """A victim's logits, and what a layer of it gave on the way.

    Args:
        victim: A network.
        tap: The layer's name within it.
        faces: In [0, 1].

    Raises:
        ConfigError: It has no such layer, the layer gives no features of a picture, or it runs more
            than once, as it does behind masks that hide one region after another.
    """
    try:
        layer = victim.get_submodule(tap) if isinstance(victim, nn.Module) else None
    except AttributeError:
        layer = None
    if layer is None or not tap:
        raise ConfigError(f"the recogniser has no layer {tap!r} to read features from")
    found: list[object] = []
    # Only while it is asked: a hook that stays would be copied with the network.
    # A copy: what comes next may write into it.
    hook = layer.register_forward_hook(lambda _, __, output: found.append(_copied(output)))
    try:
        logits = victim(faces)
    finally:
        hook.remove()
    if len(found) > 1:
        raise ConfigError(f"{tap} runs {len(found)} times for a face: nobody knows which to read")
    features = found[0] if found else None
    if not isinstance(features, Tensor) or features.ndim != 4:
        raise ConfigError(f"{tap} gives no (batch, channels, height, width) to read")
    return logits, features.float()


def _copied(output: object) -> object:
    return output.clone() if isinstance(output, Tensor) else output


@torch.no_grad()
def detector_at(victim: Victim, tap: str) -> DetectorNetwork:
    """A detector of the features that a layer gives, not yet trained; errors as `tapped`.

    Raises:
        ConfigError: The features are too small for it.
    """
    _, features = tapped(victim, tap, torch.full((1, 3, CANVAS, CANVAS), 0.5))
    _, channels, height, width = features.shape
    if min(height, width) < 3:
        raise ConfigError(f"{tap} gives features of {height}x{width}, and a detector reads 3x3")
    return DetectorNetwork(channels)


class Detected(Defended):
    """A victim that refuses faces which a detector takes for adversarial.

    It has one identity more, `REFUSED`. Its logit lies as far above the highest of the others (of
    an open set also 0; in verification above 0) as the detector's log-odds of an adversarial photo:
    it comes first if their probability exceeds 0.5, and otherwise whoever did. In verification the
    others are lowered to less than 0 with it. So whoever is taken for a target has passed the
    detector; of a dodge, goals know that being refused is no success (`refuses`), so that attacks
    follow the gradients of both.

    Args:
        victim: A network.
        network: The detector, in evaluation mode.
        tap: The layer of the victim that it reads.
        learnt: Digests of the photos that it was trained on, which nothing should be scored on.

    Raises:
        ConfigError: The victim refuses faces itself.
    """

    kind = "detector"
    for_any = False

    def __init__(
        self, victim: Victim, network: DetectorNetwork, tap: str, learnt: Sequence[str] = ()
    ) -> None:
        super().__init__(victim)
        if self.refuses:
            raise ConfigError("a detector guards a victim that refuses nobody, and this one does")
        self.identities, self.refuses = (*self.identities, REFUSED), True
        self.network, self.tap, self.learnt = network, tap, tuple(learnt)
        self.record = {**self.record, "defence_photos": list(self.learnt)}

    def forward(self, faces: Faces) -> Logits:
        """Recognise canonical faces in [0, 1], or refuse them."""
        logits, features = tapped(self.victim, self.tap, faces)
        odds = log_odds_of(self.network, features).to(logits.device)
        if self.task == "verification":
            logits = torch.minimum(logits, -odds[:, None])
        else:
            top = logits.amax(1)
            odds = odds + (top.clamp_min(0) if self.task == "open-set" else top)
        return torch.cat([logits, odds[:, None]], 1)

    @torch.no_grad()
    def suspect(self, faces: Faces) -> Float[Tensor, " batch"]:
        """The detector's log-odds that faces are adversarial."""
        _, features = tapped(self.victim, self.tap, faces)
        return log_odds_of(self.network, features)

    def settings(self) -> dict[str, object]:
        """The layer that the detector reads, and the photos that it learnt from."""
        return {"tap": self.tap, "learnt": list(self.learnt)}

    def tensors(self) -> dict[str, Tensor]:
        """The detector's weights."""
        return dict(self.network.state_dict())

    @classmethod
    def build(
        cls, victim: Victim, settings: Mapping[str, object], tensors: Mapping[str, Tensor]
    ) -> "Detected":
        """Put a detector of a file before a victim."""
        network = DetectorNetwork(tensors["0.weight"].shape[1])
        network.load_state_dict(dict(tensors))
        if not all(bool(one.isfinite().all()) for one in tensors.values()):
            raise ValueError("a weight is not finite")
        learnt = settings.get("learnt", [])
        if not isinstance(learnt, list) or not all(isinstance(one, str) for one in learnt):
            raise TypeError("photos are known by their digests")
        return cls(victim, network.eval(), str(settings["tap"]), learnt)


def log_odds_of(
    network: nn.Module, features: Float[Tensor, "batch _ _ _"]
) -> Float[Tensor, " batch"]:
    """Log-odds that features are of adversarial photos."""
    logits = network(features)
    odds: Tensor = logits[:, 1] - logits[:, 0]
    return odds
