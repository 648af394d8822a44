"""Two campaigns side by side: whether a recogniser got worse."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from agns.data.faces import composed
from agns.errors import ConfigError
from agns.evaluation.campaign.cells import UNIVERSAL
from agns.evaluation.campaign.findings import Findings
from agns.evaluation.campaign.rows import Row
from agns.evaluation.statistics import paired_probability


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
    missing: int
    """Subjects with a result in one campaign alone."""
    by_chance: float
    """How likely a difference this large is by chance, paired over subjects, where so many
    comparisons are made (Holm 1979)."""

    def is_worse(self, *, level: float = 0.05) -> bool:
        """Whether attacks succeed more often than before, and not by chance at this level."""
        return self.after > self.before and self.by_chance < level

    def can_tell(self, *, level: float = 0.05) -> bool:
        """Whether so few subjects could show a difference at this level at all."""
        return 2.0 ** (1 - self.subjects) < level


def compare(before: Findings, after: Findings, *, seed: int = 0) -> list[Comparison]:
    """Compare what two campaigns have in common.

    Args:
        before: What the first one found.
        after: What the second one found.
        seed: Of the draws of signs, where there are many subjects.

    Raises:
        ConfigError: They have no attack in common, or ran it with other settings.
    """
    _check_alike(before.plan, after.plan)
    first, second = _success(before.rows), _success(after.rows)
    found = []
    for group in first:
        shared = [pair for pair in first[group] if pair in second.get(group, {})]
        if not shared:
            continue
        pairs = [(first[group][pair], second[group][pair]) for pair in shared]
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
                missing=len(set(first[group]) ^ set(second[group])),
                by_chance=paired_probability([other - one for one, other in pairs], draws=draws),
            )
        )
    if not found:
        raise ConfigError(
            "the two campaigns have no attack of a single subject in common that both have results "
            "of: recogniser, goal, attack, subject and target must have the same names, and frames "
            "for many are not compared"
        )
    return _corrected(found)


def with_other_photos(before: Findings, after: Findings) -> list[str]:
    """Subjects of whom two campaigns were begun with other photos, or with photos cut otherwise.

    Photos are known by content. Drawn ones, which are the same anywhere, are not on record.
    """
    return sorted(
        {
            subject
            for (victim, subject), rows in before.photos.items()
            if (others := after.photos.get((victim, subject))) is not None
            and {row.picture for row in rows} != {row.picture for row in others}
        }
    )


def _corrected(found: Sequence[Comparison]) -> list[Comparison]:
    """Holm's correction: the smallest of n probabilities times n, the next times n - 1, ..."""
    order = sorted(range(len(found)), key=lambda place: found[place].by_chance)
    corrected, least = list(found), 0.0
    for rank, place in enumerate(order):
        least = max(least, min(1.0, (len(found) - rank) * found[place].by_chance))
        corrected[place] = replace(found[place], by_chance=least)
    return corrected


def _check_alike(before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    for name in ("craft", "control_frames", "frames", "seeds"):
        if before.get(name) != after.get(name):
            raise ConfigError(
                f"the two campaigns cannot be compared: {name} is {before.get(name)} in one plan "
                f"and {after.get(name)} in the other"
            )
    methods = {attack["name"]: attack["method"] for attack in before.get("attacks", ())}
    for attack in after.get("attacks", ()):
        if methods.get(attack["name"], attack["method"]) != attack["method"]:
            raise ConfigError(
                f"the two campaigns cannot be compared: {attack['name']} has other settings in "
                "one plan than in the other"
            )


_Group = tuple[str, str, str]


def _success(rows: Sequence[Row]) -> Mapping[_Group, Mapping[tuple[str, str | None], float]]:
    """By group, each subject's held-out success with each target, as a mean over seeds."""
    found: dict[_Group, dict[tuple[str, str | None], list[float]]] = {}
    for row in rows:
        if row.result is None or row.cell.goal == UNIVERSAL:
            continue
        rate = row.result["held_out"]["success_rate"]
        if rate is not None:
            cell = row.cell
            group = found.setdefault((cell.recognizer, cell.goal, cell.attack), {})
            # Folders may have come from another system, which encodes accents otherwise.
            pair = composed(cell.subject), None if cell.target is None else composed(cell.target)
            group.setdefault(pair, []).append(float(rate))
    return {
        group: {pair: sum(rates) / len(rates) for pair, rates in pairs.items()}
        for group, pairs in found.items()
    }
