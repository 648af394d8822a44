"""A victim and a goal as a closed set, for what knows nothing of thresholds and refusals."""

from agns.attack.goals import Dodge, Goal, Impersonate
from agns.models.victim import Victim
from agns.types import Faces, Logits


class _Decisive:
    """A victim whose logits are those alone that decide a goal, as a closed set."""

    def __init__(self, victim: Victim, goal: Goal) -> None:
        own = victim.identities[: -1 if isinstance(goal, Dodge) and goal.refuses else None]
        alone = goal.task == "verification"
        self.identities = (own[goal.index],) if alone else own
        if goal.task != "closed-set":
            self.identities = (*self.identities, "nobody")
        self._victim, self._goal = victim, goal

    def __call__(self, faces: Faces) -> Logits:
        return self._goal.compared(self._victim(faces))[0]


def as_closed_set(victim: Victim, goal: Goal) -> tuple[Victim, Goal]:
    """A victim and a goal in its classes, for what knows nothing of thresholds and refusals."""
    if goal.task == "closed-set" and not (isinstance(goal, Dodge) and goal.refuses):
        return victim, goal
    decisive = _Decisive(victim, goal)
    own = 0 if goal.task == "verification" else goal.index
    if isinstance(goal, Dodge):
        return decisive, Dodge(own, stop=goal.stop)
    return decisive, Impersonate(own, stop=goal.stop)
