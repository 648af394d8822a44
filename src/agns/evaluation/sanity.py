"""Signs that a recogniser, or a result, is not what it looks like."""

from collections.abc import Collection, Mapping

import torch
from jaxtyping import Int64
from torch import Tensor, nn
from torch.nn import functional

from agns.attack.attack import digests_of, photos_of
from agns.attack.result import AttackResult
from agns.data.faces import FaceSet
from agns.data.twins import NEAR_COPY, fingerprints, were_seen
from agns.errors import ImageContractError
from agns.evaluation.metrics import SplitSuccess
from agns.evaluation.stealth import Stealth
from agns.images import to_pixels
from agns.models.black_box import BlackBox, answering
from agns.models.record import photos_enrolled, photos_of_threshold, photos_seen
from agns.models.victim import Ranged, Victim, freeze
from agns.types import Faces, Logits

CLEAN_ACCURACY = 0.8
"""Below this, figures over all photos say more of the recogniser than of the attack."""

PROBABILITIES = (
    "The recogniser gives probabilities, not logits, which objectives over logits misread."
)

_RANGES = ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0))


def are_probabilities(logits: Logits) -> bool:
    """Whether what a network gives for logits sums to 1 and is never negative."""
    return bool((logits >= 0).all()) and bool(((logits.sum(1) - 1).abs() < 1e-3).all())


def find_unchecked(metadata: Mapping[str, object]) -> list[str]:
    """Say where another system's network was not compared with its own runtime."""
    checked = str(metadata.get("checked", ""))
    return [f"The recogniser's network was {checked}."] if checked.startswith("not ") else []


def find_seen(
    scored: Faces | FaceSet,
    record: Mapping[str, object],
    *,
    crafted: Collection[str],
    craft: Faces | None,
) -> list[str]:
    """Say on how many of the photos that are scored on somebody has worked before.

    Args:
        scored: These photos.
        record: The victim's, which lists photos that it knows.
        crafted: Digests of the photos that the frame was made on.
        craft: The same as pictures, of which copies are known too.
    """
    own, everybody = digests_of(scored), photos_of(scored)
    enrolled = photos_enrolled(record)

    def seen(known: Collection[str]) -> int:
        if not known:
            return 0
        if isinstance(scored, FaceSet):
            return int(were_seen(scored, known).sum())
        return sum(one in known for one in own)

    copies = 0
    if craft is not None:
        prints = [fingerprints(to_pixels(faces)) for faces in (everybody, craft)]
        copies = int(((prints[0] @ prints[1].T) > NEAR_COPY).any(1).sum())
    counts = (
        (max(copies, seen(crafted)), "The frame was made on"),
        (seen(photos_seen(record) - enrolled), "The recogniser was trained on"),
        (seen(enrolled), "The gallery's people are enrolled with"),
    )
    warnings = [
        f"{who} {count} of the {len(own)} photos scored on: split them with `FaceSet.split`, and "
        "`seen`, the digests that a recogniser's file lists."
        for count, who in counts if count
    ]  # fmt: skip
    if count := seen(photos_of_threshold(record)):
        warnings.append(
            f"The threshold comes from comparisons with {count} of the {len(own)} photos scored "
            "on, too: whoever wears the frame should not be among those whom it is set with."
        )
    return warnings


def find_warnings(
    result: AttackResult,
    held_out: SplitSuccess,
    controls: Mapping[str, SplitSuccess],
    recognized: float | None,
    stealth: Stealth,
    bare: SplitSuccess,
    saved_anew: int,
    craft: SplitSuccess | None,
) -> list[str]:
    """Say in words what makes the figures weaker than they look."""
    warnings = []
    if saved_anew:
        warnings.append(
            f"Of the subject's photos {saved_anew} look like another one saved anew: such copies "
            "were kept on one side of the split, and count as several photos there."
        )
    if result.stopped_because == "interrupted":
        warnings.append(f"The attack was interrupted after {result.iterations} iterations.")
    if result.stopped_because == "lost the victim":
        warnings.append(
            f"The victim failed after {result.iterations} iterations ({result.lost}); the frame is "
            "the best found before."
        )
    if result.stopped_because == "not finite":
        warnings.append(
            f"A gradient or loss was no longer finite after {result.iterations} iterations; "
            "the frame is the best found before."
        )
    if not result.met:
        # What an attack knows may be decisions alone, or of a surrogate.
        mean = None if craft is None else craft.mean_probability
        warnings.append(
            "No frame reached the stop value: the best one's mean probability over the craft "
            f"photos is {result.probability if mean is None else mean:.3f}."
        )
    rate = held_out.success_rate
    for name, control in controls.items():
        other = control.success_rate
        if rate is not None and other is not None and other >= rate > 0:
            warnings.append(
                f"The control '{name.replace('_', ' ')}' succeeds as often as the attack "
                f"({other:.0%} against {rate:.0%}): the success is not the attack's own."
            )
    without = bare.success_rate
    if rate is not None and without is not None and without >= max(0.25, rate / 2):
        warnings.append(
            f"The goal is reached on {without:.0%} of the held-out photos as they are: read the "
            "success against that."
        )
    if stealth.appearance is not None and not stealth.appearance.passes:
        warnings.append(f"The frame does not pass for eyeglasses: {stealth.appearance.reason}.")
    if held_out.images < 10:
        warnings.append(
            f"Only {held_out.images} held-out photos: the interval is wide, read it with the rate."
        )
    if recognized is not None and recognized < 0.8:
        warnings.append(
            f"Without a frame the recogniser recognises only {recognized:.0%} of the subject's "
            "photos: read the figures among the recognised."
        )
    return warnings


def examine(
    recognizer: Victim, faces: Faces, labels: Int64[Tensor, " photos"], *, batch: int = 32
) -> list[str]:
    """Say in words why figures of attacks on a recogniser could not be trusted.

    Looked for are training mode, logits that change from one time to the next, probabilities in
    place of logits, photos that are not recognised as they are but are with red and blue exchanged
    or in another range, and gradients that vanish, or that there are none.

    Args:
        recognizer: As it is to be attacked; not changed.
        faces: Photos that it was not trained on, (photos, 3, 224, 224), in [0, 1].
        labels: Their classes.
        batch: Photos at once.
    """
    found = []
    if isinstance(recognizer, nn.Module) and any(one.training for one in recognizer.modules()):
        found.append(
            "it came in training mode, and is put in evaluation mode for attacks and these checks"
        )
    attacked = freeze(recognizer)
    recognizer = answering(attacked)
    logits = _judge(recognizer, faces, batch)
    if not bool(logits.isfinite().all()):
        return [*found, "its logits are not finite"]
    # In other company: what a photo gets must not hang on the photos beside it either.
    few = max(1, min(batch, len(faces)) // 2)
    again = _judge(recognizer, faces[:few], batch)
    # Sums may be ordered otherwise; what is drawn at random differs by more.
    if not torch.allclose(logits[:few], again, rtol=1e-3, atol=1e-3):
        found.append("it answers otherwise when it is shown the same photos again")
    if are_probabilities(logits):
        found.append("its logits are probabilities, which objectives over logits misread")
    accuracy = _accuracy(logits, labels)
    if accuracy < CLEAN_ACCURACY:
        found.append(f"it recognises only {accuracy:.0%} of {len(faces)} photos without a frame")
    swapped = _accuracy(_judge(recognizer, faces.flip(1), batch), labels)
    if swapped > accuracy + _clearly(len(faces)):
        found.append(
            f"it recognises {swapped:.0%} with red and blue exchanged, against {accuracy:.0%}: its "
            "colour order is off"
        )
    found += _of_range(recognizer, faces, labels, accuracy, batch)
    vanished = _vanished(recognizer, faces[:batch], labels[:batch])
    if vanished is None or isinstance(attacked, BlackBox):
        found.append("it gives no gradient: attacks that follow one cannot be made on it")
    elif vanished > 0.1:
        found.append(
            f"its gradient vanishes on {vanished:.0%} of the photos, which stops every attack "
            "that follows it"
        )
    return found


def _of_range(
    recognizer: Victim, faces: Faces, labels: Tensor, accuracy: float, batch: int
) -> list[str]:
    if not isinstance(recognizer, Ranged):
        return []
    for low, high in _RANGES:
        if (low, high) == recognizer.value_range:
            continue
        other = recognizer.in_range(low, high)
        try:
            share = _accuracy(_judge(other, faces, batch), labels)
        except ImageContractError:
            # Its backbone brings faces to its range itself, as dlib's does, and refuses others.
            continue
        if share > accuracy + _clearly(len(faces)):
            return [
                f"it recognises {share:.0%} when faces are put in [{low:g}, {high:g}], against "
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


def _vanished(recognizer: Victim, faces: Faces, labels: Tensor) -> float | None:
    """Share of photos on whose pixels the margin to others does not depend; None of no gradient."""
    leaf = faces.clone().requires_grad_()
    logits = recognizer(leaf)
    if not logits.requires_grad:
        return None
    own = functional.one_hot(labels, logits.shape[1]).bool()
    margin = logits[own] - logits.masked_fill(own, -torch.inf).amax(1)
    (gradient,) = torch.autograd.grad(margin.sum(), leaf)
    return float((gradient.abs().amax((1, 2, 3)) < 1e-9).float().mean())
