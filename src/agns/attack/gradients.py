"""What happens to gradients at the generator's output, before they reach its weights."""

from typing import Literal, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from agns.accessory.printability import Palette, non_printability
from agns.types import Drawings, Frames

Length: TypeAlias = Literal["shorter", "real"]
"""To what length two gradients are brought before they are joined.

`shorter`: the longer to the shorter one's, as in the paper. `real`: the recogniser's to the
discriminator's. The recogniser's gradient is shortest on photos that it is surest of: with
`shorter`, those that need the frame most would steer it least.
"""


def join_gradients(real: Drawings, error: Drawings, kappa: float, length: Length) -> Drawings:
    """Join two gradients sample by sample (algorithm 1, lines 8 to 13).

    Both are brought to one length, so that neither goal drowns the other; then
    `kappa * real + (1 - kappa) * error`. A gradient of length 0 stays 0.

    Args:
        real: Gradient of looking unreal, at the generator's output.
        error: Gradient of the recogniser being right, likewise.
        kappa: Weight of `real`, in [0, 1].
        length: Which length.
    """
    lengths = [_length(gradient) for gradient in (real, error)]
    wanted = torch.minimum(*lengths) if length == "shorter" else lengths[0]

    def scaled(gradient: Tensor, own: Tensor) -> Tensor:
        return gradient * (wanted / own.clamp_min(1e-30))

    return kappa * scaled(real, lengths[0]) + (1 - kappa) * scaled(error, lengths[1])


def add_nps_gradient(joined: Frames, frames: Frames, palette: Palette, weight: float) -> Frames:
    """Add the gradient of non-printability to the joined one.

    It is brought to `weight` times the length of the sample's gradient, and acts most on the
    pixels that print worst.

    Args:
        joined: What `join_gradients` gives.
        frames: The generator's output.
        palette: The colours that the printer reproduces.
        weight: Length against the other gradient's; 0 changes nothing.
    """
    if weight == 0:
        return joined
    leaf = frames.detach().float().requires_grad_()
    (off,) = torch.autograd.grad(non_printability(leaf, palette).sum(), leaf)
    return joined + weight * _length(joined) / _length(off).clamp_min(1e-30) * off


def keep_in_range(joined: Drawings, frames: Drawings, saturation_margin: float) -> Drawings:
    """Turn gradients round, at half their size, where a step would push a value to its range's end.

    A value at the end of the generator's tanh hardly moves any more, whatever the gradient: a
    frame of such values can neither learn further nor be taken for anything but neon.

    Args:
        joined: Gradient at the generator's output; a step goes against it.
        frames: The generator's output, in [0, 1].
        saturation_margin: How near to 0 or 1 is the end; 0 changes nothing.
    """
    high, low = frames > 1 - saturation_margin, frames < saturation_margin
    outward = (high & (joined < 0)) | (low & (joined > 0))
    return torch.where(outward, -0.5 * joined, joined)


def _length(gradients: Drawings) -> Float[Tensor, "batch 1 1 1"]:
    lengths: Tensor = gradients.flatten(1).norm(dim=1)
    return lengths[:, None, None, None]
