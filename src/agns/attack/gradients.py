"""What happens to gradients at the generator's output, before they reach its weights."""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from agns.accessory.frame import FRAME_SIZE, frame_mask
from agns.types import Frames


def join_gradients(real: Frames, error: Frames, kappa: float) -> Frames:
    """Join two gradients sample by sample (algorithm 1, lines 8 to 13).

    The longer of the two is scaled to the length of the shorter, so that neither goal drowns
    the other; then `kappa * real + (1 - kappa) * error`.

    Args:
        real: Gradient of looking unreal, at the generator's output.
        error: Gradient of the recogniser being right, likewise.
        kappa: Weight of `real`, in [0, 1].
    """
    lengths = [gradient.flatten(1).norm(dim=1)[:, None, None, None] for gradient in (real, error)]
    shorter = torch.minimum(*lengths)

    def scaled(gradient: Tensor, length: Tensor) -> Tensor:
        return gradient * (shorter / length.clamp_min(1e-30))

    return kappa * scaled(real, lengths[0]) + (1 - kappa) * scaled(error, lengths[1])


def smooth_along_frame(gradients: Frames, deviation: float) -> Frames:
    """Smooth gradients with a Gaussian, on the frame alone: what lies off it has no weight.

    Args:
        gradients: At the generator's output.
        deviation: Of the Gaussian, in pixels; 0 changes nothing.
    """
    if deviation == 0:
        return gradients
    reach = math.ceil(3 * deviation)
    bell = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / deviation) ** 2).to(gradients)
    mask = frame_mask().to(gradients)[None, None]

    def blurred(planes: Float[Tensor, "planes 1 64 176"]) -> Float[Tensor, "planes 1 64 176"]:
        across = functional.conv2d(planes, bell[None, None, None], padding=(0, reach))
        return functional.conv2d(across, bell[None, None, :, None], padding=(reach, 0))

    planes = gradients.reshape(-1, 1, *FRAME_SIZE)
    smoothed = mask * blurred(planes * mask) / blurred(mask).clamp_min(1e-6)
    return smoothed.reshape(gradients.shape)
