"""How well an embedding tells people apart, on a face folder."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from agns.data.faces import FaceSet
from agns.errors import DataError
from agns.models.embedder import Embedder, distances
from agns.models.operating_points import CARRIED, embed_photos
from agns.training.verification import (
    VerificationScores,
    best_threshold,
    draw_pairs,
    score_verification,
)
from agns.types import Embeddings, Progress, silent

ENROLLED = 5
"""Photos of each person that rank 1 is measured against."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptanceRate:
    """What share of genuine pairs is accepted where so many impostors are."""

    false_accept_rate: float
    true_accept_rate: float
    threshold: float
    """Distance below which a pair is accepted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedderScores:
    """An embedding on a face folder; shares in [0, 1]."""

    people: int
    photos: int
    ten_fold: VerificationScores
    """On pairs drawn by the seed, half of them genuine, in folds of other people."""
    threshold: float
    """Distance that is best on these pairs."""
    genuine: int
    """All genuine pairs."""
    impostors: int
    """All impostor pairs."""
    acceptance: Sequence[AcceptanceRate]
    """Over all pairs, at rates that the number of impostors carries."""
    rank_1: float | None
    """Share of the other photos that are nearest to the mean of their own person's first five;
    None where nobody has more."""


def measure_embedder(
    embedder: Embedder,
    faces: FaceSet,
    *,
    photos: int | None = 11,
    rates: Sequence[float] = (0.01, 0.001, 0.0001),
    seed: int = 0,
    progress: Progress = silent,
) -> EmbedderScores:
    """Measure an embedding by LFW's protocol on a folder's own pairs, and over all pairs.

    Args:
        embedder: In evaluation mode.
        faces: Photos of people whom it was not trained on.
        photos: The first so many of each person, so that nobody counts for more; None for all.
        rates: False-accept rates.
        seed: Of the ten-fold pairs.
        progress: Told after each batch of photos.

    Raises:
        DataError: There are too few people.
    """
    each = [faces.places_of(name)[:photos] for name in faces.identities]
    chosen = faces.subset(torch.cat(each))
    found = embed_photos(embedder, chosen, progress=progress)
    pairs = draw_pairs(
        chosen,
        chosen.identities,
        per_fold=200,
        rng=torch.Generator().manual_seed(seed),
    )
    apart = torch.cat([
        _between(one, other, embedder)
        for one, other in zip(
            found[pairs.first].split(4096), found[pairs.second].split(4096), strict=True
        )
    ])  # fmt: skip
    farthest = apart.max().clamp_min(1e-12)
    similarity = 1 - apart / farthest
    genuine, impostors = _all_pairs(found, chosen, embedder)
    if len(genuine) == 0 or len(impostors) == 0:
        raise DataError("verification needs genuine pairs and impostor pairs, and there are none")
    return EmbedderScores(
        people=len(chosen.labels.unique()),
        photos=len(chosen),
        ten_fold=score_verification(similarity, pairs, chosen),
        threshold=float((1 - best_threshold(similarity, pairs.same)) * farthest),
        genuine=len(genuine),
        impostors=len(impostors),
        acceptance=[
            _accepted(genuine, impostors, rate)
            for rate in rates
            if int(rate * len(impostors)) >= CARRIED
        ],
        rank_1=_rank_1(found, chosen, embedder),
    )


def _between(one: Embeddings, other: Embeddings, embedder: Embedder) -> Float[Tensor, " pairs"]:
    if embedder.metric == "cosine":
        return 1 - torch.cosine_similarity(one, other)
    apart: Tensor = (one - other).norm(dim=1)
    return apart


def _all_pairs(
    found: Embeddings, faces: FaceSet, embedder: Embedder
) -> tuple[Float[Tensor, " genuine"], Float[Tensor, " impostors"]]:
    """Distances of all pairs, those of one person and those of two; sorted."""
    genuine, impostors = [], []
    for place in range(len(found) - 1):
        apart = distances(found[place : place + 1], found[place + 1 :], embedder.metric)[0]
        same = faces.labels[place + 1 :] == faces.labels[place]
        genuine.append(apart[same])
        impostors.append(apart[~same])
    return torch.cat(genuine), torch.cat(impostors).sort().values


def _accepted(genuine: Tensor, impostors: Tensor, rate: float) -> AcceptanceRate:
    threshold = float(impostors[int(rate * len(impostors))])
    return AcceptanceRate(
        false_accept_rate=rate,
        true_accept_rate=float((genuine < threshold).double().mean()),
        threshold=threshold,
    )


def _rank_1(found: Embeddings, faces: FaceSet, embedder: Embedder) -> float | None:
    means: list[Tensor] = []
    rest: list[Tensor] = []
    owners: list[int] = []
    for label in faces.labels.unique().tolist():
        own = found[faces.labels == label]
        if len(own) > ENROLLED:
            rest.append(own[ENROLLED:])
            owners += [len(means)] * (len(own) - ENROLLED)
        means.append(own[:ENROLLED].mean(0))
    if not rest:
        return None
    nearest = distances(torch.cat(rest), torch.stack(means), embedder.metric).argmin(1)
    return float((nearest == torch.tensor(owners)).double().mean())
