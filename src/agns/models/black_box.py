"""A victim that may only be asked: no gradient, a count of queries, and a budget of them.

Convention:
    A query is one face, however many are shown at once.
"""

from collections.abc import Mapping

import torch
from torch import nn

from agns.errors import QueryBudgetSpent
from agns.models.victim import Victim, check_identities, freeze, refuses, task_of
from agns.settings import whole
from agns.types import Faces, Logits

SURE = 1000.0
"""How far a decision's logits lie from 0: probabilities come to exactly 0 and 1, and no attack
takes the logits for probabilities."""


def answering(victim: Victim) -> Victim:
    """Who answers behind black boxes: for scoring, which is no attack's query."""
    while isinstance(victim, BlackBox):
        victim = victim.victim
    return victim


def count_anew(victim: Victim) -> None:
    """Give black boxes their whole budget again: in a campaign each attack has it."""
    while isinstance(victim, BlackBox):
        victim.queries = 0
        victim = victim.victim


class BlackBox(nn.Module):
    """A victim around a victim, which answers and says no more than that.

    Args:
        victim: Who answers; asked in evaluation mode, and not changed.
        budget: Queries that it answers; None for any number.
        decisions_only: Whether it only says whom a face is taken for, and not how surely.

    Raises:
        ConfigError: The budget is below 1.
    """

    def __init__(
        self, victim: Victim, *, budget: int | None = None, decisions_only: bool = False
    ) -> None:
        super().__init__()
        if budget is not None:
            budget = whole(budget, "a budget of queries", 1)
        check_identities(victim)
        self.victim, self.identities = freeze(victim), victim.identities
        self.task, self.refuses = task_of(victim), refuses(victim)
        self.budget, self.decisions_only = budget, decisions_only
        # What photos it knows is nothing that it answers, and figures depend on it.
        self.record: Mapping[str, object] = getattr(victim, "record", {})
        self.queries = 0
        # Whoever freezes it gets itself, and no copy with a count of its own.
        self.eval()

    @torch.no_grad()
    def forward(self, faces: Faces) -> Logits:
        """Answer; logits have no gradient.

        Raises:
            QueryBudgetSpent: There are more faces than the budget has left; none is answered.
        """
        if self.budget is not None and self.queries + len(faces) > self.budget:
            raise QueryBudgetSpent(
                f"the victim answers {self.budget} queries and has answered {self.queries}: "
                f"{len(faces)} more are too many"
            )
        # Before the answer: one that fails was asked, too.
        self.queries += len(faces)
        logits: Logits = self.victim(faces)
        if not self.decisions_only:
            return logits
        decided = logits.new_full(logits.shape, -SURE)
        first = logits.argmax(1, keepdim=True)
        if self.task == "closed-set":
            decided.scatter_(1, first, SURE)
        else:
            # Above 0 a face is accepted: for whoever comes first, or for every claim.
            accepted = logits > 0
            if self.task == "open-set":
                accepted &= torch.zeros_like(accepted).scatter(1, first, value=True)
            decided[accepted] = SURE
        # A broken victim stays one.
        return decided.where(logits.isfinite().all(1, keepdim=True), torch.nan)
