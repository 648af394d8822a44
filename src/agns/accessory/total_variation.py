"""How smooth a frame is, in figures."""

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from agns.accessory.frame import frame_mask
from agns.types import Frames


def total_variation(frames: Frames) -> Float[Tensor, " frames"]:
    """Mean absolute difference between neighbours that both lie on the frame, per frame.

    Args:
        frames: 64x176 crops in [0, 1]; differentiable in them.
    """
    across, down = _pairs()
    sums = ((frames[..., 1:] - frames[..., :-1]).abs() * across).sum((1, 2, 3)) + (
        (frames[..., 1:, :] - frames[..., :-1, :]).abs() * down
    ).sum((1, 2, 3))
    return sums / (3 * (across.sum() + down.sum()))


def variation_gradient(frames: Frames) -> Frames:
    """The gradient of each frame's `total_variation`, without autograd's many passes.

    Args:
        frames: 64x176 crops in [0, 1].
    """
    across, down = _pairs()
    signs = (frames[..., 1:] - frames[..., :-1]).sign_().mul_(across)
    gradient = functional.pad(signs, (1, 0))
    gradient[..., :-1] -= signs
    signs = (frames[..., 1:, :] - frames[..., :-1, :]).sign_().mul_(down)
    gradient[..., 1:, :] += signs
    gradient[..., :-1, :] -= signs
    return gradient.div_(3 * (across.sum() + down.sum()))


def _pairs() -> tuple[Float[Tensor, "64 175"], Float[Tensor, "63 176"]]:
    """1 where a pixel and its right neighbour lie on the frame, and it and the one below."""
    mask = frame_mask()
    return mask[:, 1:] * mask[:, :-1], mask[1:] * mask[:-1]
