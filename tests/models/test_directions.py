"""The directions in which a generator's frames vary most."""

import torch

from agns.models.dcgan import build_gan
from agns.models.directions import main_directions


def test_directions_are_of_unit_length_at_right_angles_and_the_first_moves_frames_most(
    generator: torch.Generator,
) -> None:
    network, _ = build_gan(generator=generator)
    network.eval()
    directions = main_directions(network, count=25, frames=100)
    assert torch.allclose(directions @ directions.T, torch.eye(25), atol=1e-4)
    with torch.no_grad():
        moved = network(0.2 * directions) - network(-0.2 * directions)
    lengths = moved.flatten(1).norm(dim=1)
    assert float(lengths[0]) > 1.5 * float(lengths[-1])
    assert bool((directions.gather(1, directions.abs().argmax(1, keepdim=True)) > 0).all())
