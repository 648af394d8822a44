"""The adversarial generative net: fine-tune a generator until its glasses fool a recogniser.

Read beside algorithm 1 of Sharif et al. 2019 (section 4.3).
"""

import copy
import math
import time
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch.nn import functional

from agns.accessory.frame import place, silhouette
from agns.accessory.wear import wear
from agns.attack.goals import Form, Goal, check_form
from agns.attack.gradients import join_gradients, smooth_along_frame
from agns.attack.search import Candidates, search_frames, typicality
from agns.errors import AttackError, ConfigError
from agns.images import check_images, from_pixels
from agns.models.dcgan import Discriminator, Generator, sample_latents
from agns.models.recognizer import Recognizer, freeze
from agns.models.weights import lay_channels_last
from agns.training.recognizer import precision
from agns.types import Faces, Glasses, Progress, silent


@dataclass(frozen=True, slots=True, kw_only=True)
class AgnConfig:
    """How an attack runs."""

    kappa: float = 0.25
    """Weight of looking real against fooling the recogniser, in [0, 1]."""

    objective: Form = "margin"
    """How the recogniser's error is put in figures; see `agns.attack.goals.Form`."""

    generator_rate: float = 1e-3
    """Adam's learning rate for the generator; the paper's is 5e-5."""

    discriminator_rate: float = 2e-5
    """Adam's learning rate for the discriminator."""

    tuned_layers: int = 5
    """How many of the generator's five layers learn at first, counted from the latent. The last
    ones paint single pixels, which is where noise comes in; without them success takes longer."""

    open_every: int = 0
    """Steps after which one more layer learns, where not all do from the start; 0 for never."""

    weight_decay: float = 1e-5
    """L2 weight decay of both."""

    batch: int = 16
    """Generated frames in a step, each on one craft photo, and as many real ones."""

    smoothing: float = 0.9
    """What the discriminator is told of real frames; generated ones are 0."""

    focus: float = 0.8
    """How much the steps turn to the photos that still resist, in [0, 1]; 0 draws photos evenly,
    as in the paper."""

    smoothing_pixels: float = 0.0
    """Deviation in pixels of the Gaussian that smooths the recogniser's gradient along the frame;
    0 leaves it as it is, as in the paper. Frames come out smoother, and success takes longer."""

    lead: float = 0.2
    """The discriminator sits a step out when its mean belief in the generated frames is below
    this, in [0, 1]: one that has run away pulls towards nothing that looks like eyeglasses. 0
    lets it learn at each step, as in the paper; 1 never."""

    precision: str = "bf16"
    """"fp32", or "bf16" for autocast in the steps' networks; looks are always fp32."""

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
        for name in ("generator_rate", "discriminator_rate", "weight_decay", "smoothing_pixels"):
            value = getattr(self, name)
            if not 0 <= value < math.inf:
                raise ConfigError(f"{name} must be finite and at least 0, got {value}")
        if self.batch < 2:
            raise ConfigError(f"batch must be at least 2, got {self.batch}")
        if self.open_every < 0:
            raise ConfigError(f"open_every must be at least 0, got {self.open_every}")
        if min(self.check_every, self.samples, self.passes) < 1:
            raise ConfigError("check_every, samples and passes must be at least 1")
        if self.precision not in ("fp32", "bf16"):
            raise ConfigError(f"precision must be fp32 or bf16, got {self.precision!r}")
        if not 1 <= self.tuned_layers <= 5:
            raise ConfigError(f"tuned_layers must be from 1 to 5, got {self.tuned_layers}")
        for name in ("lead", "focus"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} must lie in [0, 1], got {getattr(self, name)}")
        if not 0.5 < self.smoothing <= 1:
            raise ConfigError(f"smoothing must lie in (0.5, 1], got {self.smoothing}")


Reason = Literal["reached the stop value", "used up the eyeglasses", "interrupted", "not finite"]


@dataclass(slots=True, kw_only=True)
class AgnOutcome:
    """What an attack leaves, before it is scored on other photos."""

    generator: Generator
    """The copy as it was when it drew the best frames, in evaluation mode."""

    best: Candidates
    """The frames of the best look, best first."""

    iterations: int
    """Steps taken."""

    seconds: float
    """Time spent in the loop, looks included."""

    stopped_because: Reason
    """Why the loop ended."""

    history: list[dict[str, float]] = field(default_factory=list)
    """Per step: the discriminator's objective, the recogniser's, their sum, and the watched
    mean probability."""


def attack_with_agn(
    generator: Generator,
    discriminator: Discriminator,
    recognizer: Recognizer,
    faces: Faces,
    glasses: Glasses,
    goal: Goal,
    config: AgnConfig,
    *,
    progress: Progress = silent,
) -> AgnOutcome:
    """Fine-tune a copy of the generator until one of its frames does what the goal says.

    Args:
        generator: Pretrained on eyeglasses; not changed.
        discriminator: Pretrained with it; not changed.
        recognizer: The victim, attacked in evaluation mode; not changed.
        faces: The attacker's own aligned photos, (photos, 3, 224, 224), in [0, 1].
        glasses: Real 64x176 frames as bytes.
        goal: Whom to dodge or impersonate, and when it is enough.
        config: The settings.
        progress: Told of every step.

    Returns:
        The frames found and how they were found; Ctrl-C and a loss that is no longer finite
        end the attack early with what there is.

    Raises:
        ImageContractError: The faces are no canonical faces.
        AttackError: There are no faces, or fewer real frames than a batch.
    """
    check_images(faces, size=(224, 224))
    if len(faces) == 0:
        raise AttackError("an attack needs at least one photo of the subject")
    steps = config.passes * (len(glasses) // config.batch)
    if steps == 0:
        raise AttackError(
            f"a batch of {config.batch} needs as many real frames, got {len(glasses)}"
        )
    started = time.perf_counter()
    random = torch.Generator().manual_seed(config.seed)
    victim = freeze(recognizer)
    mask = silhouette()
    looks_typical = typicality(generator, discriminator, glasses, config.batch, random)
    generator, discriminator = copy.deepcopy(generator), copy.deepcopy(discriminator)
    for network in (generator, discriminator):
        # Running statistics instead of the batch's: what is trained is what a look samples.
        lay_channels_last(network).eval().requires_grad_(requires_grad=True)
    closed = generator.layers()[config.tuned_layers :]
    for layer in closed:
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

    def look() -> Candidates:
        return search_frames(
            generator,
            victim,
            faces,
            goal,
            count=config.samples,
            mask=mask,
            draws=random,
            rank=looks_typical,
        )

    try:
        best = look()
    except FloatingPointError as error:
        raise AttackError(f"the attack cannot begin: {error}") from error
    # Per photo, how far frames were from the goal lately.
    resistance = torch.ones(len(faces))
    finest = copy.deepcopy(generator.state_dict())
    history: list[dict[str, float]] = []
    reason: Reason = "reached the stop value" if best.met else "used up the eyeglasses"
    order = torch.cat(
        [torch.randperm(len(glasses), generator=random) for _ in range(config.passes)]
    )
    step = 0
    try:
        while not best.met and step < steps:
            with precision(config.precision):
                drawn = generator(sample_latents(config.batch, generator=random))
            if not drawn.isfinite().all():
                raise FloatingPointError("the generator's frames are not finite")
            real = from_pixels(glasses[order[step * config.batch : (step + 1) * config.batch]])

            # The discriminator first: real frames are 1, smoothed; generated ones are 0.
            with precision(config.precision):
                on_drawn = discriminator(drawn.detach()).float()
                learns = float(on_drawn.detach().sigmoid().mean()) >= config.lead
                with torch.set_grad_enabled(learns):
                    on_real = discriminator(real).float()
            discriminator_loss = functional.binary_cross_entropy_with_logits(
                on_real, torch.full_like(on_real, config.smoothing)
            ) + functional.binary_cross_entropy_with_logits(on_drawn, torch.zeros_like(on_drawn))
            if learns:
                optimize_discriminator.zero_grad()
                discriminator_loss.backward()
                optimize_discriminator.step()

            # Then the generator: two gradients at its output, joined sample by sample.
            leaf = drawn.detach().requires_grad_()
            with precision(config.precision):
                verdicts = discriminator(leaf).float()
            looks_real = functional.logsigmoid(verdicts).sum()
            (real_gradient,) = torch.autograd.grad(-looks_real, leaf)
            odds = config.focus * resistance + (1 - config.focus) * resistance.mean()
            photos = torch.multinomial(odds, config.batch, replacement=True, generator=random)
            worn = wear(faces[photos], place(leaf), mask)
            with precision(config.precision):
                logits = victim(worn)
            lacking = goal.shortfall(logits.detach())
            resistance[photos] = (resistance[photos] + lacking).clamp_min(1e-6) / 2
            errs = goal.loss(logits, config.objective)
            (error_gradient,) = torch.autograd.grad(errs.sum(), leaf)
            error_gradient = smooth_along_frame(error_gradient, config.smoothing_pixels)
            figures = {
                "discriminator": float(looks_real.detach()) / config.batch,
                "recognizer": float(errs.detach().mean()),
                "loss": float(discriminator_loss.detach()),
                "probability": float(logits.detach().softmax(1)[:, goal.index].mean()),
            }
            if not all(math.isfinite(value) for value in figures.values()):
                raise FloatingPointError("a loss is not finite")
            optimize_generator.zero_grad()
            drawn.backward(join_gradients(real_gradient, error_gradient, config.kappa))
            optimize_generator.step()
            step += 1
            history.append(figures)
            if closed and config.open_every and step % config.open_every == 0:
                closed.pop(0).requires_grad_(requires_grad=True)

            if step % config.check_every == 0 or step == steps:
                found = look()
                if found.shortfall <= best.shortfall:
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
    return AgnOutcome(
        generator=generator.eval().requires_grad_(requires_grad=False),
        best=best,
        iterations=step,
        seconds=time.perf_counter() - started,
        stopped_because=reason,
        history=history,
    )
