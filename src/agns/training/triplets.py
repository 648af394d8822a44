"""Triplets for an embedding: the recipe, its batches, and the loss with semi-hard negatives."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from agns.settings import Batch, Count, Part, Range, Rate, Seed, Share, Weight, check_settings
from agns.types import Embeddings, Labels


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricTraining:
    """How an embedding is trained."""

    epochs: Count = 40
    """Passes over the photos: in each, as many are drawn as there are."""

    identities: Batch = 16
    """Identities in a step, over all processes."""

    photos: Batch = 4
    """Photos of each of them."""

    margin: Rate = 0.2
    """By how much another identity should be farther than the own, in squared distance
    (Schroff et al. 2015, section 3.1)."""

    rate: Rate = 1e-3
    """Largest learning rate of AdamW."""

    weight_decay: Weight = 0.02
    """AdamW's weight decay."""

    warm_up: Share = 0.1
    """Share of the steps in which the rate rises from 0; it then falls along a cosine."""

    glasses_share: Share = 0.25
    """Part of each batch that wears benign eyeglasses."""

    erased_share: Share = 0.2
    """Part of the photos that lose a random rectangle."""

    averaging: Share = 0.99
    """Decay per step of the moving average of the weights, which is what is kept."""

    verified_fraction: Part = 0.2
    """Part of the identities that is not trained on but verified."""

    held_fraction: Part = 0.2
    """Part of every identity's photos that is left out: what a recogniser trained with the same
    seed is tested on."""

    validation_fraction: Annotated[float, Range("[0, 1)")] = 0.1
    """Part of every identity's other photos that is left out too: what such a recogniser chooses
    its weights by."""

    seed: Seed = 0
    """Seed of the splits, the weights and every draw."""

    def __post_init__(self) -> None:
        check_settings(self)


def triplet_loss(embeddings: Embeddings, labels: Labels, margin: float) -> Float[Tensor, ""]:
    """Triplet loss over all pairs of one identity, each with its semi-hard negative.

    The negative is the nearest that is farther than the positive, or, where none is, the farthest
    (Schroff et al. 2015, section 3.2, within the batch).

    Args:
        embeddings: Of length 1.
        labels: At least one identity comes twice.
        margin: In squared distance.
    """
    distance = (embeddings[:, None] - embeddings[None]).square().sum(2)  # (anchor, other)
    alike = labels[:, None] == labels[None]
    positive = alike & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    anchors, positives = positive.nonzero(as_tuple=True)
    near = distance[anchors, positives]
    # Choosing is not differentiated, only the distances chosen.
    with torch.no_grad():
        others = distance[anchors].masked_fill(alike[anchors], math.inf)  # (pair, other)
        farther = others.masked_fill(others <= near[:, None], math.inf)
        hardest, place = farther.min(1)
        farthest = others.masked_fill(others.isinf(), -math.inf).argmax(1)
        chosen = torch.where(hardest.isinf(), farthest, place)
    far = distance[anchors, chosen]
    return (near - far + margin).clamp_min(0).mean()


def draw_batch(
    places: Sequence[Int64[Tensor, " _"]],
    identities: int,
    photos: int,
    *,
    rng: torch.Generator,
) -> Int64[Tensor, " batch"]:
    """Places of `photos` photos of each of `identities` identities, drawn from those of each.

    An identity with fewer photos repeats some.
    """
    drawn = []
    for index in torch.randperm(len(places), generator=rng)[:identities].tolist():
        own = places[index]
        order = torch.cat(
            [torch.randperm(len(own), generator=rng) for _ in range(-(-photos // len(own)))]
        )
        drawn.append(own[order[:photos]])
    return torch.cat(drawn)
