"""A network that tells real frames from those of attacks, and that no attack has seen."""

import itertools
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from agns.accessory.frame import frame_mask
from agns.errors import DataError
from agns.storage import load_tensors, save_tensors
from agns.types import Frames

_WIDTHS = (3, 24, 48, 72, 96)


class SealedJudge(nn.Module):
    """Real frames against frames of attacks on other recognisers.

    It reads a frame in pieces that overlap, and joins what it makes of them by mean and largest
    value. It is in no attack's loss and chooses nothing.
    """

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in itertools.pairwise(_WIDTHS):
            layers += [
                nn.Conv2d(inputs, outputs, 3, stride=2, padding=1),
                nn.GroupNorm(8, outputs),
                nn.ReLU(inplace=True),
            ]
        self.layers = nn.Sequential(*layers)
        self.decide = nn.Linear(2 * _WIDTHS[-1], 1)
        self.register_buffer("threshold", torch.tensor(0.0))

    threshold: Tensor
    """The logit that 95 % of real frames come up to."""

    def features(self, frames: Frames) -> Float[Tensor, "frames features"]:
        """What it decides by, for frames in [0, 1]."""
        maps = self.layers((2 * frames - 1) * frame_mask())
        return torch.cat([maps.mean((2, 3)), maps.amax((2, 3))], 1)

    def forward(self, frames: Frames) -> Float[Tensor, " frames"]:
        """The log-odds that each frame, in [0, 1], is real."""
        logits: Tensor = self.decide(self.features(frames))[:, 0]
        return logits


class Reference(NamedTuple):
    """What real frames come to that nothing else was made of, each sorted."""

    patches: Float[Tensor, " frames"]
    """Distance of their patches to the nearest ones of real frames."""
    whole: Float[Tensor, " frames"]
    """Distance to the nearest real frame."""
    variation: Float[Tensor, " frames"]
    """Total variation."""


def write_judges(path: Path, judge: SealedJudge, reference: Reference, neighbours: str) -> None:
    """Write both as one file of safetensors, the judge's weights with half as many bits.

    Args:
        path: The file.
        judge: Trained.
        reference: Of the real frames that it knows.
        neighbours: Digest of those that others were compared with.
    """
    weights = {
        f"judge.{name}": one if name == "threshold" else one.half()
        for name, one in judge.state_dict().items()
    }
    own = {f"real.{name}": one for name, one in reference._asdict().items()}
    save_tensors(path, weights | own, {"kind": "judges", "neighbours": neighbours})


def read_judges(path: Path) -> tuple[SealedJudge, Reference, str]:
    """What `write_judges` wrote; the judge in evaluation mode.

    Raises:
        DataError: The file holds something else.
    """
    tensors, about = load_tensors(path)
    judge = SealedJudge()
    try:
        judge.load_state_dict(
            {name[6:]: one.float() for name, one in tensors.items() if name.startswith("judge.")}
        )
        reference = Reference(*(tensors[f"real.{name}"] for name in Reference._fields))
    except (RuntimeError, KeyError) as error:
        raise DataError(f"{path} holds no judges of frames") from error
    judge.eval().requires_grad_(requires_grad=False)
    return judge, reference, about.get("neighbours", "")
