"""Glasses onto faces: compositing through a mask."""

import torch
from jaxtyping import Float
from torch import Tensor

from agns.types import Images


def wear(
    faces: Images,
    glasses: Float[Tensor, "#batch 3 height width"],
    mask: Float[Tensor, "*layers height width"],
) -> Images:
    """Lay glasses over faces.

    Args:
        faces: Aligned faces in [0, 1].
        glasses: Glasses already placed on the face canvas, in [0, 1]: one pair for each face,
            or a single pair for all.
        mask: 1 on the frame, 0 elsewhere, in between on soft edges; (height, width) for all
            faces, or (batch, 1, height, width).

    Returns:
        Faces in [0, 1]; differentiable in every argument.
    """
    return torch.lerp(faces, glasses, mask)
