"""How long a campaign's attacks take, from the speed of their parts on this machine."""

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from agns.accessory.frame import FRAME_SIZE
from agns.accessory.placement import DISTURBANCES, FIXED
from agns.attack.agn import AGN
from agns.attack.attack import Attack
from agns.attack.baselines import Baseline
from agns.attack.pixel_descent import COLORS, PixelDescent
from agns.attack.pixels import FreePixels
from agns.evaluation.attack_setup import AttackSetup
from agns.evaluation.campaign.plan import Crowd
from agns.evaluation.controls import CONTROLS
from agns.models.dcgan import sample_latents
from agns.types import CANVAS

_BATCH = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """What an attack's parts take, in seconds."""

    look: float
    """A face that wears a frame, recognised."""
    gradient: float
    """The same, and the frame's gradient."""
    nets: float
    """A frame drawn and judged by generator and discriminator, with both their gradients."""


def measure_speed(setup: AttackSetup) -> Speed:
    """Time each part on a batch, after another one that warms up; the quickest of up to ten."""
    draws = torch.Generator().manual_seed(0)
    faces = torch.rand(_BATCH, 3, CANVAS, CANVAS, generator=draws)
    frames = torch.rand(_BATCH, 3, *FRAME_SIZE, generator=draws)
    latents = sample_latents(_BATCH, generator=draws)
    victim, everybody = setup.victim, torch.arange(_BATCH)
    generator, discriminator = (
        copy.deepcopy(network).eval().requires_grad_(requires_grad=True)
        for network in (setup.generator, setup.discriminator)
    )

    @torch.no_grad()
    def look() -> None:
        victim(FIXED.wear(faces, frames, everybody))

    def gradient() -> None:
        leaf = frames.clone().requires_grad_()
        torch.autograd.grad(victim(FIXED.wear(faces, leaf, everybody)).sum(), leaf)

    def nets() -> None:
        # Drawn frames are judged twice, real ones once.
        drawn = generator(latents)
        verdicts = [discriminator(some) for some in (drawn, drawn, frames)]
        torch.cat(verdicts).sum().backward()

    return Speed(look=_time(look), gradient=_time(gradient), nets=_time(nets))


def _time(part: Callable[[], None]) -> float:
    part()
    begun = time.perf_counter()
    taken: list[float] = []
    # Other work on the machine slows some of them down; slow networks get one chance alone.
    while not taken or (len(taken) < 10 and time.perf_counter() - begun < 1):
        started = time.perf_counter()
        part()
        taken.append(time.perf_counter() - started)
    return min(taken) / _BATCH


def seconds_of(
    method: Attack,
    speed: Speed,
    *,
    craft: int,
    held_out: float,
    control_frames: int,
    glasses: int,
    sharing: int = 1,
) -> tuple[float, float]:
    """What a cell takes at least and at most: the stop value met at once, or never.

    Args:
        method: The attack.
        speed: Of its parts.
        craft: Craft photos.
        held_out: Held-out photos.
        control_frames: Frames of each control.
        glasses: Real frames that the attack has.
        sharing: Cells that are scored on the same photos, and share the controls.
    """
    scoring = (2 + control_frames * len(CONTROLS) / sharing) * held_out * speed.look
    first, step, steps = _parts(method, speed, craft, glasses)
    return scoring + first, scoring + first + steps * step


def seconds_of_crowd(
    crowd: Crowd, speed: Speed, *, subjects: int, held_out: float, glasses: int
) -> tuple[float, float]:
    """What a universal attack takes at least and at most: the stop value met at once, or never.

    Args:
        crowd: The attack.
        speed: Of its parts.
        subjects: Identities that the recogniser knows and that have photos.
        held_out: Held-out photos of each.
        glasses: Real frames that the attack has.
    """
    experiment, method = crowd.experiment, crowd.method
    people = experiment.subjects or subjects
    crafting = max(1, people - round(experiment.unseen * people))
    photos, groups = crafting * experiment.craft, min(method.clusters, crafting)
    # Candidates, and as many benign frames, on every craft photo; the chosen ones on all photos.
    trying = 2 * groups * method.candidates * photos * speed.look
    scoring = 2 * method.frames * people * (experiment.craft + held_out) * speed.look
    # Looks take in a group's photos alone: together, all.
    look, step, steps = _parts(method.agn, speed, photos, glasses)
    own = method.agn.samples * photos / groups * speed.look
    alone = step - (look - own) / method.agn.check_every
    least = trying + scoring + look
    return least, least + groups * min(method.steps, steps) * alone


def _parts(method: Attack, speed: Speed, craft: int, glasses: int) -> tuple[float, float, int]:
    """Seconds before the first step, in each step, and the number of steps."""
    if isinstance(method, AGN):
        look = method.samples * craft * speed.look
        step = method.batch * (speed.gradient + speed.nets) + look / method.check_every
        return look, step, method.epochs * (glasses // method.batch)
    if isinstance(method, PixelDescent):
        step = len(COLORS) * craft * speed.gradient
        # Steps that are disturbed look at the undisturbed frame as well.
        twice = any(getattr(method, name) > 0 for name in DISTURBANCES)
        return step, step * (2 if twice else 1), method.steps
    if isinstance(method, Baseline):
        # All frames are tried, come what may.
        return method.count * craft * speed.look, 0, 0
    assert isinstance(method, FreePixels)
    # Optimised pixels do not end before their steps do.
    return method.steps * craft * speed.gradient, 0, 0
