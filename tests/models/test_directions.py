"""The directions in which a generator's frames vary most."""

import torch

from agns.models.dcgan import Generator
from agns.models.directions import main_directions
from agns.models.shipped import shipped_weights


@torch.no_grad()
def test_directions_are_of_unit_length_at_right_angles_and_the_first_moves_frames_most() -> None:
    generator = Generator.read(shipped_weights("generator"))
    directions = main_directions(generator, count=25, frames=100)
    assert torch.allclose(directions @ directions.T, torch.eye(25), atol=1e-4)
    moved = generator(0.5 * directions) - generator(-0.5 * directions)
    lengths = moved.flatten(1).norm(dim=1)
    assert float(lengths[0]) > 1.5 * float(lengths[-1])
    assert bool((directions.gather(1, directions.abs().argmax(1, keepdim=True)) > 0).all())
