"""A search among a frame's own pixels, which only asks: squares of one colour, kept if they help.

The Square attack (Andriushchenko et al. 2020), held to the frame and to one frame for all photos.

Convention:
    Colours are corners of the colour cube, and the first frame is of stripes, as there. Squares
    begin with a share of the frame's canvas and are halved at the same shares of the budget. A
    square is tried on a few photos first, and on more as long as it helps on those.
"""

import bisect
import math
from dataclasses import dataclass

import torch

from agns.accessory.frame import FRAME_SIZE, frame_mask
from agns.accessory.placement import Placement
from agns.attack.asking import Asking
from agns.attack.attack import FrameAttack, Nets
from agns.attack.goals import Goal
from agns.attack.result import AttackResult
from agns.data.simulation.drawn_frames import RealFrames
from agns.errors import AttackError
from agns.models.black_box import BlackBox
from agns.models.victim import Victim
from agns.settings import Count, Part, check_settings
from agns.types import Faces, Frames, Progress

_HALVED = (0.001, 0.005, 0.02, 0.1, 0.2, 0.4, 0.6, 0.8)
"""At what shares of the budget squares lose half of their area."""

_STRIPE = 8
"""Pixels of a stripe's width."""

_SMALLEST = 3
"""Pixels of the smallest square's side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Square(FrameAttack):
    """Random squares on a frame's pixels; the victim is only asked, and gives scores."""

    queries: Count = 4800
    """Faces that the victim may be asked about: as many as 300 benign frames take on 16 photos."""

    area: Part = 0.3
    """Share of the frame's canvas that the first squares cover."""

    first_photos: Count = 4
    """Photos, drawn at random, on which a square is tried first."""

    batch: Count = 64
    """Faces wearing a frame at once."""

    def __post_init__(self) -> None:
        check_settings(self)

    def find(
        self,
        victim: Victim,
        faces: Faces,
        goal: Goal,
        *,
        frames: RealFrames | None,
        nets: Nets | None,
        placement: Placement,
        rng: torch.Generator,
        progress: Progress,
    ) -> AttackResult:
        """As `FrameAttack.find`: square after square, until queries are used up.

        Raises:
            AttackError: The victim gives decisions alone.
        """
        if isinstance(victim, BlackBox) and victim.decisions_only:
            raise AttackError("square needs scores, and the victim decides alone: take cmaes")
        asking = Asking(
            victim, faces, goal, placement=placement, budget=self.queries, batch=self.batch
        )
        tried = _stripes(rng)

        def step() -> None:
            nonlocal tried
            order = torch.randperm(len(faces), generator=rng)
            logits = asking.ask(tried, order[: self.first_photos])[0]
            asking.try_on(tried, order, logits)
            assert asking.frame is not None
            side = self.side(asking.box.queries / self.queries)
            tried = paint_square(asking.frame, side, rng)

        return asking.search(step, progress)

    def side(self, spent: float) -> int:
        """Pixels of a square's side when a share of the budget is spent."""
        height, width = FRAME_SIZE
        area = self.area * height * width / 2 ** bisect.bisect_right(_HALVED, spent)
        return min(height, max(_SMALLEST, round(math.sqrt(area))))


def paint_square(frame: Frames, side: int, rng: torch.Generator) -> Frames:
    """A frame with a square of another colour somewhere on it.

    Args:
        frame: (1, 3, 64, 176), in [0, 1].
        side: Of the square, in pixels, at most 64.
        rng: Source of place and colour.
    """
    mask = frame_mask()
    pixels = mask.nonzero()
    while True:
        pixel = pixels[int(torch.randint(len(pixels), (), generator=rng))]
        corner = pixel - torch.randint(side, (2,), generator=rng)
        top, left = corner.clamp_min(0).minimum(torch.tensor(FRAME_SIZE) - side).tolist()
        painted = frame.clone()
        color = torch.randint(2, (3, 1, 1), generator=rng).to(frame)
        painted[0, :, top : top + side, left : left + side] = color
        painted *= mask
        if not torch.equal(painted, frame):
            return painted


def _stripes(rng: torch.Generator) -> Frames:
    """A frame of upright stripes, each of a random corner of the colour cube."""
    height, width = FRAME_SIZE
    colors = torch.randint(2, (3, 1, -(-width // _STRIPE)), generator=rng).float()
    striped = colors.repeat_interleave(_STRIPE, 2)[:, :, :width].expand(-1, height, -1)
    return (striped * frame_mask())[None]
