"""Telling whether two photos show one person: LFW's protocol on a folder's own pairs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from agns.data.faces import FaceSet
from agns.data.twins import find_twins
from agns.errors import DataError
from agns.types import Embeddings


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pairs:
    """Pairs of photos in folds that share no identity (Huang et al. 2007, view 2)."""

    first: Int64[Tensor, " pairs"]
    """Places of the photos on one side."""

    second: Int64[Tensor, " pairs"]
    """Places of those on the other."""

    same: Bool[Tensor, " pairs"]
    """Whether both show one identity; in each fold half of the pairs do."""

    fold: Int64[Tensor, " pairs"]
    """The fold of each pair, from 0 upwards."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerificationScores:
    """How well distances between embeddings tell pairs apart; shares in [0, 1]."""

    pairs: int
    identities: int
    folds: int

    accuracy: float
    """Mean over the folds, each judged at the threshold that is best on the others."""

    standard_error: float
    """Of that mean."""

    auc: float
    """Area under the ROC curve, over all pairs."""

    eer: float
    """Where as many equal pairs are refused as different ones accepted."""


def draw_pairs(
    faces: FaceSet,
    identities: Sequence[str],
    *,
    folds: int = 10,
    per_fold: int = 600,
    rng: torch.Generator,
) -> Pairs:
    """Draw pairs of photos, half of one identity and half of two, none of one picture twice.

    There are at most `folds` folds, with two identities or more in each, and at most `per_fold`
    pairs in each; fewer where identities have few photos.

    Raises:
        DataError: Fewer than four identities have two photos or more.
    """
    places = [faces.places_of(identity) for identity in identities]
    places = [own for own in places if len(own) >= 2]
    if len(places) < 4:
        raise DataError(
            f"verification needs at least four identities with two photos or more that are not "
            f"trained on, got {len(places)}"
        )
    pictures = _numbered(faces)
    order = torch.randperm(len(places), generator=rng).tolist()
    count = min(folds, len(places) // 2)
    first, second, same, fold = [], [], [], []
    for number in range(count):
        members = [places[index] for index in order[number::count]]
        equal = _distinct(pictures, torch.cat([_pairs_within(own, rng) for own in members]))
        if len(equal) == 0:
            raise DataError("in one fold of identities no two different photos show one person")
        wanted = min(per_fold // 2, len(equal))
        equal = equal[torch.randperm(len(equal), generator=rng)[:wanted]]
        unequal = _distinct(pictures, _pairs_between(members, 4 * wanted, rng))[:wanted]
        equal = equal[: len(unequal)]
        for chosen, alike in ((equal, True), (unequal, False)):
            first.append(chosen[:, 0])
            second.append(chosen[:, 1])
            same.append(torch.full((len(chosen),), alike))
            fold.append(torch.full((len(chosen),), number))
    return Pairs(
        first=torch.cat(first),
        second=torch.cat(second),
        same=torch.cat(same),
        fold=torch.cat(fold),
    )


_MOST_PHOTOS = 60
"""Photos of one identity that pairs are drawn from: they make more than enough."""


def _pairs_within(own: Int64[Tensor, " photos"], rng: torch.Generator) -> Int64[Tensor, "pairs 2"]:
    """Pairs of one identity's photos."""
    chosen = own[torch.randperm(len(own), generator=rng)[:_MOST_PHOTOS]]
    return torch.combinations(chosen, 2)


def _pairs_between(
    members: Sequence[Int64[Tensor, " _"]], count: int, rng: torch.Generator
) -> Int64[Tensor, "pairs 2"]:
    """At most `count` pairs of photos of two identities, no two alike, in random order."""
    sizes = torch.tensor([len(own) for own in members])
    joined, begins = torch.cat(list(members)), sizes.cumsum(0) - sizes
    first = torch.randint(len(members), (count,), generator=rng)
    # Any but the first, each as likely.
    second = torch.randint(len(members) - 1, (count,), generator=rng)
    second += second >= first
    sides = []
    for side in (torch.minimum(first, second), torch.maximum(first, second)):
        within = (torch.rand(count, generator=rng) * sizes[side]).long()
        sides.append(joined[begins[side] + within])
    drawn = torch.stack(sides, 1).unique(dim=0)
    mixed: Tensor = drawn[torch.randperm(len(drawn), generator=rng)]
    return mixed


def _distinct(
    pictures: Int64[Tensor, " photos"], pairs: Int64[Tensor, "pairs 2"]
) -> Int64[Tensor, "kept 2"]:
    """The pairs that are not one picture twice."""
    distinct: Tensor = pairs[pictures[pairs[:, 0]] != pictures[pairs[:, 1]]]
    return distinct


def _numbered(faces: FaceSet) -> Int64[Tensor, " photos"]:
    """A number for each photo, equal for one picture twice: saved anew, or under two names."""
    first = {digest: at for at, digest in reversed(list(enumerate(faces.digests)))}
    return torch.tensor([first[faces.digests[at]] for at in find_twins(faces).tolist()])


def similarities(embeddings: Embeddings, pairs: Pairs) -> Float[Tensor, " pairs"]:
    """1 for pairs of equal embeddings, 0 for opposite ones, linear in their squared distance.

    Embeddings have length 1.
    """
    distance = (embeddings[pairs.first] - embeddings[pairs.second]).square().sum(1)
    return (1 - distance / 4).clamp(0, 1)


def score_verification(
    similarity: Float[Tensor, " pairs"], pairs: Pairs, faces: FaceSet
) -> VerificationScores:
    """Judge similarities in [0, 1] by the ten-fold protocol, ROC and equal error rate."""
    from torchmetrics.functional.classification import binary_auroc, binary_eer

    folds = pairs.fold.unique().tolist()
    accuracies = []
    for number in folds:
        other = pairs.fold != number
        threshold = best_threshold(similarity[other], pairs.same[other])
        own = (similarity[~other] >= threshold) == pairs.same[~other]
        accuracies.append(float(own.float().mean()))
    each = torch.tensor(accuracies)
    target = pairs.same.long()
    used = faces.labels[torch.cat([pairs.first, pairs.second])].unique()
    return VerificationScores(
        pairs=len(target),
        identities=len(used),
        folds=len(folds),
        accuracy=float(each.mean()),
        standard_error=float(each.std() / len(folds) ** 0.5),
        auc=float(binary_auroc(similarity, target)),
        eer=float(binary_eer(similarity, target)),
    )


def best_threshold(similarity: Float[Tensor, " pairs"], same: Bool[Tensor, " pairs"]) -> float:
    """The similarity from which pairs are best taken for equal: the most right answers."""
    ordered, places = similarity.sort(descending=True)
    alike = same[places]
    # Accepting the first k pairs is right for the equal ones among them and the others after.
    right = alike.cumsum(0) + (~alike).sum() - (~alike).cumsum(0)
    # Pairs of one similarity are accepted together: only the last of them can be a threshold.
    last = torch.cat([ordered[1:] < ordered[:-1], torch.tensor([True])])
    return float(ordered[torch.where(last, right, -1).argmax()])


def roc_curve(similarity: Float[Tensor, " pairs"], pairs: Pairs) -> Mapping[str, Sequence[float]]:
    """Rates of `false_acceptance` and `true_acceptance`, both ascending from 0 to 1."""
    from torchmetrics.functional.classification import binary_roc

    false, true, _ = binary_roc(similarity, pairs.same.long())
    return {"false_acceptance": false.tolist(), "true_acceptance": true.tolist()}
