"""Which classes of a recogniser are easier to attack than others, as a campaign found it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from agns.campaign.records import JobRecord
from agns.evaluation.report import Table
from agns.evaluation.score import AttackScore
from agns.evaluation.symmetry import Symmetry, measure_symmetry


@dataclass(frozen=True, slots=True, kw_only=True)
class SymmetrySummary(Symmetry):
    """One attack on one recogniser with one goal."""

    recognizer: str
    goal: str
    attack: str


def summarize_symmetry(records: Sequence[JobRecord]) -> list[SymmetrySummary]:
    """One for each recogniser, goal and attack on two subjects or more, in their order.

    Impersonations alone, of which no pair was tried both ways, tell nothing of it.
    """
    groups: dict[tuple[str, str, str], list[AttackScore]] = {}
    for record in records:
        if isinstance(record.result, AttackScore):
            key = (record.job.recognizer, record.job.goal, record.job.attack)
            groups.setdefault(key, []).append(record.result)
    found = {
        key: measure_symmetry(scores)
        for key, scores in groups.items()
        if len({score.subject for score in scores}) > 1
    }
    return [
        SymmetrySummary(recognizer=key[0], goal=key[1], attack=key[2], **asdict(one))
        for key, one in found.items()
        if one.robust or one.pairs
    ]


def symmetry_table(found: Sequence[SymmetrySummary]) -> Table:
    """A row for each recogniser, goal and attack."""
    head = (
        "recogniser", "goal", "attack", "least robust", "most favoured", "asymmetry between",
        "subjects", "robust, mean", "robust, least", "favoured, most", "largest asymmetry",
        "by chance", "pairs",
    )  # fmt: skip
    rows = []
    for one in found:
        shares = list(one.robust.values())
        least = min(one.robust, key=lambda name: one.robust[name]) if shares else "-"
        most = max(one.favoured, key=lambda name: one.favoured[name]) if one.favoured else "-"
        rows.append(
            (
                one.recognizer, one.goal, one.attack, least, most,
                " for ".join(one.between) if one.between else "-", str(len(shares)),
                f"{sum(shares) / len(shares):.1%}" if shares else "-",
                f"{min(shares):.1%}" if shares else "-",
                f"{one.favoured[most]:.1%}" if one.favoured else "-",
                f"{one.largest_asymmetry:.1%}" if one.pairs else "-",
                f"{one.by_chance:.1%}" if one.pairs else "-", str(one.pairs),
            )
        )  # fmt: skip
    return Table(head=head, rows=rows, texts=6)
