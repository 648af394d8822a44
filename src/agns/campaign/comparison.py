"""Two campaigns side by side: whether a recogniser got worse."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import torch

from agns.campaign.plan import with_present_names
from agns.campaign.records import JobRecord
from agns.campaign.results import Results
from agns.data.faces import composed
from agns.errors import ConfigError
from agns.evaluation.score import AttackScore
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


def compare(before: Results, after: Results, *, seed: int = 0) -> list[Comparison]:
    """Compare what two campaigns have in common.

    Args:
        before: What the first one found.
        after: What the second one found.
        seed: Of the draws of signs, where there are many subjects.

    Raises:
        ConfigError: They have no attack in common, or ran it with other settings.
    """
    _check_alike(with_present_names(before.plan), with_present_names(after.plan))
    first, second = _success(before.records), _success(after.records)
    found = []
    for group, own in first.items():
        other = second.get(group, {})
        pairs = [(own[pair], other[pair]) for pair in own if pair in other]
        if not pairs:
            continue
        recognizer, goal, attack = group
        rng = torch.Generator().manual_seed(seed)
        found.append(
            Comparison(
                recognizer=recognizer,
                goal=goal,
                attack=attack,
                subjects=len(pairs),
                before=sum(one for one, _ in pairs) / len(pairs),
                after=sum(one for _, one in pairs) / len(pairs),
                missing=len(own.keys() ^ other.keys()),
                by_chance=paired_probability([new - old for old, new in pairs], rng=rng),
            )
        )
    if not found:
        raise ConfigError(
            "the two campaigns have no attack of a single subject in common that both have results "
            "of: recogniser, goal, attack, subject and target must have the same names, and frames "
            "for many are not compared"
        )
    return _corrected(found)


def with_other_photos(before: Results, after: Results) -> list[str]:
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


_Group: TypeAlias = tuple[str, str, str]


def _success(
    records: Sequence[JobRecord],
) -> Mapping[_Group, Mapping[tuple[str, str | None], float]]:
    """By group, each subject's held-out success with each target, as a mean over seeds."""
    found: dict[_Group, dict[tuple[str, str | None], list[float]]] = {}
    for one in records:
        if isinstance(one.result, AttackScore) and one.result.held_out.success_rate is not None:
            job = one.job
            group = found.setdefault((job.recognizer, job.goal, job.attack), {})
            # Folders may have come from another system, which encodes accents otherwise.
            pair = composed(job.subject), None if job.target is None else composed(job.target)
            group.setdefault(pair, []).append(one.result.held_out.success_rate)
    return {
        group: {pair: sum(rates) / len(rates) for pair, rates in pairs.items()}
        for group, pairs in found.items()
    }
