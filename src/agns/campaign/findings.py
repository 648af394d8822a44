"""All that a campaign found so far, as reports need it."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from agns.campaign.curves import CurvePoint, tabulate_curves
from agns.campaign.doubts import find_doubts, gather_warnings
from agns.campaign.ledger import Begun
from agns.campaign.parts import Told, join_rows, join_transfers, read_ledgers
from agns.campaign.rows import Row, TransferRow
from agns.campaign.tables import Line, tabulate
from agns.campaign.transfer import TransferLine, tabulate_transfers
from agns.errors import ConfigError

SCHEMA = 2
"""Version of `report.json`'s form, which `docs/campaign-report.schema.json` describes."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Findings:
    """A ledger's content, and its tables."""

    plan: Mapping[str, object]
    """With its defaults."""
    versions: Mapping[str, str]
    """That the campaign was begun with."""
    rows: Sequence[Row]
    """In the order of the plan."""
    transferred: Sequence[TransferRow] = ()
    doubts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """What speaks against each victim that was examined, by its name."""
    photos: Begun = field(default_factory=dict)
    """Which photos of each subject the campaign was begun with."""
    differences: Sequence[str] = ()
    """In words, what parts were begun with that the first was not."""

    @functools.cached_property
    def lines(self) -> list[Line]:
        """Success by recogniser, goal and attack."""
        return tabulate(self.rows, self.plan)

    @functools.cached_property
    def transfers(self) -> list[TransferLine]:
        """Success of frames on recognisers that they were not made against."""
        return tabulate_transfers(self.transferred)

    @functools.cached_property
    def curves(self) -> list[CurvePoint]:
        """Success of universal attacks over the number of frames."""
        return tabulate_curves(self.rows)

    @property
    def weaknesses(self) -> list[str]:
        """In words, what makes the figures weaker than they look."""
        examined = [f"{name}: {one}." for name, some in self.doubts.items() for one in some]
        found = find_doubts(self.lines, self.rows) + gather_warnings(self.rows)
        return [*self.differences, *examined, *found]

    @property
    def failures(self) -> list[Row]:
        """Attacks that could not be made."""
        return [row for row in self.rows if row.state == "failed"]

    @property
    def unscored(self) -> list[TransferRow]:
        """Frames that could not be scored on another recogniser."""
        return [row for row in self.transferred if row.score is None]

    def as_json(self) -> dict[str, object]:
        """Everything, unrounded, in the form of `docs/campaign-report.schema.json`."""
        return {
            "schema": SCHEMA,
            "weaknesses": self.weaknesses,
            "lines": [asdict(line) for line in self.lines],
            "transfers": [asdict(line) for line in self.transfers],
            "curves": [asdict(point) for point in self.curves],
            "doubts": {name: list(doubts) for name, doubts in self.doubts.items()},
            "unscored": [
                {"cell": asdict(row.cell), "victim": row.victim, "sentence": row.sentence}
                for row in self.unscored
            ],
            "cells": [asdict(row) for row in self.rows],
            "plan": dict(self.plan),
            "versions": dict(self.versions),
        }


def read_findings(out: Path) -> Findings:
    """What the ledgers of a campaign's directory hold, of parts or without, together.

    Raises:
        ConfigError: There is none, or nothing has been entered.
        DataError: One is no ledger, or they are not of one campaign.
    """
    told = read_ledgers(out)
    if not told:
        raise ConfigError(f"{out} holds no campaign")
    rows = join_rows(told)
    doubts: dict[str, Sequence[str]] = {}
    for name in dict.fromkeys(row.cell.recognizer for row in rows):
        for one in told:
            if name in one.doubts:
                doubts.setdefault(name, one.doubts[name])
    return Findings(
        plan=told[0].plan, versions=told[0].versions, rows=rows,
        transferred=join_transfers(told, rows), doubts=doubts, differences=_differences(told),
        photos={key: rows for one in told for key, rows in one.photos.items()},
    )  # fmt: skip


def _differences(told: Sequence[Told]) -> list[str]:
    """By name of a version, in which ledgers it is another than in the first."""
    first = told[0]
    found = []
    for name, version in first.versions.items():
        others = {
            one.path.name: one.versions[name]
            for one in told[1:]
            if one.versions.get(name, version) != version
        }
        if others:
            listed = ", ".join(f"{other} in {file}" for file, other in others.items())
            found.append(
                f"Parts were begun with different versions of {name}, {version} in "
                f"{first.path.name} and {listed}: their figures may differ by that."
            )
    return found
