"""What an attack asks of its victim: logits, and the gradient of a loss at the faces it shows."""

from collections.abc import Callable
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from agns.models.layout import device_of
from agns.models.victim import Victim
from agns.training.precision import autocast
from agns.types import Faces, Logits

Loss: TypeAlias = Callable[[Logits], Float[Tensor, " batch"]]
"""What an attack lowers, for each face."""


@torch.no_grad()
def query_logits(victim: Victim, faces: Faces, *, precision: str = "fp32") -> Logits:
    """Logits of faces.

    Args:
        victim: In evaluation mode.
        faces: (faces, 3, 224, 224), in [0, 1].
        precision: `fp32` or `bf16`.
    """
    with autocast(precision, device_of(victim).type):
        logits: Logits = victim(faces)
    return logits.float()


def query_gradient(
    victim: Victim, faces: Faces, loss: Loss, *, precision: str = "fp32"
) -> tuple[Logits, Float[Tensor, "batch 3 224 224"]]:
    """Logits of faces, without a graph, and the gradient of the summed loss at them.

    Args:
        victim: In evaluation mode.
        faces: (faces, 3, 224, 224), in [0, 1]; what they were computed from is left alone.
        loss: Of what gradient.
        precision: `fp32` or `bf16`.
    """
    leaf = faces.detach().requires_grad_()
    with torch.enable_grad():
        with autocast(precision, device_of(victim).type):
            logits: Logits = victim(leaf).float()
        (gradient,) = torch.autograd.grad(loss(logits).sum(), leaf)
    return logits.detach(), gradient
