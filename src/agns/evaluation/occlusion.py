"""Where on a face a victim looks: what it says when a part is covered."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from agns.attack.goals import Goal
from agns.attack.query import query_logits
from agns.geometry import resize
from agns.models.victim import Victim
from agns.types import CANVAS, Image


def occlusion_map(
    victim: Victim, face: Image, goal: Goal, *, side: int = 48, step: int = 22, batch: int = 32
) -> Float[Tensor, "224 224"]:
    """How much a class's probability falls where a grey square covers the face.

    Zeiler and Fergus 2014, section 4.2. It asks for logits alone, so that any victim will do.

    Args:
        victim: In evaluation mode.
        face: Canonical, in [0, 1].
        goal: Whose `class_probability` is watched, in the victim's classes.
        side: Of the square, in pixels.
        step: Between two squares, in pixels.
        batch: Faces shown at once.

    Returns:
        In [-1, 1]: the fall of the probability where the square lies in the middle.
    """
    corners = range(0, CANVAS - side + 1, step)
    covered = []
    for top in corners:
        for left in corners:
            picture = face.clone()
            picture[:, top : top + side, left : left + side] = 0.5
            covered.append(picture)

    def probability(faces: Tensor) -> Tensor:
        return goal.class_probability(query_logits(victim, faces))

    bare = probability(face[None])
    falls = torch.cat([bare - probability(some) for some in torch.stack(covered).split(batch)])
    grid = falls.reshape(1, 1, len(corners), len(corners)).cpu()
    # Squares' middles keep off the edge by half a side: there the nearest one counts.
    inner = resize(grid, (CANVAS - side, CANVAS - side))
    padded = functional.pad(inner, (side // 2,) * 4, mode="replicate")
    return padded[0, 0]
