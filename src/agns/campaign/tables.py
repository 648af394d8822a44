"""A campaign's results in lines: one for each recogniser, goal and attack."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from agns.campaign.cells import UNIVERSAL
from agns.campaign.rows import Row
from agns.evaluation.statistics import mean_interval, paired_probability

Result = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """All attacks of one kind on one recogniser with one goal; shares lie in [0, 1]."""

    recognizer: str
    goal: str
    attack: str
    planned: int
    """Attacks in the plan."""
    done: int
    """Attacks with a result."""
    failed: int
    subjects: int
    met_stop_value: int
    """Attacks that reached the stop value on the craft photos."""
    met_interval: tuple[float, float]
    """Its share's 95 % interval, by resampling subjects."""
    published: float | None
    """The share that the plan says somebody else reported; None where it does not say."""
    craft_success: float
    """Mean over subjects, each of which counts by the mean of its attacks, as in what follows."""
    held_out_success: float
    held_out_interval: tuple[float, float]
    """95 %, by resampling subjects."""
    recognized_success: float | None
    """Among held-out photos recognised without a frame; None where no subject has any."""
    benign_success: float
    """Of benign frames on the held-out photos."""
    discriminator_score: float
    """Median over attacks, as in what follows."""
    nearest_real: float
    """Distance to the nearest real frame; see `agns.evaluation.stealth`."""
    seconds: float
    """Of the attack alone."""
    against_first: float | None
    """How likely the difference in held-out success from the plan's first attack is by chance,
    paired over subjects; None for the first itself, or where they share no subject."""


def tabulate(
    rows: Sequence[Row], plan: Mapping[str, Any] | None = None, *, seed: int = 0
) -> list[Line]:
    """One line for each recogniser, goal and attack that has results, in the plan's order.

    Universal attacks have tables of their own: see `agns.campaign.curves`.

    Args:
        rows: The ledger's.
        plan: As the ledger has it, for published figures.
        seed: Of the resampling.
    """
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        cell = row.cell
        if cell.goal != UNIVERSAL:
            groups.setdefault((cell.recognizer, cell.goal, cell.attack), []).append(row)
    published = {
        (one["recognizer"], one["goal"], one["attack"]): one["percent"] / 100
        for one in (plan or {}).get("published", ())
    }
    first: dict[tuple[str, str], dict[str, list[float]]] = {}
    lines = []
    for (recognizer, goal, attack), group in groups.items():
        results: list[Result] = [row.result for row in group if row.result is not None]
        held = _by_subject(results, "held_out")
        # The plan's first attack, whether it has results or not.
        base = first.setdefault((recognizer, goal), held)
        if not results:
            continue
        met: dict[str, list[float]] = {}
        for result in results:
            met.setdefault(str(result["subject"]), []).append(float(result["reached_stop_value"]))
        draws = torch.Generator().manual_seed(seed)
        shared = [subject for subject in held if subject in base]
        differences = [_mean(held[subject]) - _mean(base[subject]) for subject in shared]
        recognized = _by_subject(results, "held_out", "recognized")
        lines.append(
            Line(
                recognizer=recognizer,
                goal=goal,
                attack=attack,
                planned=len(group),
                done=len(results),
                failed=sum(row.state == "failed" for row in group),
                subjects=len(held),
                met_stop_value=sum(bool(result["reached_stop_value"]) for result in results),
                met_interval=mean_interval(list(met.values()), draws=draws),
                published=published.get((recognizer, goal, attack)),
                craft_success=_over(_by_subject(results, "craft")),
                held_out_success=_over(held),
                held_out_interval=mean_interval(list(held.values()), draws=draws),
                recognized_success=_over(recognized) if recognized else None,
                benign_success=_over(_by_subject(results, "controls", "benign")),
                discriminator_score=statistics.median(
                    result["stealth"]["discriminator_score"] for result in results
                ),
                nearest_real=statistics.median(
                    result["stealth"]["nearest_real"] for result in results
                ),
                seconds=statistics.median(result["seconds"] for result in results),
                against_first=(
                    None
                    if base is held or not shared
                    else paired_probability(differences, draws=draws)
                ),
            )
        )
    return lines


def _by_subject(results: Sequence[Result], *names: str) -> dict[str, list[float]]:
    """Each subject's success rates in one part of its results, where it has photos there."""
    found: dict[str, list[float]] = {}
    for result in results:
        part: Any = result
        for name in names:
            part = part[name]
        if part["success_rate"] is not None:
            found.setdefault(str(result["subject"]), []).append(float(part["success_rate"]))
    return found


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _over(subjects: Mapping[str, Sequence[float]]) -> float:
    return _mean([_mean(values) for values in subjects.values()])
