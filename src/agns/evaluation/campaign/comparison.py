"""Two campaigns side by side: whether a recogniser got worse."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from agns.errors import ConfigError
from agns.evaluation.campaign.ledger import Row
from agns.evaluation.campaign.statistics import paired_probability


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One goal and attack on one recogniser, before and after; shares lie in [0, 1]."""

    recognizer: str
    goal: str
    attack: str
    subjects: int
    """Subjects that both campaigns attacked with the same target."""
    before: float
    """Mean held-out success over them."""
    after: float
    by_chance: float
    """How likely a difference this large is by chance, paired over subjects."""

    def is_worse(self, *, level: float = 0.05) -> bool:
        """Whether attacks succeed more often than before, and not by chance at this level."""
        return self.after > self.before and self.by_chance < level


def compare(before: Sequence[Row], after: Sequence[Row], *, seed: int = 0) -> list[Comparison]:
    """Compare what two campaigns have in common.

    Args:
        before: Rows of the first one's ledger.
        after: Rows of the second one's.
        seed: Of the draws of signs, where there are many subjects.

    Raises:
        ConfigError: They have no attack in common.
    """
    first, second = _success(before), _success(after)
    found = []
    for group in first:
        if group not in second:
            continue
        shared = [subject for subject in first[group] if subject in second[group]]
        if not shared:
            continue
        pairs = [(first[group][subject], second[group][subject]) for subject in shared]
        recognizer, goal, attack = group
        draws = torch.Generator().manual_seed(seed)
        found.append(
            Comparison(
                recognizer=recognizer,
                goal=goal,
                attack=attack,
                subjects=len(shared),
                before=sum(one for one, _ in pairs) / len(pairs),
                after=sum(other for _, other in pairs) / len(pairs),
                by_chance=paired_probability([other - one for one, other in pairs], draws=draws),
            )
        )
    if not found:
        raise ConfigError(
            "the two campaigns have no attack in common that both have results of: recogniser, "
            "goal, attack, subject and target must have the same names"
        )
    return found


_Group = tuple[str, str, str]


def _success(rows: Sequence[Row]) -> Mapping[_Group, Mapping[tuple[str, str | None], float]]:
    """By group, each subject's held-out success with each target, as a mean over seeds."""
    found: dict[_Group, dict[tuple[str, str | None], list[float]]] = {}
    for row in rows:
        rate = None if row.result is None else row.result["held_out"]["success_rate"]
        if rate is not None:
            cell = row.cell
            group = found.setdefault((cell.recognizer, cell.goal, cell.attack), {})
            group.setdefault((cell.subject, cell.target), []).append(float(rate))
    return {
        group: {pair: sum(rates) / len(rates) for pair, rates in pairs.items()}
        for group, pairs in found.items()
    }
