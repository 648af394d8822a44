"""Verification: the pairs, and scores against direct computation."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from agns.data.faces import FaceSet, faces_from_pixels
from agns.errors import DataError
from agns.training.verification import (
    Pairs,
    best_threshold,
    draw_pairs,
    roc_curve,
    score_verification,
    similarities,
)


@pytest.fixture
def many() -> FaceSet:
    """Photos of a single pixel of 25 identities, three to seven each."""
    counts = [3 + label % 5 for label in range(25)]
    labels = torch.arange(25).repeat_interleave(torch.tensor(counts))
    pixels = torch.zeros(len(labels), 3, 224, 224, dtype=torch.uint8)
    pixels[:, 0, 0, 0] = torch.arange(len(labels))
    names = [f"P{label:02d}" for label in range(25)]
    return faces_from_pixels(pixels, labels, names, [f"{i}.png" for i in range(len(labels))])


def drawn(many: FaceSet, generator: torch.Generator, **options: int) -> Pairs:
    return draw_pairs(many, many.identities, rng=generator, **options)


def test_half_of_each_folds_pairs_show_one_identity(
    many: FaceSet, generator: torch.Generator
) -> None:
    pairs = drawn(many, generator, per_fold=8)
    first, second = many.labels[pairs.first], many.labels[pairs.second]
    assert torch.equal(pairs.same, first == second)
    assert pairs.fold.unique().tolist() == list(range(10))
    for fold in range(10):
        own = pairs.same[pairs.fold == fold]
        assert int(own.sum()) * 2 == len(own) <= 8


def test_no_pair_comes_twice_or_joins_a_photo_to_itself(
    many: FaceSet, generator: torch.Generator
) -> None:
    pairs = drawn(many, generator)
    found = [
        frozenset(pair) for pair in zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)
    ]
    assert len(set(found)) == len(found)
    assert all(len(pair) == 2 for pair in found)


def test_copies_of_one_picture_make_no_pair(many: FaceSet, generator: torch.Generator) -> None:
    copied = replace(many, digests=("same",) * len(many))
    with pytest.raises(DataError, match="no two different photos"):
        draw_pairs(copied, copied.identities, rng=generator)
    own = many.places_of("P03")
    digests = ["same" if place in own else digest for place, digest in enumerate(many.digests)]
    pairs = drawn(replace(many, digests=tuple(digests)), generator)
    both = (many.labels[pairs.first] == 3) & (many.labels[pairs.second] == 3)
    assert not both.any()


def test_no_identity_lies_in_two_folds(many: FaceSet, generator: torch.Generator) -> None:
    pairs = drawn(many, generator)
    folds: dict[int, set[int]] = {}
    for side in (pairs.first, pairs.second):
        for label, fold in zip(many.labels[side].tolist(), pairs.fold.tolist(), strict=True):
            folds.setdefault(label, set()).add(fold)
    assert len(folds) == 25
    assert all(len(own) == 1 for own in folds.values())


def test_few_identities_make_fewer_folds_and_too_few_none(
    many: FaceSet, generator: torch.Generator
) -> None:
    pairs = draw_pairs(many, many.identities[:5], rng=generator)
    assert pairs.fold.unique().tolist() == [0, 1]
    with pytest.raises(DataError, match="at least four identities"):
        draw_pairs(many, many.identities[:3], rng=generator)


def test_similarity_is_linear_in_the_squared_distance() -> None:
    embeddings = torch.zeros(3, 128)
    embeddings[0, 0], embeddings[1, 1], embeddings[2, 0] = 1, 1, -1
    pairs = Pairs(
        first=torch.tensor([0, 0, 0]),
        second=torch.tensor([0, 1, 2]),
        same=torch.tensor([True, False, False]),
        fold=torch.zeros(3, dtype=torch.int64),
    )
    assert similarities(embeddings, pairs).tolist() == [1, 0.5, 0]


def test_the_threshold_is_the_best_of_all(generator: torch.Generator) -> None:
    same = torch.rand(60, generator=generator) < 0.5
    # Rounded, so that some are equal.
    similarity = ((torch.rand(60, generator=generator) + same.float()) / 2).mul(20).round() / 20
    found = best_threshold(similarity, same)

    def right(threshold: float) -> int:
        return int(((similarity >= threshold) == same).sum())

    assert right(found) == max(right(threshold) for threshold in similarity.tolist())


def test_scores_are_those_of_a_direct_computation(
    many: FaceSet, generator: torch.Generator
) -> None:
    pairs = drawn(many, generator)
    noise = torch.rand(len(pairs.same), generator=generator)
    similarity = (0.7 * noise + 0.3 * pairs.same.float()).clamp(0, 1)
    scores = score_verification(similarity, pairs, many)

    values, same, fold = similarity.numpy(), pairs.same.numpy(), pairs.fold.numpy()
    accuracies = []
    for number in range(10):
        other = fold != number
        # Where several thresholds are as good, the highest.
        candidates = np.sort(values[other])[::-1]
        right = [((values[other] >= t) == same[other]).mean() for t in candidates]
        threshold = candidates[int(np.argmax(right))]
        accuracies.append(((values[~other] >= threshold) == same[~other]).mean())
    assert scores.folds == 10
    assert scores.identities == 25
    assert scores.pairs == len(same)
    assert scores.accuracy == pytest.approx(np.mean(accuracies))
    error = np.std(accuracies, ddof=1) / np.sqrt(10)
    assert scores.standard_error == pytest.approx(error, rel=1e-4)
    # The area is how often an equal pair is nearer than a different one.
    above = (values[same][:, None] > values[~same][None]).mean()
    assert scores.auc == pytest.approx(above, abs=1e-4)
    curve = roc_curve(similarity, pairs)
    false, true = np.array(curve["false_acceptance"]), np.array(curve["true_acceptance"])
    assert (false[0], true[0], false[-1], true[-1]) == (0, 0, 1, 1)
    assert (np.diff(false) >= 0).all()
    assert (np.diff(true) >= 0).all()
    nearest = np.abs(1 - true - false).argmin()
    assert scores.eer == pytest.approx((1 - true[nearest] + false[nearest]) / 2, abs=0.01)


def test_perfect_similarities_score_perfectly(many: FaceSet, generator: torch.Generator) -> None:
    pairs = drawn(many, generator)
    scores = score_verification(pairs.same.float(), pairs, many)
    assert (scores.accuracy, scores.standard_error, scores.auc, scores.eer) == (1, 0, 1, 0)
    turned = replace(pairs, same=~pairs.same)
    assert score_verification(pairs.same.float(), turned, many).auc == 0
