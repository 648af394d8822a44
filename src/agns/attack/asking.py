"""What attacks that only ask have in common: the count of queries, and the best frame so far."""

import math
import time
from collections.abc import Callable

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

from agns.accessory.placement import Placement
from agns.attack.goals import Goal, log_odds
from agns.attack.query import ask_frames
from agns.attack.result import AttackResult, BestAfter, Reason
from agns.errors import AgnsError, AttackError, QueryBudgetSpent, why
from agns.models.black_box import BlackBox
from agns.models.victim import Victim
from agns.types import Faces, Frames, Progress

_KEPT = 20
"""Best frames that are kept of an attack, at numbers of queries that grow geometrically."""


class Asking:
    """A victim that is only asked, the photos, and the best frame that was tried on all of them.

    Frames are compared by their loss, the goal's cross-entropy, which still differs where
    probabilities round to 0 or 1.

    Args:
        victim: In evaluation mode.
        faces: The photos.
        goal: What is wanted on them, in the victim's classes.
        placement: Where frames sit on them.
        budget: Queries at most.
        batch: Faces wearing a frame at once.
        decisions_only: Whether the victim says who comes first alone.

    Raises:
        AttackError: The budget does not last for one frame on every photo.
    """

    def __init__(
        self,
        victim: Victim,
        faces: Faces,
        goal: Goal,
        *,
        placement: Placement,
        budget: int,
        batch: int,
        decisions_only: bool = False,
    ) -> None:
        if budget < len(faces):
            raise AttackError(
                f"a frame on {len(faces)} photos takes as many queries, and the budget is {budget}"
            )
        self.box = BlackBox(victim, budget=budget, decisions_only=decisions_only)
        self.faces, self.goal, self.placement, self.batch = faces, goal, placement, batch
        self.budget, self.started = budget, time.perf_counter()
        self.frame: Frames | None = None
        """The best so far, (1, 3, 64, 176)."""
        self.failure = math.inf
        """Its mean failure probability."""
        self.losses: Float[Tensor, " photos"] | None = None
        """Its loss on each photo."""
        self.lost = ""
        """What the victim said as it failed."""
        self.best_after: list[BestAfter] = []
        self.history: list[dict[str, float]] = []

    @property
    def met(self) -> bool:
        """Whether the best frame reached the stop value."""
        return self.failure <= self.goal.max_failure

    def ask(
        self, frames: Frames, photos: Int64[Tensor, " photos"]
    ) -> Float[Tensor, "frames photos classes"]:
        """Logits of photos wearing each of some frames.

        Raises:
            QueryBudgetSpent: Too few queries are left.
            AttackError: A logit is not finite.
        """
        logits = ask_frames(
            self.box, self.faces, frames, photos, placement=self.placement, batch=self.batch
        )
        if not bool(logits.isfinite().all()):
            raise AttackError("the recogniser's logits are not finite")
        return logits

    def loss(
        self, logits: Float[Tensor, "*frames photos classes"]
    ) -> Float[Tensor, "*frames photos"]:
        """-log(1 - failure probability), from logits."""
        odds = log_odds(logits.flatten(0, -2), self.goal)
        losses: Tensor = -functional.logsigmoid(odds).unflatten(0, logits.shape[:-1])
        return losses

    def try_on(
        self,
        frame: Frames,
        order: Int64[Tensor, " photos"],
        logits: Float[Tensor, "asked classes"],
    ) -> bool:
        """Try a frame on more and more photos, as long as it does better on them than the best.

        Args:
            frame: (1, 3, 64, 176).
            order: All photos, those first on which it was tried before.
            logits: What the victim said of those, at least one.

        Returns:
            Whether it is the best now.

        Raises:
            QueryBudgetSpent: Too few queries are left.
        """
        while self._is_better(losses := self.loss(logits), order[: len(logits)]):
            if len(logits) == len(order):
                failure = self.goal.failure_probability(logits).mean()
                self.losses = torch.empty_like(losses).scatter(0, order, losses)
                self.keep(frame, float(failure))
                return True
            more = order[len(logits) : 2 * len(logits)]
            logits = torch.cat([logits, self.ask(frame, more)[0]])
        return False

    def _is_better(self, losses: Tensor, photos: Tensor) -> bool:
        return self.losses is None or bool(losses.sum() < self.losses[photos].sum())

    def keep(self, frame: Frames, failure: float) -> None:
        """Take a frame, (1, 3, 64, 176), for the best so far."""
        self.frame, self.failure = frame, failure
        own = BestAfter(queries=self.box.queries, frame=frame)
        if self.best_after and self._step(own) == self._step(self.best_after[-1]):
            self.best_after.pop()
        self.best_after.append(own)

    def _step(self, best: BestAfter) -> int:
        """Which of the geometric steps from one frame's queries to the budget it falls into."""
        first = len(self.faces)
        way = math.log(best.queries / first) / max(math.log(self.budget / first), 1e-9)
        return math.floor(way * (_KEPT - 1))

    def note(self, failure: float | None = None) -> dict[str, float]:
        """Enter a step into the history, by its own mean failure probability or the best's."""
        best = self.goal.probability(self.failure)
        own = best if failure is None else self.goal.probability(failure)
        self.history.append({"probability": own, "queries": float(self.box.queries)})
        return {"best": best}

    def search(self, step: Callable[[], None], progress: Progress) -> AttackResult:
        """Take step after step until the stop value is reached or queries are used up.

        Queries may cost: where the victim fails on the way, the best frame so far is kept.

        Raises:
            AgnsError: The victim failed, or its budget was used up, and there is no frame yet.
            KeyboardInterrupt: Ctrl-C came before there was any frame.
        """
        steps = 0
        reason: Reason = "reached the stop value"
        try:
            while not self.met:
                step()
                steps += 1
                progress(self.box.queries, self.budget, self.note())
        except (AgnsError, OSError, KeyboardInterrupt) as end:
            if self.frame is None:
                raise
            reason = "lost the victim"
            if isinstance(end, KeyboardInterrupt):
                reason = "interrupted"
            elif isinstance(end, QueryBudgetSpent):
                reason = "used up its queries"
            else:
                self.lost = why(end)
        return self.result(reason, steps)

    def result(self, reason: Reason, iterations: int) -> AttackResult:
        """What was found."""
        assert self.frame is not None
        return AttackResult(
            frames=self.frame,
            probability=self.goal.probability(self.failure),
            met=self.met,
            iterations=iterations,
            seconds=time.perf_counter() - self.started,
            stopped_because=reason,
            history=self.history,
            queries=self.box.queries,
            lost=self.lost,
            best_after=tuple(self.best_after),
        )
