"""What an attack asks of its victim: logits, and the gradient of a loss at the faces it shows."""

from collections.abc import Callable
from typing import TypeAlias

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from agns.accessory.placement import Placement
from agns.errors import AttackError, ConfigError
from agns.models.layout import device_of
from agns.models.victim import Victim
from agns.training.precision import autocast
from agns.types import Faces, Frames, Logits

Loss: TypeAlias = Callable[[Logits], Float[Tensor, " batch"]]
"""What an attack lowers, for each face."""

NO_GRADIENT = (
    "the victim gives no gradient, which this attack follows: cmaes and square only ask, and "
    "transfer follows surrogates"
)


@torch.no_grad()
def query_logits(victim: Victim, faces: Faces, *, precision: str = "fp32") -> Logits:
    """Logits of faces.

    Args:
        victim: In evaluation mode.
        faces: (faces, 3, 224, 224), in [0, 1].
        precision: `fp32` or `bf16`.

    Raises:
        AttackError: The victim gives something else than a logit for each identity.
    """
    return _answer(victim, faces, precision)


def query_gradient(
    victim: Victim, faces: Faces, loss: Loss, *, precision: str = "fp32"
) -> tuple[Logits, Float[Tensor, "batch 3 224 224"]]:
    """Logits of faces, without a graph, and the gradient of the summed loss at them.

    Args:
        victim: In evaluation mode.
        faces: (faces, 3, 224, 224), in [0, 1]; what they were computed from is left alone.
        loss: Of what gradient.
        precision: `fp32` or `bf16`.

    Raises:
        AttackError: The victim gives something else than a logit for each identity, or no gradient.
    """
    leaf = faces.detach().requires_grad_()
    with torch.enable_grad():
        logits = _answer(victim, leaf, precision)
        lowered, found = loss(logits).sum(), None
        if lowered.requires_grad:
            (found,) = torch.autograd.grad(lowered, leaf, allow_unused=True)
    if found is None:
        raise AttackError(NO_GRADIENT)
    return logits.detach(), found


def _answer(victim: Victim, faces: Faces, precision: str) -> Logits:
    """The victim's logits, as float32.

    Raises:
        AttackError: They are something else, or the victim writes to the faces.
    """
    try:
        with autocast(precision, device_of(victim).type):
            logits = victim(faces)
    except (RuntimeError, ConfigError) as error:
        if "in-place" not in str(error):
            raise
        raise AttackError(
            "the victim writes to the faces that it is given: let it work on a copy"
        ) from error
    expected = (len(faces), len(victim.identities))
    if not isinstance(logits, torch.Tensor) or tuple(logits.shape) != expected:
        got = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
        raise AttackError(f"the victim should give {expected} logits, got {got}")
    return logits.float()


def ask_frames(
    victim: Victim,
    faces: Faces,
    frames: Frames,
    photos: Int64[Tensor, " photos"],
    *,
    placement: Placement,
    batch: int,
) -> Float[Tensor, "frames photos classes"]:
    """Logits of photos wearing each of some frames.

    Args:
        victim: In evaluation mode.
        faces: All photos, in [0, 1].
        frames: In [0, 1].
        photos: Which of them wear the frames.
        placement: Where frames sit on all photos.
        batch: Faces shown at once.
    """
    found = []
    for some in photos.split(max(1, batch // len(frames))):
        each = frames.repeat_interleave(len(some), 0)
        worn = placement.wear(faces, each, some.repeat(len(frames)))
        found.append(query_logits(victim, worn).unflatten(0, (len(frames), len(some))))
    return torch.cat(found, 1)
