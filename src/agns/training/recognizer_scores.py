"""What a recogniser is worth: accuracy on test photos, with and without benign glasses."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch

from agns.accessory.frame import place, silhouette
from agns.accessory.wear import wear
from agns.data.faces import FaceSet
from agns.images import from_pixels
from agns.models.layout import device_of
from agns.models.recognizer import Recognizer
from agns.models.victim import Victim
from agns.types import Labels, Logits, Pixels, Progress, silent

Rounding: TypeAlias = Callable[[], contextlib.AbstractContextManager[object]]
"""Opens a context in which networks compute in fewer bits, such as `Fabric.autocast`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecognizerScores:
    """Figures on photos that training never saw; shares in [0, 1]."""

    photos: int
    """Test photos."""

    accuracy: float
    """Share recognised."""

    balanced_accuracy: float
    """Mean over identities of the share recognised."""

    naive_dodging: float
    """Share of photos, each wearing several benign frames, that are not recognised."""

    naive_dodging_recognized: float
    """The same among photos recognised without a frame."""

    median_true_probability: float
    """Median probability of the right identity, without a frame."""


@torch.no_grad()
def classify(
    recognizer: Victim, faces: FaceSet, *, batch: int = 128, progress: Progress = silent
) -> Logits:
    """Logits of every photo of a set, on the processor; the photos go where the network is."""
    device = device_of(recognizer)
    parts = torch.arange(len(faces)).split(batch)
    logits = []
    for done, chosen in enumerate(parts, 1):
        logits.append(recognizer(faces.faces(chosen).to(device)).cpu())
        progress(done, len(parts), {})
    return torch.cat(logits)


@torch.no_grad()
def score_recognizer(
    recognizer: Recognizer,
    test: FaceSet,
    glasses: Pixels,
    *,
    seed: int,
    wearings: int = 8,
    rounding: Rounding = contextlib.nullcontext,
    progress: Progress = silent,
) -> RecognizerScores:
    """Score a recogniser in evaluation mode on photos and benign frames unseen in training.

    Each photo tries on `wearings` frames, chosen by the seed. These photos are recognised within
    `rounding`, which is most of the work; bare ones in full, so that everybody finds the same
    accuracy. Progress tells how often the photos were tried, without a frame first.
    """
    rng = torch.Generator().manual_seed(seed)
    logits = classify(recognizer, test)
    progress(1, wearings + 1, {})
    right = logits.argmax(1) == test.labels
    probabilities = logits.softmax(1).gather(1, test.labels[:, None])[:, 0]
    fooled = torch.zeros(wearings, len(test), dtype=torch.bool)
    device = next(recognizer.parameters()).device
    for wearing in range(wearings):
        for chosen in torch.arange(len(test)).split(128):
            frames = torch.randint(len(glasses), (len(chosen),), generator=rng)
            worn = wear(test.faces(chosen), place(from_pixels(glasses[frames])), silhouette())
            with rounding():
                named = recognizer(worn.to(device)).argmax(1).cpu()
            fooled[wearing, chosen] = named != test.labels[chosen]
        progress(wearing + 2, wearings + 1, {})
    return RecognizerScores(
        photos=len(test),
        accuracy=float(right.float().mean()),
        balanced_accuracy=balanced_accuracy(logits.argmax(1), test.labels),
        naive_dodging=float(fooled.float().mean()),
        naive_dodging_recognized=float(fooled[:, right].float().mean()) if right.any() else 0.0,
        median_true_probability=float(probabilities.median()),
    )


def balanced_accuracy(predicted: Labels, labels: Labels) -> float:
    """Mean over the identities present of the share of their photos recognised."""
    shares = [(predicted[labels == k] == k).float().mean() for k in labels.unique()]
    return float(torch.stack(shares).mean())
