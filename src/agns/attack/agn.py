"""The adversarial generative net: fine-tune a generator until its glasses fool a recogniser.

Read beside algorithm 1 of Sharif et al. 2019 (section 4.3).
"""

import copy
import math
import time
from dataclasses import dataclass, field
from functools import partial

import torch
from torch.nn import functional

from agns.accessory.placement import FIXED, Placement
from agns.accessory.printability import palette_at
from agns.accessory.smoothness import total_variation
from agns.attack.config import AgnConfig
from agns.attack.goals import Wish
from agns.attack.gradients import add_printing, add_smoothing, keep_in_range
from agns.attack.outcome import Reason
from agns.attack.query import query_gradient
from agns.attack.search import Candidates, check_photos, draw_photos, search_frames, typicality
from agns.attack.steps import join_objectives, teach_discriminator
from agns.errors import AttackError
from agns.images import from_pixels
from agns.models.dcgan import Discriminator, Generator, sample_latents
from agns.models.victim import Victim, freeze
from agns.models.weights import device_of, lay_channels_last
from agns.training.precision import autocast
from agns.types import Faces, Frames, Glasses, Progress, silent


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
    """Per step: the discriminator's objective, the recogniser's, the discriminator's training
    loss, and the watched mean probability."""

    @property
    def frames(self) -> Frames:
        """The best look's."""
        return self.best.frames

    @property
    def probability(self) -> float:
        """The best frame's."""
        return self.best.probability

    @property
    def met(self) -> bool:
        """Whether the best frame reached the stop value."""
        return self.best.met


def attack_with_agn(
    generator: Generator,
    discriminator: Discriminator,
    victim: Victim,
    faces: Faces,
    glasses: Glasses,
    goal: Wish,
    config: AgnConfig,
    *,
    placement: Placement = FIXED,
    progress: Progress = silent,
) -> AgnOutcome:
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
            lesson = teach_discriminator(discriminator, optimize_discriminator, real, leaf, config)

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
            joined = join_objectives(leaf, verdicts, erring, config)
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
    return AgnOutcome(
        generator=generator.eval().requires_grad_(requires_grad=False),
        best=best,
        iterations=step,
        seconds=time.perf_counter() - started,
        stopped_because=reason,
        history=history,
    )
