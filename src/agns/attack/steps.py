"""One step of algorithm 1 (Sharif et al. 2019), whatever is drawn: eyeglasses, or digits."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from agns.attack.config import AgnConfig
from agns.attack.gradients import join_gradients
from agns.training.precision import autocast
from agns.types import Drawings


def teach_discriminator(
    discriminator: Callable[[Drawings], Float[Tensor, " batch"]],
    optimizer: torch.optim.Optimizer,
    real: Drawings,
    drawn: Drawings,
    config: AgnConfig,
) -> float:
    """Let the discriminator learn from one batch, unless it is already too far ahead.

    Args:
        discriminator: Gives one logit each, positive for what looks real; its weights change.
        optimizer: Of the discriminator's weights.
        real: In [0, 1].
        drawn: What the generator drew, in [0, 1]; no gradient reaches the generator.
        config: How real ones are smoothed, from what lead on it sits out, in what precision.

    Returns:
        Its loss before the step.
    """
    device = optimizer.param_groups[0]["params"][0].device
    with autocast(config.precision, device.type):
        on_drawn = discriminator(drawn.detach()).float()
        learns = float(on_drawn.detach().sigmoid().mean()) >= config.lead
        with torch.set_grad_enabled(learns):
            on_real = discriminator(real).float()
    # Real ones are 1, smoothed; generated ones are 0.
    loss = functional.binary_cross_entropy_with_logits(
        on_real, torch.full_like(on_real, config.smoothing)
    ) + functional.binary_cross_entropy_with_logits(on_drawn, torch.zeros_like(on_drawn))
    if learns:
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return float(loss.detach())


def join_objectives(
    leaf: Drawings,
    verdicts: Float[Tensor, " batch"],
    error: Drawings,
    config: AgnConfig,
) -> Drawings:
    """The generator's two gradients at its output, joined sample by sample.

    Args:
        leaf: What the generator drew, cut off from it.
        verdicts: The discriminator's logits, computed from it.
        error: The gradient at it of what the attacker lowers, as `Goal.loss` gives it.
        config: The weight of looking real, and to what length both are brought.

    Returns:
        The gradient to go against.
    """
    (real,) = torch.autograd.grad(-functional.logsigmoid(verdicts).sum(), leaf)
    return join_gradients(real, error, config.kappa, config.joined_length)
