"""Signs that a recogniser is not what it should be, before anybody attacks it."""

import torch
from jaxtyping import Int64
from torch import Tensor, nn
from torch.nn import functional

from agns.models.victim import Ranged, Victim, freeze
from agns.types import Faces, Logits

CLEAN_ACCURACY = 0.8
"""Below this, figures over all photos say more of the recogniser than of the attack."""

_RANGES = ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0))


def examine(
    recognizer: Victim, faces: Faces, labels: Int64[Tensor, " photos"], *, batch: int = 32
) -> list[str]:
    """Say in words why figures of attacks on a recogniser could not be trusted.

    Looked for are training mode, logits that change from one time to the next, probabilities in
    place of logits, photos that are not recognised as they are but are with red and blue exchanged
    or in another range, and gradients that vanish.

    Args:
        recognizer: As it is to be attacked; not changed.
        faces: Photos that it was not trained on, (photos, 3, 224, 224), in [0, 1].
        labels: Their classes.
        batch: Photos at once.
    """
    doubts = []
    if isinstance(recognizer, nn.Module) and any(one.training for one in recognizer.modules()):
        doubts.append(
            "it came in training mode, and is put in evaluation mode for attacks and these checks"
        )
    recognizer = freeze(recognizer)
    logits = _judge(recognizer, faces, batch)
    if not bool(logits.isfinite().all()):
        return [*doubts, "its logits are not finite"]
    # In other company: what a photo gets must not hang on the photos beside it either.
    few = max(1, min(batch, len(faces)) // 2)
    again = _judge(recognizer, faces[:few], batch)
    # Sums may be ordered otherwise; what is drawn at random differs by more.
    if not torch.allclose(logits[:few], again, rtol=1e-3, atol=1e-3):
        doubts.append("it answers otherwise when it is shown the same photos again")
    if bool((logits >= 0).all()) and bool(((logits.sum(1) - 1).abs() < 1e-3).all()):
        doubts.append("its logits are probabilities, which objectives over logits misread")
    accuracy = _accuracy(logits, labels)
    if accuracy < CLEAN_ACCURACY:
        doubts.append(f"it recognises only {accuracy:.0%} of {len(faces)} photos without a frame")
    swapped = _accuracy(_judge(recognizer, faces.flip(1), batch), labels)
    if swapped > accuracy + _clearly(len(faces)):
        doubts.append(
            f"it recognises {swapped:.0%} with red and blue exchanged, against {accuracy:.0%}: its "
            "colour order is off"
        )
    doubts += _of_range(recognizer, faces, labels, accuracy, batch)
    vanished = _vanished(recognizer, faces[:batch], labels[:batch])
    if vanished > 0.1:
        doubts.append(
            f"its gradient vanishes on {vanished:.0%} of the photos, which stops every attack "
            "that follows it"
        )
    return doubts


def _of_range(
    recognizer: Victim, faces: Faces, labels: Tensor, accuracy: float, batch: int
) -> list[str]:
    if not isinstance(recognizer, Ranged):
        return []
    for low, high in _RANGES:
        if (low, high) == recognizer.value_range:
            continue
        other = recognizer.in_range(low, high)
        found = _accuracy(_judge(other, faces, batch), labels)
        if found > accuracy + _clearly(len(faces)):
            return [
                f"it recognises {found:.0%} when faces are put in [{low:g}, {high:g}], against "
                f"{accuracy:.0%}: its range is off"
            ]
    return []


def _clearly(photos: int) -> float:
    """How much more must be recognised to be no chance: a tenth, and three photos at least."""
    return max(0.1, 2.5 / photos)


@torch.no_grad()
def _judge(recognizer: Victim, faces: Faces, batch: int) -> Logits:
    return torch.cat([recognizer(some) for some in faces.split(batch)])


def _accuracy(logits: Logits, labels: Tensor) -> float:
    return float((logits.argmax(1) == labels).float().mean())


def _vanished(recognizer: Victim, faces: Faces, labels: Tensor) -> float:
    """Share of photos on whose pixels the margin to the other classes does not depend."""
    leaf = faces.clone().requires_grad_()
    logits = recognizer(leaf)
    own = functional.one_hot(labels, logits.shape[1]).bool()
    margin = logits[own] - logits.masked_fill(own, -torch.inf).amax(1)
    (gradient,) = torch.autograd.grad(margin.sum(), leaf)
    return float((gradient.abs().amax((1, 2, 3)) < 1e-9).float().mean())
