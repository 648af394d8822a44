"""The attack's step on pictures of any size: what the discriminator learns, what is joined."""

import pytest
import torch
from torch import Tensor, nn

from agns.attack.goals import Dodge
from agns.attack.gradients import keep_in_range
from agns.attack.steps import join_objectives, train_discriminator


class Linear(nn.Module):
    """One logit each, a weighted sum of the values, whose gradients can be told by hand."""

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        self.weights = nn.Parameter(weights)

    def forward(self, pictures: Tensor) -> Tensor:
        return (pictures * self.weights).sum((1, 2, 3))


@pytest.fixture
def discriminator(generator: torch.Generator) -> Linear:
    return Linear(torch.randn(1, 9, 7, generator=generator))


def test_grey_pictures_of_any_size_are_joined_as_frames_are(
    discriminator: Linear, generator: torch.Generator
) -> None:
    leaf = torch.rand(5, 1, 9, 7, generator=generator).requires_grad_()
    weights = torch.randn(4, 63, generator=generator)
    fake_logits = discriminator(leaf)
    errs = Dodge(subject=2).loss(leaf.flatten(1) @ weights.T, "logits")
    (steep,) = torch.autograd.grad(errs.sum(), leaf)
    joined = join_objectives(leaf, fake_logits, steep, kappa=0.3, length="real")
    # -log sigmoid(w x) falls along w; the class's logit minus the others' is linear.
    real = -discriminator.weights * (1 - fake_logits.sigmoid())[:, None, None, None]
    error = (2 * weights[2] - weights.sum(0)).reshape(1, 9, 7).expand(5, 1, 9, 7)
    lengths = [each.flatten(1).norm(dim=1)[:, None, None, None] for each in (real, error)]
    torch.testing.assert_close(joined, 0.3 * real + 0.7 * error * lengths[0] / lengths[1])
    assert keep_in_range(joined, leaf, 0.05).shape == leaf.shape


@pytest.mark.parametrize(("min_fake_score", "learns"), [(0.0, True), (1.0, False)])
def test_a_discriminator_learns_from_any_pictures_unless_it_leads(
    discriminator: Linear, generator: torch.Generator, min_fake_score: float, learns: bool
) -> None:
    real, drawn = torch.rand(2, 5, 1, 9, 7, generator=generator)
    optimizer = torch.optim.SGD(discriminator.parameters(), lr=1e-3)
    before = discriminator.weights.clone()
    told = {"min_fake_score": min_fake_score, "precision": "fp32"}
    first = train_discriminator(discriminator, optimizer, real, drawn, **told).loss
    again = train_discriminator(discriminator, optimizer, real, drawn, **told).loss
    assert torch.equal(before, discriminator.weights) is not learns
    assert (again < first) is learns


def test_one_that_sits_out_hands_over_what_it_would_judge_again(
    discriminator: Linear, generator: torch.Generator
) -> None:
    real, drawn = torch.rand(2, 5, 1, 9, 7, generator=generator)
    optimizer = torch.optim.SGD(discriminator.parameters(), lr=1e-3)
    leaf = drawn.requires_grad_()
    told = {"min_fake_score": 1.0, "precision": "fp32"}
    fake_logits = train_discriminator(discriminator, optimizer, real, leaf, **told).fake_logits
    assert fake_logits is not None
    anew = discriminator(leaf)
    assert torch.equal(fake_logits, anew)
    slopes = [torch.autograd.grad(some.sum(), leaf)[0] for some in (fake_logits, anew)]
    assert torch.equal(*slopes)


def test_one_that_learns_hands_nothing_over_and_leaves_the_drawings_without_a_gradient(
    discriminator: Linear, generator: torch.Generator
) -> None:
    real, drawn = torch.rand(2, 5, 1, 9, 7, generator=generator)
    optimizer = torch.optim.SGD(discriminator.parameters(), lr=1e-3)
    leaf = drawn.requires_grad_()
    told = {"min_fake_score": 0.0, "precision": "fp32"}
    assert train_discriminator(discriminator, optimizer, real, leaf, **told).fake_logits is None
    assert leaf.grad is None
