"""One step of algorithm 1 (Sharif et al. 2019), whatever is drawn: eyeglasses, or digits."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from agns.attack.gradients import Length, join_gradients
from agns.training.precision import autocast
from agns.types import Drawings

REAL_LABEL = 0.9
"""What the discriminator is told of real frames (one-sided label smoothing, as in training);
generated ones are 0."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DiscriminatorStep:
    """A step of the discriminator's."""

    loss: float
    """Its loss before the step."""

    fake_logits: Float[Tensor, " batch"] | None
    """Where it sat the step out, its logits of what was drawn, with their graph: it would give
    the same again. None where it learnt."""


def train_discriminator(
    discriminator: Callable[[Drawings], Float[Tensor, " batch"]],
    optimizer: torch.optim.Optimizer,
    real: Drawings,
    drawn: Drawings,
    *,
    min_fake_score: float,
    precision: str,
) -> DiscriminatorStep:
    """Let the discriminator learn from one batch, unless it is already too far ahead.

    Args:
        discriminator: Gives one logit each, positive for what looks real; its weights change.
        optimizer: Of the discriminator's weights.
        real: In [0, 1].
        drawn: What the generator drew, in [0, 1], cut off from it; the gradient is not computed
            here.
        min_fake_score: It sits out when its mean score of what was drawn is below this, in [0, 1].
        precision: `fp32` or `bf16`.
    """
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    with autocast(precision, weights[0].device.type):
        on_drawn = discriminator(drawn).float()
        learns = float(on_drawn.detach().sigmoid().mean()) >= min_fake_score
        with torch.set_grad_enabled(learns):
            on_real = discriminator(real).float()
    loss = functional.binary_cross_entropy_with_logits(
        on_real, torch.full_like(on_real, REAL_LABEL)
    ) + functional.binary_cross_entropy_with_logits(on_drawn, torch.zeros_like(on_drawn))
    if learns:
        optimizer.zero_grad()
        loss.backward(inputs=weights)
        optimizer.step()
    return DiscriminatorStep(loss=float(loss.detach()), fake_logits=None if learns else on_drawn)


def join_objectives(
    leaf: Drawings,
    fake_logits: Float[Tensor, " batch"],
    error: Drawings,
    *,
    kappa: float,
    length: Length,
) -> Drawings:
    """The generator's two gradients at its output, joined sample by sample.

    Args:
        leaf: What the generator drew, cut off from it.
        fake_logits: The discriminator's logits, computed from it.
        error: The gradient at it of what the attacker lowers, as `Goal.loss` gives it.
        kappa: The weight of looking real, in [0, 1].
        length: To which of them both are brought.

    Returns:
        The gradient to go against.
    """
    (real,) = torch.autograd.grad(-functional.logsigmoid(fake_logits).sum(), leaf)
    return join_gradients(real, error, kappa, length)
