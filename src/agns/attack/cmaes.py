"""A search among the frames that a generator draws, which only asks: CMA-ES on its latents.

The covariance matrix adaptation evolution strategy (Hansen & Ostermeier 2001), by the library
`cmaes` (extra `blackbox`). The generator is not changed; but a frame is drawn from a grid of
latents, as few recognisers err at what it draws from one.
"""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from agns.accessory.placement import Placement
from agns.attack.asking import Asking
from agns.attack.attack import FrameAttack, Nets, shipped_nets
from agns.attack.goals import Goal
from agns.attack.result import AttackResult
from agns.data.simulation.drawn_frames import RealFrames
from agns.errors import AttackError, ConfigError
from agns.models.dcgan import LATENT, Generator
from agns.models.victim import Victim
from agns.settings import Batch, Count, Range, check_settings
from agns.types import Faces, Frames, Progress


@dataclass(frozen=True)
class LatentGrid:
    """The space that is searched. Any other that knows its size and draws can stand here."""

    generator: Generator
    rows: int
    columns: int

    @property
    def size(self) -> int:
        """How many numbers a frame is drawn from."""
        return self.rows * self.columns * LATENT

    @torch.no_grad()
    def draw(self, points: Float[Tensor, "frames size"]) -> Frames:
        """Draw the frame at each point."""
        return self.generator.draw_across(points.unflatten(1, (self.rows, self.columns, LATENT)))


@dataclass(frozen=True, slots=True, kw_only=True)
class CMAES(FrameAttack):
    """CMA-ES on a generator's latents; the victim is only asked."""

    queries: Count = 4800
    """Faces that the victim may be asked about: as many as 300 benign frames take on 16 photos."""

    decisions_only: bool = False
    """Whether the victim says who comes first alone, and not how sure it is."""

    rows: Count = 2
    """Latents of a frame from its top to its bottom, evenly spaced; what lies between them is drawn
    from what lies between."""

    columns: Count = 5
    """And from its left side to its right one. With one row and one column, frames are the
    generator's own."""

    reach: Annotated[float, Range("(0, inf)")] = 2.0
    """Largest entry of a latent; the generator learnt on latents up to 1."""

    spread: Annotated[float, Range("(0, inf)")] = 0.5
    """Standard deviation of the first generation's latents."""

    population: Batch | None = None
    """Frames of a generation; None for 4 + 3 log(numbers searched), as is usual."""

    first_photos: Count = 1
    """Photos, drawn at random, on which the frames of a generation are compared. The best of them
    is tried on the others as long as it does better there than the best of all."""

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
        """As `FrameAttack.find`: generation after generation, until queries are used up.

        Raises:
            ConfigError: The library `cmaes` is not installed.
            AttackError: The queries do not last for a generation.
        """
        try:
            from cmaes import CMA
        except ImportError as error:
            raise ConfigError(
                "the attack cmaes needs the library of that name: pip install 'agns[blackbox]'"
            ) from error

        asking = Asking(
            victim, faces, goal, placement=placement, budget=self.queries, batch=self.batch,
            decisions_only=self.decisions_only,
        )  # fmt: skip
        generator = (shipped_nets() if nets is None else nets)[0].eval()
        space = LatentGrid(generator, self.rows, self.columns)
        search = CMA(
            mean=np.zeros(space.size),
            sigma=self.spread,
            bounds=np.tile([-self.reach, self.reach], (space.size, 1)),
            seed=int(torch.randint(2**31, (), generator=rng)),
            population_size=self.population,
        )

        asked = search.population_size * min(self.first_photos, len(faces))
        if asked > self.queries:
            raise AttackError(
                f"a generation takes {asked} queries, and the budget is {self.queries}"
            )

        def step() -> None:
            points = [search.ask() for _ in range(search.population_size)]
            drawn = space.draw(torch.tensor(np.stack(points), dtype=torch.float32))
            order = torch.randperm(len(faces), generator=rng)
            logits = asking.ask(drawn, order[: self.first_photos])
            losses: Tensor = asking.loss(logits).mean(1)
            search.tell(list(zip(points, losses.tolist(), strict=True)))
            best = int(losses.argmin())
            asking.try_on(drawn[best : best + 1], order, logits[best])

        return asking.search(step, progress)
