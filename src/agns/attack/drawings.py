"""The attack where nothing is worn: the victim sees what the generator draws, digits for one."""

import torch
from torch import nn

from agns.attack.agn import AGN
from agns.attack.goals import Goal
from agns.attack.gradients import keep_in_range
from agns.attack.steps import join_objectives, train_discriminator
from agns.errors import AttackError
from agns.models.dcgan import sample_latents
from agns.models.layout import device_of
from agns.training.precision import autocast
from agns.types import Drawings


def tune_on_drawings(
    generator: nn.Module,
    discriminator: nn.Module,
    victim: nn.Module,
    real: Drawings,
    goal: Goal,
    config: AGN,
    *,
    steps: int,
    rng: torch.Generator,
) -> None:
    """Take steps of the attack, in place, with nothing to stop at: all that is drawn is to count.

    At a kappa of 1 the victim has no say, and this is how a GAN is trained.

    Args:
        generator: Latents to pictures in [0, 1]; its mode, training or evaluation, stays.
        discriminator: Pictures to one logit each, positive for what looks real.
        victim: Pictures to logits; not changed.
        real: Real pictures, in [0, 1], drawn from with repetition.
        goal: What the victim is to take drawings for.
        config: Its kappa, objective, joined_length, saturation_margin, rates, weight decay, batch,
            min_fake_score and precision count; the others are about eyeglasses.
        steps: How many.
        rng: Source of every draw.

    Raises:
        AttackError: There are no real pictures, or a step's drawings are no longer finite.
    """
    if len(real) == 0:
        raise AttackError("the discriminator needs real pictures, got none")
    moving, judging = (
        torch.optim.Adam(
            network.parameters(), lr=rate, betas=(0.5, 0.999), weight_decay=config.weight_decay
        )
        for network, rate in (
            (generator, config.generator_rate),
            (discriminator, config.discriminator_rate),
        )
    )
    kind = device_of(generator).type
    for step in range(steps):
        with autocast(config.precision, kind):
            drawn: Drawings = generator(sample_latents(config.batch, rng=rng)).float()
        if not drawn.isfinite().all():
            raise AttackError(f"what the generator draws is not finite in step {step + 1}")
        seen = real[torch.randint(len(real), (config.batch,), generator=rng)]
        train_discriminator(
            discriminator, judging, seen, drawn.detach(),
            min_fake_score=config.min_fake_score, precision=config.precision,
        )  # fmt: skip
        leaf = drawn.detach().requires_grad_()
        with autocast(config.precision, kind):
            verdicts, logits = discriminator(leaf).float(), victim(leaf).float()
        (error,) = torch.autograd.grad(goal.loss(logits, config.objective).sum(), leaf)
        joined = join_objectives(
            leaf, verdicts, error, kappa=config.kappa, length=config.joined_length
        )
        moving.zero_grad()
        drawn.backward(keep_in_range(joined, drawn.detach(), config.saturation_margin))
        moving.step()
