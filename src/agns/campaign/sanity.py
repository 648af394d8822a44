"""What makes a campaign's numbers weaker than they look."""

import re
from collections.abc import Iterator, Mapping, Sequence

from agns.campaign.records import JobRecord
from agns.campaign.summary import AttackSummary

FEW_SUBJECTS = 10
_NUMBER = re.compile(r"[0-9.]+")


def find_weaknesses(
    summaries: Sequence[AttackSummary],
    records: Sequence[JobRecord],
    victims: Mapping[str, Sequence[str]] | None = None,
) -> list[str]:
    """Say in words what makes a campaign's numbers weaker than they look.

    Args:
        summaries: Its table.
        records: Its ledger's.
        victims: What speaks against each victim that was examined, by its name.
    """
    found = [f"{name}: {one}." for name, some in (victims or {}).items() for one in some]
    if left := sum(one.state in ("open", "claimed") for one in records):
        found.append(f"{left} of {len(records)} attacks have not been run: there is more to come.")
    if failed := sum(one.state == "failed" for one in records):
        found.append(
            f"{failed} of {len(records)} attacks could not be made; the reasons are below."
        )
    for one in summaries:
        where = f"{one.recognizer}, {one.goal}, {one.attack}"
        found += [f"{where}: {sentence}." for sentence in _weaknesses(one)]
    return found + _warnings(records)


def _weaknesses(one: AttackSummary) -> Iterator[str]:
    craft, held, benign = one.craft_success, one.held_out_success, one.benign_success
    if one.subjects < FEW_SUBJECTS:
        yield f"only {one.subjects} subjects, so that the interval says little"
    if held > 0 and benign >= held / 2:
        yield (
            f"benign frames succeed on {benign:.0%}, against {held:.0%}: the success is not the "
            "attack's own alone"
        )
    if craft - held > 0.2:
        yield (
            f"{craft:.0%} on the craft photos, but {held:.0%} on others: the frames fit the photos "
            "they were made on"
        )
    if one.met_stop_value < one.done / 2:
        yield (
            f"{one.done - one.met_stop_value} of {one.done} attacks ended before they reached the "
            "stop value"
        )


def _warnings(records: Sequence[JobRecord]) -> list[str]:
    """What single attacks say against themselves, once for each kind, with the first as example."""
    kinds: dict[str, list[str]] = {}
    for record in records:
        for sentence in record.result.warnings if record.result is not None else ():
            kinds.setdefault(_NUMBER.sub("", sentence), []).append(sentence)
    return [
        f"{said[0]} (Of {len(said)} attack{'s' * (len(said) > 1)} the like is said.)"
        for said in sorted(kinds.values(), key=len, reverse=True)
    ]
