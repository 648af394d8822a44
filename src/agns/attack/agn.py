"""The adversarial generative net: fine-tune a generator until its glasses fool a recogniser.

Read beside algorithm 1 of Sharif et al. 2019 (section 4.3).
"""

import copy
import math
import time
from dataclasses import dataclass, replace
from functools import partial
from typing import get_args

import torch
from torch.nn import functional

from agns.accessory.placement import FIXED, Placement
from agns.accessory.printability import check_palette, palette_at
from agns.accessory.total_variation import total_variation
from agns.attack.attack import FrameAttack, Nets, frames_of, shipped_nets
from agns.attack.goals import Dodge, Form, Impersonate, Wish, check_form
from agns.attack.gradients import Length, add_printing, add_smoothing, keep_in_range
from agns.attack.query import query_gradient
from agns.attack.result import AttackResult, Reason
from agns.attack.search import Candidates, check_photos, draw_photos, search_frames, typicality
from agns.attack.steps import join_objectives, teach_discriminator
from agns.data.simulation.drawn_frames import RealFrames
from agns.errors import AttackError, ConfigError
from agns.images import from_pixels
from agns.models.dcgan import Discriminator, Generator, sample_latents
from agns.models.victim import Victim, freeze
from agns.models.weights import device_of, lay_channels_last
from agns.training.precision import autocast, resolve_precision
from agns.types import Faces, Progress, silent


@dataclass(frozen=True, slots=True, kw_only=True)
class AGN(FrameAttack):
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
        generator, discriminator = shipped_nets() if nets is None else nets
        return attack_with_agn(
            generator, discriminator, victim, faces, frames_of(frames), goal, self,
            placement=replace(placement, jitter=self.jitter, brightness=self.brightness),
            progress=progress,
        )  # fmt: skip


PHYSICAL = AGN(jitter=1.0, brightness=0.1, samples=48)
"""What a physical attack does by default; 48 frames in a look are the papers' (Sharif et al. 2019,
section 5.2)."""


def attack_with_agn(
    generator: Generator,
    discriminator: Discriminator,
    victim: Victim,
    faces: Faces,
    glasses: RealFrames,
    goal: Wish,
    config: AGN,
    *,
    placement: Placement = FIXED,
    progress: Progress = silent,
) -> AttackResult:
    """Fine-tune a copy of the generator until one of its frames does what the goal says.

    Args:
        generator: Pretrained on eyeglasses; not changed.
        discriminator: Pretrained with it; not changed.
        victim: Attacked in evaluation mode; not changed. The three networks may be on a GPU, all
            else stays on the CPU.
        faces: The attacker's own aligned photos, (photos, 3, 224, 224), in [0, 1].
        glasses: Real 64x176 frames as bytes.
        goal: Whom to dodge or impersonate, and when it is enough; each photo may have its own.
        config: The settings.
        placement: Where frames sit on these photos, in the steps and in the looks; the steps
            disturb it.
        progress: Told of every step.

    Returns:
        The frames found and how they were found; Ctrl-C and a loss that is no longer finite
        end the attack early with what there is.

    Raises:
        ImageContractError: The faces are no canonical faces.
        AttackError: There are no faces, or fewer real frames than a batch.
        ConfigError: There is no palette where the settings say.
        DataError: It cannot be read.
    """
    check_photos(faces)
    victim = freeze(victim)
    palette = palette_at(config.palette)
    steps = config.passes * (len(glasses) // config.batch)
    if steps == 0:
        raise AttackError(
            f"a batch of {config.batch} needs as many real frames, got {len(glasses)}"
        )
    started = time.perf_counter()
    random = torch.Generator().manual_seed(config.seed)
    with torch.no_grad():
        benign = copy.deepcopy(generator).eval()(sample_latents(200, generator=random))
    roughness = max(1e-3, float(total_variation(benign).quantile(0.75)))
    looks_typical = typicality(generator, discriminator, glasses, config.batch, random)
    generator, discriminator = copy.deepcopy(generator), copy.deepcopy(discriminator)
    kind = device_of(generator).type
    for network in (generator, discriminator):
        # Running statistics instead of the batch's: what is trained is what a look samples.
        lay_channels_last(network).eval().requires_grad_(requires_grad=True)
        network.record = {"fine_tuned": True}
    for layer in generator.layers()[config.tuned_layers :]:
        layer.requires_grad_(requires_grad=False)
    optimize_generator = torch.optim.Adam(
        generator.parameters(),
        lr=config.generator_rate,
        betas=(0.5, 0.999),
        weight_decay=config.weight_decay,
        fused=True,
    )
    optimize_discriminator = torch.optim.Adam(
        discriminator.parameters(),
        lr=config.discriminator_rate,
        betas=(0.5, 0.999),
        weight_decay=config.weight_decay,
        fused=True,
    )

    # Per photo, how far frames were from the goal lately.
    resistance = torch.ones(len(faces))

    def look(beat: float) -> Candidates | None:
        return search_frames(
            generator,
            victim,
            faces,
            goal,
            count=config.samples,
            placement=placement,
            draws=random,
            rank=looks_typical,
            order=resistance.argsort(descending=True, stable=True),
            beat=beat,
            precision=config.precision,
        )

    try:
        best = look(math.inf)
    except FloatingPointError as error:
        raise AttackError(f"the attack cannot begin: {error}") from error
    assert best is not None
    finest = copy.deepcopy(generator.state_dict())
    history: list[dict[str, float]] = []
    reason: Reason = "reached the stop value" if best.met else "used up the eyeglasses"
    order = torch.cat(
        [torch.randperm(len(glasses), generator=random) for _ in range(config.passes)]
    )
    step = 0
    try:
        while not best.met and step < steps:
            with autocast(config.precision, kind):
                drawn = generator(sample_latents(config.batch, generator=random))
            if not drawn.isfinite().all():
                raise FloatingPointError("the generator's frames are not finite")
            real = from_pixels(glasses[order[step * config.batch : (step + 1) * config.batch]])

            # The discriminator first.
            leaf = drawn.detach().requires_grad_()
            lesson = teach_discriminator(
                discriminator, optimize_discriminator, real, leaf,
                smoothing=config.smoothing, lead=config.lead, precision=config.precision,
            )  # fmt: skip

            # Then the generator: two gradients at its output, joined sample by sample.
            verdicts = lesson.verdicts
            if verdicts is None:
                with autocast(config.precision, kind):
                    verdicts = discriminator(leaf).float()
            odds = config.focus * resistance + (1 - config.focus) * resistance.mean()
            photos = draw_photos(odds, config.batch, random)
            worn = placement.wear(faces, leaf, photos, draws=random)
            wanted = goal.on(photos)
            loss = partial(wanted.loss, form=config.objective)
            logits, slope = query_gradient(victim, worn, loss, precision=config.precision)
            lacking = wanted.shortfall(logits)
            # A photo may be drawn twice in a batch: its mean counts.
            lately = resistance.scatter_reduce(0, photos, lacking, "mean", include_self=False)
            resistance = (resistance + lately).clamp_min(1e-6) / 2
            figures = {
                "discriminator": float(functional.logsigmoid(verdicts.detach()).mean()),
                "recognizer": float(loss(logits).mean()),
                "loss": lesson.loss,
                "probability": float(wanted.watched(logits).mean()),
            }
            if not all(math.isfinite(value) for value in figures.values()):
                raise FloatingPointError("a loss is not finite")
            (erring,) = torch.autograd.grad(worn, leaf, slope)
            joined = join_objectives(
                leaf, verdicts, erring, kappa=config.kappa, length=config.joined_length
            )
            optimize_generator.zero_grad()
            limit = roughness * (1 + step * config.loosening)
            joined = add_smoothing(joined, drawn, limit, config.smoothness)
            joined = add_printing(joined, drawn, palette, config.printability)
            drawn.backward(keep_in_range(joined, drawn.detach(), config.headroom))
            for group in optimize_generator.param_groups:
                group["lr"] = config.generator_rate * min(1, (step + 1) / max(1, config.warm_up))
            optimize_generator.step()
            step += 1
            history.append(figures)
            if step % config.check_every == 0 or step == steps:
                found = look(best.shortfall)
                if found is not None and found.shortfall <= best.shortfall:
                    best, finest = found, copy.deepcopy(generator.state_dict())
                if best.met:
                    reason = "reached the stop value"
            progress(step, steps, {**history[-1], "best": best.probability})
    except KeyboardInterrupt:
        reason = "interrupted"
    except FloatingPointError:
        reason = "not finite"
    # The generator as it was when it drew the best frames, so that their latents draw them again.
    generator.load_state_dict(finest)
    return AttackResult(
        frames=best.frames,
        probability=best.probability,
        met=best.met,
        generator=generator.eval().requires_grad_(requires_grad=False),
        latents=best.latents,
        iterations=step,
        seconds=time.perf_counter() - started,
        stopped_because=reason,
        history=history,
    )
