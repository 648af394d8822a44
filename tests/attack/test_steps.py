"""The attack's step on pictures of any size: what the discriminator learns, what is joined."""

import pytest
import torch
from torch import Tensor, nn

from agns.attack.goals import Dodge
from agns.attack.gradients import keep_in_range
from agns.attack.steps import join_objectives, teach_discriminator


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
    verdicts = discriminator(leaf)
    errs = Dodge(subject=2).loss(leaf.flatten(1) @ weights.T, "logits")
    (steep,) = torch.autograd.grad(errs.sum(), leaf)
    joined = join_objectives(leaf, verdicts, steep, kappa=0.3, length="real")
    # -log sigmoid(w x) falls along w; the class's logit minus the others' is linear.
    real = -discriminator.weights * (1 - verdicts.sigmoid())[:, None, None, None]
    error = (2 * weights[2] - weights.sum(0)).reshape(1, 9, 7).expand(5, 1, 9, 7)
    lengths = [each.flatten(1).norm(dim=1)[:, None, None, None] for each in (real, error)]
    torch.testing.assert_close(joined, 0.3 * real + 0.7 * error * lengths[0] / lengths[1])
    assert keep_in_range(joined, leaf, 0.05).shape == leaf.shape


@pytest.mark.parametrize(("lead", "learns"), [(0.0, True), (1.0, False)])
def test_a_discriminator_learns_from_any_pictures_unless_it_leads(
    discriminator: Linear, generator: torch.Generator, lead: float, learns: bool
) -> None:
    real, drawn = torch.rand(2, 5, 1, 9, 7, generator=generator)
    optimizer = torch.optim.SGD(discriminator.parameters(), lr=1e-3)
    before = discriminator.weights.clone()
    told = {"smoothing": 0.9, "lead": lead, "precision": "fp32"}
    first = teach_discriminator(discriminator, optimizer, real, drawn, **told).loss
    again = teach_discriminator(discriminator, optimizer, real, drawn, **told).loss
    assert torch.equal(before, discriminator.weights) is not learns
    assert (again < first) is learns


def test_one_that_sits_out_hands_over_what_it_would_judge_again(
    discriminator: Linear, generator: torch.Generator
) -> None:
    real, drawn = torch.rand(2, 5, 1, 9, 7, generator=generator)
    optimizer = torch.optim.SGD(discriminator.parameters(), lr=1e-3)
    leaf = drawn.requires_grad_()
    told = {"smoothing": 0.9, "lead": 1.0, "precision": "fp32"}
    verdicts = teach_discriminator(discriminator, optimizer, real, leaf, **told).verdicts
    assert verdicts is not None
    anew = discriminator(leaf)
    assert torch.equal(verdicts, anew)
    slopes = [torch.autograd.grad(some.sum(), leaf)[0] for some in (verdicts, anew)]
    assert torch.equal(*slopes)


def test_one_that_learns_hands_nothing_over_and_leaves_the_drawings_without_a_gradient(
    discriminator: Linear, generator: torch.Generator
) -> None:
    real, drawn = torch.rand(2, 5, 1, 9, 7, generator=generator)
    optimizer = torch.optim.SGD(discriminator.parameters(), lr=1e-3)
    leaf = drawn.requires_grad_()
    told = {"smoothing": 0.9, "lead": 0.0, "precision": "fp32"}
    assert teach_discriminator(discriminator, optimizer, real, leaf, **told).verdicts is None
    assert leaf.grad is None
