"""How smooth a frame is, in figures."""

from jaxtyping import Float
from torch import Tensor

from agns.accessory.frame import frame_mask
from agns.types import Frames


def total_variation(frames: Frames) -> Float[Tensor, " frames"]:
    """Mean absolute difference between neighbours that both lie on the frame, per frame.

    Args:
        frames: 64x176 crops in [0, 1]; differentiable in them.
    """
    mask = frame_mask()
    across = mask[:, 1:] * mask[:, :-1]
    down = mask[1:] * mask[:-1]
    sums = ((frames[..., 1:] - frames[..., :-1]).abs() * across).sum((1, 2, 3)) + (
        (frames[..., 1:, :] - frames[..., :-1, :]).abs() * down
    ).sum((1, 2, 3))
    return sums / (3 * (across.sum() + down.sum()))
