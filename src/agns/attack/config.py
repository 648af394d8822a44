"""Settings of the attack with an adversarial generative net, and where they leave the paper."""

import math
from dataclasses import dataclass
from typing import get_args

from agns.accessory.printability import check_palette
from agns.attack.goals import Form, check_form
from agns.attack.gradients import Length
from agns.errors import ConfigError
from agns.training.precision import resolve_precision


@dataclass(frozen=True, slots=True, kw_only=True)
class AgnConfig:
    """How an attack runs."""

    kappa: float = 0.25
    """Weight of looking real against fooling the recogniser, in [0, 1]."""

    objective: Form = "probabilities"
    """How the recogniser's error is put in figures; see `agns.attack.goals.Form`."""

    joined_length: Length = "real"
    """How long the two gradients are when joined; see `agns.attack.gradients.Length`."""

    smoothness: float = 1.0
    """Weight of total variation against the joined gradient, in frames that vary much: from
    80 % of what three quarters of benign generated ones stay below, in full from 120 %; 0 leaves
    it out, as in the paper."""

    loosening: float = 0.005
    """By what share of itself that limit grows with each step: hard attacks may grow rougher."""

    printability: float = 0.0
    """Weight of non-printability (Sharif et al. 2016) against the gradient joined and smoothed, in
    all frames; 0 leaves it out, as in the paper."""

    palette: str | None = None
    """As in `DescentConfig`."""

    headroom: float = 0.05
    """How near to 0 or 1 a frame's values are pushed back, at half the gradient; 0 for never, as in
    the paper. At the ends the generator's tanh leaves next to nothing to learn from."""

    generator_rate: float = 2e-3
    """Adam's learning rate for the generator; the paper's is 5e-5."""

    warm_up: int = 20
    """Steps in which the generator's rate rises from 0: Adam's first steps are its roughest."""

    discriminator_rate: float = 2e-5
    """Adam's learning rate for the discriminator."""

    tuned_layers: int = 5
    """How many of the generator's five layers learn, counted from the latent. The last ones paint
    single pixels; without them frames stay nearer to real ones, and success takes longer."""

    weight_decay: float = 1e-5
    """L2 weight decay of both."""

    batch: int = 16
    """Generated frames in a step, each on one craft photo, and as many real ones."""

    smoothing: float = 0.9
    """What the discriminator is told of real frames; generated ones are 0."""

    focus: float = 0.8
    """How much the steps turn to the photos that still resist, in [0, 1]; 0 draws photos evenly,
    as in the paper."""

    lead: float = 0.2
    """The discriminator sits a step out when its mean belief in the generated frames is below
    this, in [0, 1]: one that has run away pulls towards nothing that looks like eyeglasses. 0
    lets it learn at each step, as in the paper; 1 never."""

    jitter: float = 0.0
    """By how many pixels (standard deviation) the steps move the frame's corners at random: marks
    are found, and frames worn, not quite where they should be."""

    brightness: float = 0.0
    """By what share at most the steps make a photo and the frame on it brighter or darker."""

    precision: str = "auto"
    """Of the steps' networks; see `agns.training.precision.Precision`. Holds what "auto" comes to
    on this machine. Looks sort frames out in it, and are sure of those that they find in fp32."""

    check_every: int = 10
    """Steps between two looks whether a frame is good enough."""

    samples: int = 32
    """Frames sampled for each look."""

    passes: int = 1
    """Passes over the real eyeglasses after which the attack gives up."""

    seed: int = 0
    """Seed of every draw."""

    def __post_init__(self) -> None:
        if not 0 <= self.kappa <= 1:
            raise ConfigError(f"kappa must lie in [0, 1], got {self.kappa}")
        check_form(self.objective)
        if self.joined_length not in get_args(Length):
            raise ConfigError(f"joined_length must be shorter or real, got {self.joined_length!r}")
        for name in (
            "generator_rate",
            "discriminator_rate",
            "weight_decay",
            "smoothness",
            "loosening",
            "printability",
        ):
            value = getattr(self, name)
            if not 0 <= value < math.inf:
                raise ConfigError(f"{name} must be finite and at least 0, got {value}")
        check_palette(self.palette, self.printability)
        if self.batch < 2:
            raise ConfigError(f"batch must be at least 2, got {self.batch}")
        if self.warm_up < 0:
            raise ConfigError(f"warm_up must be at least 0, got {self.warm_up}")
        if min(self.check_every, self.samples, self.passes) < 1:
            raise ConfigError("check_every, samples and passes must be at least 1")
        object.__setattr__(self, "precision", resolve_precision(self.precision))
        if not 1 <= self.tuned_layers <= 5:
            raise ConfigError(f"tuned_layers must be from 1 to 5, got {self.tuned_layers}")
        for name in ("lead", "focus"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} must lie in [0, 1], got {getattr(self, name)}")
        if not (0 <= self.jitter < 10 and 0 <= self.brightness < 1):
            raise ConfigError(
                "jitter must lie in [0, 10) and brightness in [0, 1), "
                f"got {self.jitter}, {self.brightness}"
            )
        if not 0 <= self.headroom < 0.5:
            raise ConfigError(f"headroom must lie in [0, 0.5), got {self.headroom}")
        if not 0.5 < self.smoothing <= 1:
            raise ConfigError(f"smoothing must lie in (0.5, 1], got {self.smoothing}")


PHYSICAL = AgnConfig(jitter=1.0, brightness=0.1, samples=48)
"""What a physical attack does by default; 48 frames in a look are the papers' (Sharif et al. 2019,
section 5.2)."""
