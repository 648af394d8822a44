"""Generators whose drawings are seen as they are: what moves them, and what they leave alone."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from agns.attack.agn import AGN
from agns.attack.drawings import tune_on_drawings
from agns.attack.goals import Dodge
from agns.errors import AttackError
from agns.models.dcgan import LATENT, sample_latents
from agns.models.initialization import draw_gan_weights, draw_weights

CONFIG = AGN(
    kappa=0,
    batch=8,
    saturation_margin=0,
    min_fake_score=0,
    generator_rate=1e-2,
    precision="fp32",
    objective="logits",
)


@pytest.fixture
def networks(generator: torch.Generator) -> tuple[nn.Module, nn.Module, nn.Module]:
    """Generator, discriminator and victim of 6x6 pictures."""
    made = (
        nn.Sequential(nn.Linear(LATENT, 36), nn.Sigmoid(), nn.Unflatten(1, (1, 6, 6))),
        nn.Sequential(nn.Flatten(), nn.Linear(36, 1), nn.Flatten(0)),
        nn.Sequential(nn.Flatten(), nn.Linear(36, 3)),
    )
    for network in made[:2]:
        draw_gan_weights(network, rng=generator)
    draw_weights(made[2], rng=generator)
    return made


def tune(networks: tuple[nn.Module, ...], config: AGN, *, subject: int = 0, real: int = 20) -> None:
    random = torch.Generator().manual_seed(1)
    pictures = torch.rand(real, 1, 6, 6, generator=random)
    tune_on_drawings(*networks, pictures, Dodge(subject=subject), config, steps=20, rng=random)


def probability(networks: tuple[nn.Module, ...]) -> float:
    generator, _, victim = networks
    latents = sample_latents(50, rng=torch.Generator().manual_seed(2))
    return float(victim(generator(latents)).softmax(1)[:, 0].detach().mean())


def weights(network: nn.Module) -> Tensor:
    return torch.cat([tensor.flatten() for tensor in network.state_dict().values()]).clone()


def test_the_victim_comes_to_misread_what_is_drawn(networks: tuple[nn.Module, ...]) -> None:
    before, victim = probability(networks), weights(networks[2])
    tune(networks, CONFIG)
    assert probability(networks) < before - 0.05
    assert torch.equal(weights(networks[2]), victim)


def test_at_kappa_1_the_victim_has_no_say(networks: tuple[nn.Module, ...]) -> None:
    plain, other = copy.deepcopy(networks), copy.deepcopy(networks)
    for tuned, subject in ((plain, 0), (other, 2)):
        tune(tuned, replace(CONFIG, kappa=1), subject=subject)
    assert torch.equal(weights(plain[0]), weights(other[0]))
    assert not torch.equal(weights(plain[0]), weights(networks[0]))


def test_headroom_keeps_drawings_from_the_ends_of_their_range(
    networks: tuple[nn.Module, ...],
) -> None:
    extremes = []
    for saturation_margin in (0.0, 0.45):
        tuned = copy.deepcopy(networks)
        tune(tuned, replace(CONFIG, saturation_margin=saturation_margin, generator_rate=0.1))
        latents = sample_latents(50, rng=torch.Generator().manual_seed(2))
        extremes.append(float((tuned[0](latents).detach() - 0.5).abs().mean()))
    assert extremes[1] < extremes[0] - 0.05


def test_without_real_pictures_nothing_begins(networks: tuple[nn.Module, ...]) -> None:
    with pytest.raises(AttackError, match="needs real pictures"):
        tune(networks, CONFIG, real=0)


def test_drawings_that_are_no_numbers_end_it(networks: tuple[nn.Module, ...]) -> None:
    with torch.no_grad():
        next(networks[0].parameters()).fill_(torch.nan)
    with pytest.raises(AttackError, match="not finite in step 1"):
        tune(networks, CONFIG)
