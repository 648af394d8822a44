"""The directions in which a generator's frames vary most."""

import torch
from jaxtyping import Float
from torch import Tensor

from agns.models.dcgan import Generator, sample_latents


@torch.no_grad()
def main_directions(
    generator: Generator, *, count: int = 8, frames: int = 400, seed: int = 0
) -> Float[Tensor, "count latent"]:
    """Directions of latents, those first that change frames most.

    Frames are fitted by what is linear in their latents, least squares; the directions are the
    singular vectors of that map.

    Args:
        generator: In evaluation mode.
        count: How many, at most as many as a latent has numbers.
        frames: Drawn for the fit.
        seed: Of their latents.

    Returns:
        Of unit length, at right angles to each other.
    """
    latents = sample_latents(frames, rng=torch.Generator().manual_seed(seed))
    drawn = generator(latents).flatten(1)
    slopes = torch.linalg.lstsq(latents, drawn - drawn.mean(0)).solution
    directions: Tensor = torch.linalg.svd(slopes, full_matrices=False).U.T[:count]
    # The sign of a singular vector is arbitrary: the largest entry is to be positive.
    signs: Tensor = directions.gather(1, directions.abs().argmax(1, keepdim=True)).sign()
    return directions * signs
