"""What frames do that nobody crafted: benign ones, an untrained generator's, plain noise."""

import torch
from jaxtyping import Float
from torch import Tensor

from agns.accessory.placement import FIXED, Placement
from agns.attack.baselines import Kind, draw_uncrafted
from agns.models.victim import Victim
from agns.types import Faces, Frames, Glasses, Progress, silent

CONTROLS: tuple[Kind, ...] = ("benign", "untrained_generator", "noise")
"""Names of the controls, in the order they are reported."""


@torch.no_grad()
def logits_wearing(
    recognizer: Victim,
    faces: Faces,
    frames: Frames,
    *,
    placement: Placement = FIXED,
    batch: int = 64,
    progress: Progress = silent,
) -> Float[Tensor, "frames photos classes"]:
    """Logits of every face wearing every frame.

    Args:
        recognizer: In evaluation mode.
        faces: (photos, 3, 224, 224), in [0, 1].
        frames: (frames, 3, 64, 176), in [0, 1].
        placement: Where frames sit on these faces.
        batch: Most faces at once.
        progress: Told of every frame.
    """
    rows = []
    for number, frame in enumerate(frames, start=1):
        worn = (
            placement.wear(faces, frame[None], photos)
            for photos in torch.arange(len(faces)).split(batch)
        )
        rows.append(
            torch.cat(
                [recognizer(some) for some in worn if len(some)]
                or [torch.zeros(0, len(recognizer.identities))]
            )
        )
        progress(number, len(frames), {})
    return torch.stack(rows)


def control_frames(glasses: Glasses, *, count: int, rng: torch.Generator) -> dict[str, Frames]:
    """Draw the frames of each control.

    Args:
        glasses: Real 64x176 frames as bytes.
        count: Frames of each kind, at least 1.
        rng: Source of every draw.

    Returns:
        By control's name: `count` frames in [0, 1].
    """
    return {kind: draw_uncrafted(kind, count, glasses=glasses, rng=rng) for kind in CONTROLS}
