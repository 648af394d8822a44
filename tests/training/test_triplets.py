"""Triplets: the loss against a loop over all of them, and the batches."""

import math
from collections import Counter

import pytest
import torch

from agns.errors import ConfigError
from agns.training.triplets import MetricTraining, draw_batch, triplet_loss


def unit(count: int, generator: torch.Generator) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(count, 128, generator=generator), dim=1)


def loop_loss(embeddings: torch.Tensor, labels: list[int], margin: float) -> float:
    """FaceNet's text, triplet by triplet."""
    losses = []
    for anchor, own in enumerate(labels):
        for positive, other in enumerate(labels):
            if positive == anchor or other != own:
                continue
            near = float((embeddings[anchor] - embeddings[positive]).square().sum())
            negatives = [
                float((embeddings[anchor] - embeddings[index]).square().sum())
                for index, label in enumerate(labels)
                if label != own
            ]
            farther = [distance for distance in negatives if distance > near]
            chosen = min(farther) if farther else max(negatives)
            losses.append(max(0.0, near - chosen + margin))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("margin", [0.05, 0.2, 3.0])
@pytest.mark.parametrize("spread", [0.02, 1.0])
def test_the_loss_is_that_of_every_pair_with_its_semi_hard_negative(
    generator: torch.Generator, margin: float, spread: float
) -> None:
    labels = [0, 0, 0, 1, 1, 2, 2, 2, 3]
    middle = unit(1, generator)
    embeddings = torch.nn.functional.normalize(middle + spread * unit(9, generator), dim=1)
    loss = triplet_loss(embeddings, torch.tensor(labels), margin)
    assert float(loss) == pytest.approx(loop_loss(embeddings, labels, margin), rel=1e-4)


def test_identities_far_apart_cost_nothing(generator: torch.Generator) -> None:
    embeddings = torch.zeros(4, 128)
    embeddings[:2, 0], embeddings[2:, 1] = 1, 1
    assert float(triplet_loss(embeddings, torch.tensor([0, 0, 1, 1]), 0.2)) == 0


def test_the_loss_draws_an_identity_together_and_pushes_the_other_away(
    generator: torch.Generator,
) -> None:
    embeddings = unit(3, generator).requires_grad_()
    labels = torch.tensor([0, 0, 1])
    (slope,) = torch.autograd.grad(triplet_loss(embeddings, labels, 4.0), embeddings)
    moved = (embeddings - 0.01 * slope).detach()

    def apart(points: torch.Tensor, first: int, second: int) -> float:
        return float((points[first] - points[second]).square().sum())

    start = embeddings.detach()
    assert apart(moved, 0, 1) < apart(start, 0, 1)
    assert apart(moved, 0, 2) + apart(moved, 1, 2) > apart(start, 0, 2) + apart(start, 1, 2)


def test_a_batch_holds_as_many_photos_of_each_of_its_identities(
    generator: torch.Generator,
) -> None:
    places = [torch.arange(start, start + count) for start, count in ((0, 3), (3, 9), (12, 5))]
    owner = {place: index for index, own in enumerate(places) for place in own.tolist()}
    for _ in range(8):
        batch = draw_batch(places, 2, 4, rng=generator).tolist()
        counts = Counter(owner[place] for place in batch)
        assert sorted(counts.values()) == [4, 4]
        for index in counts:
            own = [place for place in batch if owner[place] == index]
            # Only where there are too few does one come twice.
            assert len(set(own)) == min(4, len(places[index]))


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"identities": 1}, "identities must be at least 2"),
        ({"photos": 1}, "photos must be at least 2"),
        ({"margin": 0.0}, "margin must be positive"),
        ({"rate": math.inf}, "rate must be positive and finite"),
        ({"verified_fraction": 1.0}, r"verified_fraction must lie in \(0, 1\)"),
        ({"glasses_share": 2.0}, r"glasses_share must lie in \[0, 1\]"),
        ({"weight_decay": -1.0}, "weight_decay must be at least 0"),
    ],
)
def test_settings_out_of_range_are_refused(changes: dict[str, float], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        MetricTraining(**changes)
