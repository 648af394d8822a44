"""What every attack leaves, before it is scored on other photos."""

from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias, runtime_checkable

from agns.types import Frames

Reason: TypeAlias = Literal[
    "reached the stop value",
    "used up the eyeglasses",
    "used up its steps",
    "used up its frames",
    "interrupted",
    "not finite",
]
"""Why an attack's loop ended."""


@runtime_checkable
class Outcome(Protocol):
    """What scoring needs to know of an attack."""

    @property
    def frames(self) -> Frames:
        """(frames, 3, 64, 176), in [0, 1], best first."""
        ...

    @property
    def probability(self) -> float:
        """The best frame's mean probability of the watched class over the craft photos."""
        ...

    @property
    def met(self) -> bool:
        """Whether that reaches the goal's stop value."""
        ...

    @property
    def iterations(self) -> int:
        """Steps taken."""
        ...

    seconds: float
    """Time spent in the loop, looks included."""

    @property
    def stopped_because(self) -> Reason:
        """Why the loop ended."""
        ...

    @property
    def history(self) -> list[dict[str, float]]:
        """Figures of each step, the watched mean probability among them."""
        ...


@dataclass(eq=False, slots=True, kw_only=True)
class FrameOutcome:
    """What an attack on a frame's own pixels leaves."""

    frames: Frames
    """(frames, 3, 64, 176), in [0, 1], best first."""

    probability: float
    """The best frame's mean probability of the watched class over the craft photos."""

    met: bool
    """Whether that reaches the goal's stop value."""

    iterations: int
    """Steps taken."""

    seconds: float
    """Time spent in the loop."""

    stopped_because: Reason
    """Why the loop ended."""

    history: list[dict[str, float]] = field(default_factory=list)
    """The mean probability before each step."""
