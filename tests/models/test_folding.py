"""Folded batch norms, against the plain ones."""

import pytest
import torch
from torch import nn

from agns.models.dcgan import Discriminator, Generator
from agns.models.folding import through


def moved(network: nn.Module, generator: torch.Generator) -> nn.Module:
    """Weights and statistics of no special value."""
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if tensor.is_floating_point():
                low = 0.5 if "var" in name else -0.5
                tensor.copy_(low + torch.rand(tensor.shape, generator=generator))
    return network


SEQUENCES = [
    (nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.ReLU()), (3, 5)),
    (nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.LeakyReLU(0.2)), (2, 2, 6, 6)),
    (nn.Sequential(nn.ConvTranspose2d(2, 4, 3), nn.BatchNorm2d(4), nn.Tanh()), (2, 2, 6, 6)),
    (nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU()), (2, 2, 6, 6)),
]


@pytest.mark.parametrize(("layers", "shape"), SEQUENCES, ids=["linear", "conv", "deconv", "none"])
def test_folded_norms_give_the_values_and_all_gradients_of_plain_ones(
    layers: nn.Sequential, shape: tuple[int, ...], generator: torch.Generator
) -> None:
    moved(layers, generator).double().eval()
    x = torch.rand(shape, generator=generator).double()
    found = []
    for run in (layers, lambda given: through(layers, given)):
        given = x.clone().requires_grad_()
        made = run(given)
        weighed = made * torch.arange(made.numel(), dtype=torch.float64).reshape(made.shape)
        found.append((*torch.autograd.grad(weighed.sum(), [given, *layers.parameters()]), made))
    for own, wanted in zip(*found, strict=True):
        torch.testing.assert_close(own, wanted)


def test_a_network_in_training_keeps_its_statistics_moving(generator: torch.Generator) -> None:
    layers = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4)).train()
    through(layers, torch.rand(3, 5, generator=generator))
    assert layers[1].num_batches_tracked == 1


@pytest.mark.parametrize("convention", ["torch", "tensorflow"])
def test_both_networks_judge_and_draw_as_layer_by_layer(
    convention: str, generator: torch.Generator
) -> None:
    made = moved(Generator(convention=convention), generator).eval()
    judge = moved(Discriminator(convention=convention), generator).eval()
    latents = torch.rand(2, 25, generator=generator)
    with torch.no_grad():
        grid = made.project(latents).reshape(-1, 160, 4, 11)
        drawn = made(latents)
        plain = (made.draw(grid) + 1) / 2
        worn = drawn != 0
        torch.testing.assert_close(drawn[worn], plain[worn], atol=1e-5, rtol=1e-4)
        features = judge.see(2 * drawn - 1).flatten(1)
        verdicts = judge.judge(judge.compare(features)).squeeze(1)
        torch.testing.assert_close(judge(drawn), verdicts, atol=1e-3, rtol=1e-4)
