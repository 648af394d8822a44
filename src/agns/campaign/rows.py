"""What a campaign's ledger tells."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agns.campaign.cells import Cell


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What is known of one cell."""

    cell: Cell
    state: str
    """open, claimed, done or failed; or elsewhere, if another ledger of the campaign tells."""
    seconds: float | None
    """All that the cell took, scoring included."""
    result: Mapping[str, Any] | None
    """What the attack's `result.json` says; only when done."""
    sentence: str | None
    """Why there is no result; only when failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferRow:
    """What one cell's frame did to another recogniser."""

    cell: Cell
    victim: str
    """The other recogniser's name in the plan."""
    score: Mapping[str, Any] | None
    """See `agns.campaign.transfer.score_frame`; None where there could be none."""
    sentence: str | None
    """Why there is no score."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How far a campaign has come."""

    ended: int
    """Cells done or failed."""
    cells: int
    """All of them."""
    minutes_left: float
    """What the others take if they take as long as these did, in one process."""
