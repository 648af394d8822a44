"""What makes a campaign's figures weaker than they look."""

import re
from collections.abc import Sequence

from agns.campaign.rows import Row
from agns.campaign.tables import Line

FEW_SUBJECTS = 10
_FIGURE = re.compile(r"[0-9.]+")


def find_doubts(lines: Sequence[Line], rows: Sequence[Row]) -> list[str]:
    """Say in words what makes a campaign's figures weaker than they look.

    Args:
        lines: Its table.
        rows: Its ledger's.
    """
    doubts = []
    if left := sum(row.state in ("open", "claimed") for row in rows):
        doubts.append(f"{left} of {len(rows)} attacks have not been run: there is more to come.")
    if failed := sum(row.state == "failed" for row in rows):
        doubts.append(f"{failed} of {len(rows)} attacks could not be made; the reasons are below.")
    for one in lines:
        craft, held, benign = one.craft_success, one.held_out_success, one.benign_success
        found = []
        if one.subjects < FEW_SUBJECTS:
            found.append(f"only {one.subjects} subjects, so that the interval says little")
        if held > 0 and benign >= held / 2:
            found.append(
                f"benign frames succeed on {benign:.0%}, against {held:.0%}: the success is not "
                "the attack's own alone"
            )
        if craft - held > 0.2:
            found.append(
                f"{craft:.0%} on the craft photos, but {held:.0%} on others: the frames fit the "
                "photos they were made on"
            )
        if one.met_stop_value < one.done / 2:
            found.append(
                f"{one.done - one.met_stop_value} of {one.done} attacks ended before they reached "
                "the stop value"
            )
        where = f"{one.recognizer}, {one.goal}, {one.attack}"
        doubts += [f"{where}: {sentence}." for sentence in found]
    return doubts


def gather_warnings(rows: Sequence[Row]) -> list[str]:
    """What single attacks say against themselves, once for each kind, with the first as example."""
    kinds: dict[str, list[str]] = {}
    for row in rows:
        for sentence in [] if row.result is None else row.result["warnings"]:
            kinds.setdefault(_FIGURE.sub("", sentence), []).append(sentence)
    return [
        f"{said[0]} (Of {len(said)} attack{'s' * (len(said) > 1)} the like is said.)"
        for said in sorted(kinds.values(), key=len, reverse=True)
    ]
