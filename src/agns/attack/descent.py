"""Frames whose pixels descend from solid colours: CCS16, its bounded form, and PGD.

Sharif et al. 2016 (CCS16) and projected gradient descent (Madry et al. 2018), held to the frame's
pixels: what Sharif et al. 2019 compare their nets with (section 5, table 3). The frames need not
look like eyeglasses. For frames that are to be printed, CCS16 adds two terms to the cross-entropy,
total variation and non-printability, and moves the frame about (Sharif et al. 2016, section 4.3).

Convention:
    A step of CCS16 goes along the gradient divided by its largest entry, so that no pixel moves by
    more than the step before momentum is added; one of PGD goes along the gradient's sign. A bound
    is kept around the colour that a frame began with.

    The two terms are weighed as in the code that the authors of CCS16 released: each term's
    gradient is divided by its own largest entry too, and its weight is how far that alone moves a
    pixel at most, in the step's unit. Momentum counts total variation's part in, and leaves
    non-printability's out.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from agns.accessory.frame import FRAME_SIZE
from agns.accessory.placement import DISTURBANCES, FIXED, Placement
from agns.accessory.printability import check_palette, non_printability, palette_at
from agns.accessory.total_variation import total_variation
from agns.attack.attack import FrameAttack, Nets
from agns.attack.goals import Dodge, Goal, Impersonate, log_odds
from agns.attack.query import query_gradient
from agns.attack.result import AttackResult, Reason
from agns.attack.search import check_photos
from agns.data.simulation.drawn_frames import RealFrames
from agns.errors import AttackError, ConfigError
from agns.models.victim import Victim, freeze
from agns.types import Faces, Frames, Logits, Progress, silent

COLORS = {
    "black": (0.05, 0.05, 0.05),
    "tortoiseshell": (0.35, 0.2, 0.1),
    "red": (0.6, 0.1, 0.1),
    "blue": (0.1, 0.2, 0.5),
    "grey": (0.6, 0.6, 0.6),
}
"""RGB of the solid frames that a descent begins with, in [0, 1]; the best one counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DescentConfig(FrameAttack):
    """How pixels descend."""

    steps: int = 300
    """Steps at most, each over all photos."""

    step: float = 20 / 255
    """How far a step goes, in [0, 1]."""

    momentum: float = 0.4
    """Share of the last step's direction that the next one keeps, in [0, 1)."""

    bound: float | None = None
    """How far a pixel may be from the colour that it began with, in (0, 1]; None for anywhere."""

    signed: bool = False
    """Whether steps go along the gradient's sign."""

    smoothness: float = 0.0
    """How far total variation's gradient moves a pixel in a step, in [0, 1]; 0 leaves it out."""

    printability: float = 0.0
    """How far non-printability's gradient does, in [0, 1]; 0 leaves it out."""

    palette: str | None = None
    """File of the colours that the printer reproduces, with a `printability`; None for
    `agns.accessory.printability.assumed_palette`."""

    jitter: float = 0.0
    """As in `AGN`."""

    brightness: float = 0.0
    """As in `AGN`."""

    shift: float = 0.0
    """By how many pixels at most the steps move the frame, to the side and up or down."""

    rotation: float = 0.0
    """By how many degrees at most the steps turn the frame, either way."""

    batch: int = 64
    """Faces wearing a frame at once."""

    seed: int = 0
    """Seed of the four disturbances; nothing else is random."""

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 1:
            raise ConfigError(
                f"steps and batch must be at least 1, got {self.steps} and {self.batch}"
            )
        if not 0 < self.step <= 1:
            raise ConfigError(f"step must lie in (0, 1], got {self.step}")
        if not 0 <= self.momentum < 1:
            raise ConfigError(f"momentum must lie in [0, 1), got {self.momentum}")
        if self.bound is not None and not 0 < self.bound <= 1:
            raise ConfigError(f"bound must lie in (0, 1], got {self.bound}")
        for name in ("smoothness", "printability"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} must lie in [0, 1], got {getattr(self, name)}")
        check_palette(self.palette, self.printability)
        for name, end in DISTURBANCES.items():
            if not 0 <= getattr(self, name) < end:
                raise ConfigError(f"{name} must lie in [0, {end}), got {getattr(self, name)}")

    def find(
        self,
        victim: Victim,
        faces: Faces,
        goal: Dodge | Impersonate,
        *,
        frames: RealFrames | None,
        nets: Nets | None,
        placement: Placement,
        progress: Progress,
    ) -> AttackResult:
        """As `FrameAttack.find`."""
        names = ("jitter", "brightness", "shift", "rotation")
        moved = replace(placement, **{name: getattr(self, name) for name in names})
        return attack_by_descent(victim, faces, goal, self, placement=moved, progress=progress)


@dataclass(frozen=True, slots=True, kw_only=True)
class CCS16(DescentConfig):
    """Sharif et al. 2016, digital: any colour anywhere on the frame."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PGD(DescentConfig):
    """Projected gradient descent; its first step is one twelfth of the bound."""

    steps: int = 100
    step: float = 0.01
    # As ledgers of campaigns have it.
    momentum: float = 0
    bound: float | None = 0.12
    signed: bool = True


CCS16_BOUNDED = CCS16(bound=0.47)
"""CCS16 no further from the first colour than the frames of a generative net go."""

CCS16_PHYSICAL = CCS16(smoothness=3 / 255, printability=5 / 255, shift=4, rotation=4)
"""Sharif et al. 2016, physical: total variation 3 and non-printability 5 beside a step of 20, in
grey levels; shifts by up to 4 pixels and turns by up to 4 degrees. The palette is assumed."""


def attack_by_descent(
    victim: Victim,
    faces: Faces,
    goal: Goal,
    config: DescentConfig,
    *,
    placement: Placement = FIXED,
    progress: Progress = silent,
) -> AttackResult:
    """Let frames of each solid colour descend together, until one reaches the stop value.

    Args:
        victim: Attacked in evaluation mode; not changed.
        faces: The attacker's photos, (photos, 3, 224, 224), in [0, 1].
        goal: Whom to dodge or impersonate, and when it is enough.
        config: The settings.
        placement: Where frames sit on these photos; steps disturb it, looks do not.
        progress: Told of every step.

    Returns:
        A frame for each colour, best first, as it was when it did best; Ctrl-C ends the attack
        early with what there is.

    Raises:
        ImageContractError: The faces are no canonical faces.
        AttackError: There are no faces.
        ConfigError: There is no palette where the settings say.
        DataError: It cannot be read.
    """
    check_photos(faces)
    victim = freeze(victim)
    palette = palette_at(config.palette)
    started = time.perf_counter()
    draws = torch.Generator().manual_seed(config.seed)
    disturbed = any(getattr(config, name) > 0 for name in DISTURBANCES)
    first = torch.tensor(list(COLORS.values()))[:, :, None, None].expand(-1, -1, *FRAME_SIZE)
    frames, direction = first.clone(), torch.zeros_like(first)
    finest, shortfalls = frames.clone(), torch.full((len(frames),), torch.inf)
    history: list[dict[str, float]] = []
    reason: Reason = "used up its steps"
    try:
        for step in range(config.steps + 1):
            gradient, lacking = _look(victim, faces, frames, goal, config.batch, placement, None)
            if not bool(lacking.isfinite().all()):
                if step == 0:
                    raise AttackError(
                        "the attack cannot begin: the recogniser's logits are not finite"
                    )
                reason = "not finite"
                break
            better = lacking < shortfalls
            finest[better], shortfalls[better] = frames[better], lacking[better]
            history.append({"probability": goal.probability(float(lacking.min()))})
            best = goal.probability(float(shortfalls.min()))
            progress(step, config.steps, {"best": best})
            if bool((shortfalls <= goal.allowance).any()):
                reason = "reached the stop value"
                break
            if step == config.steps:
                break
            if disturbed:
                gradient, _ = _look(victim, faces, frames, goal, config.batch, placement, draws)
            if not bool(gradient.isfinite().all()):
                reason = "not finite"
                break
            direction = config.momentum * direction + _unit(gradient, signed=config.signed)
            if config.smoothness > 0:
                rough = _unit(_slope(total_variation, frames))
                direction = direction + config.smoothness / config.step * rough
            stride = config.step * direction
            if config.printability > 0:
                printing = partial(non_printability, palette=palette)
                stride = stride + config.printability * _unit(_slope(printing, frames))
            frames = frames - stride
            if config.bound is not None:
                frames = torch.minimum(
                    torch.maximum(frames, first - config.bound), first + config.bound
                )
            frames = frames.clamp(0, 1)
    except KeyboardInterrupt:
        reason = "interrupted"
    order = shortfalls.argsort()
    best = float(shortfalls[order[0]])
    return AttackResult(
        frames=finest[order],
        probability=goal.probability(min(best, 1.0)),
        met=best <= goal.allowance,
        iterations=max(0, len(history) - 1),
        seconds=time.perf_counter() - started,
        stopped_because=reason,
        history=history,
    )


def _look(
    victim: Victim,
    faces: Faces,
    frames: Frames,
    goal: Goal,
    batch: int,
    placement: Placement,
    draws: torch.Generator | None,
) -> tuple[Frames, Float[Tensor, " frames"]]:
    """Each frame's gradient over all photos, and its mean shortfall."""
    leaf = frames.detach().requires_grad_()
    gradient, lacking = torch.zeros_like(frames), frames.new_zeros(len(frames))

    def loss(logits: Logits) -> Float[Tensor, " batch"]:
        # The cross-entropy of the wish, from logits: where it is far, probabilities round to 0.
        return -functional.logsigmoid(log_odds(logits, goal)) / len(faces)

    for photos in torch.arange(len(faces)).split(max(1, batch // len(frames))):
        each = leaf.repeat_interleave(len(photos), 0)
        worn = placement.wear(faces, each, photos.repeat(len(frames)), draws=draws)
        logits, slope = query_gradient(victim, worn, loss)
        gradient += torch.autograd.grad(worn, leaf, slope)[0]
        shortfall = goal.shortfall(logits)
        lacking += shortfall.reshape(len(frames), len(photos)).sum(1) / len(faces)
    return gradient, lacking


def _slope(measure: Callable[[Frames], Float[Tensor, " frames"]], frames: Frames) -> Frames:
    """The gradient of each frame's own figure."""
    leaf = frames.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(measure(leaf).sum(), leaf)
    return gradient


def _unit(gradient: Frames, *, signed: bool = False) -> Frames:
    if signed:
        return gradient.sign()
    return gradient / gradient.abs().amax((1, 2, 3), keepdim=True).clamp_min(1e-30)
