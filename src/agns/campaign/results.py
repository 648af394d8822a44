"""All that a campaign found so far, as reports need it."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from agns.campaign.appearance import AppearanceSummary, summarize_appearance
from agns.campaign.curves import (
    CurveAtPoint,
    CurvePoint,
    QueriesSummary,
    summarize_queries,
    summarize_universal,
    summarize_universal_points,
)
from agns.campaign.ledger import Begun
from agns.campaign.parts import LedgerContent, join_records, join_transfers, read_ledgers
from agns.campaign.records import JobRecord, TransferRecord, result_as_json
from agns.campaign.sanity import find_weaknesses
from agns.campaign.summary import (
    AttackSummary,
    PointSummary,
    TransferSummary,
    summarize_attacks,
    summarize_points,
    summarize_transfers,
)
from agns.campaign.symmetry import SymmetrySummary, summarize_symmetry
from agns.errors import ConfigError

SCHEMA = 2
"""Version of `report.json`'s form, which `docs/campaign-report.schema.json` describes."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Results:
    """What the ledgers of a campaign hold, and its summaries."""

    plan: Mapping[str, object]
    """With its defaults."""
    versions: Mapping[str, str]
    """That the campaign was begun with."""
    records: Sequence[JobRecord]
    """In the order of the plan."""
    transferred: Sequence[TransferRecord] = ()
    warnings: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """What speaks against each victim that was examined, by its name."""
    photos: Begun = field(default_factory=dict)
    """Which photos of each subject the campaign was begun with."""
    folder: Path | None = None
    """With the frames of the jobs."""
    differences: Sequence[str] = ()
    """In words, what parts were begun with that the first was not."""

    @functools.cached_property
    def attacks(self) -> list[AttackSummary]:
        """Success by recogniser, goal and attack."""
        return summarize_attacks(self.records, self.plan)

    @functools.cached_property
    def appearance(self) -> list[AppearanceSummary]:
        """Whether frames look like eyeglasses, likewise."""
        return summarize_appearance(self.records, self.folder)

    @functools.cached_property
    def points(self) -> list[PointSummary]:
        """Success of attacks on galleries at each of their false-accept rates."""
        return summarize_points(self.records)

    @functools.cached_property
    def by_queries(self) -> list[QueriesSummary]:
        """Success of attacks whose queries were counted, after more and more of them."""
        return summarize_queries(self.records)

    @functools.cached_property
    def transfers(self) -> list[TransferSummary]:
        """Success of frames on recognisers that they were not made against."""
        return summarize_transfers(self.transferred)

    @functools.cached_property
    def curves(self) -> list[CurvePoint]:
        """Success of universal attacks over the number of frames."""
        return summarize_universal(self.records)

    @functools.cached_property
    def curves_at_points(self) -> list[CurveAtPoint]:
        """The same at each of the galleries' false-accept rates."""
        return summarize_universal_points(self.records)

    @functools.cached_property
    def symmetry(self) -> list[SymmetrySummary]:
        """Which classes are easier to attack, by recogniser and attack."""
        return summarize_symmetry(self.records)

    @functools.cached_property
    def weaknesses(self) -> list[str]:
        """In words, what makes the numbers weaker than they look."""
        return [*self.differences, *find_weaknesses(self.attacks, self.records, self.warnings)]

    def as_json(self) -> dict[str, object]:
        """Everything, unrounded, in the form of `docs/campaign-report.schema.json`."""
        return {
            "schema": SCHEMA,
            "weaknesses": self.weaknesses,
            "lines": [asdict(one) for one in self.attacks],
            "appearance": [asdict(one) for one in self.appearance],
            "operating_points": [asdict(one) for one in self.points],
            "by_queries": [asdict(one) for one in self.by_queries],
            "transfers": [asdict(one) for one in self.transfers],
            "curves": [asdict(one) for one in self.curves],
            "curves_at_points": [asdict(one) for one in self.curves_at_points],
            "symmetry": [asdict(one) for one in self.symmetry],
            "doubts": {name: list(some) for name, some in self.warnings.items()},
            "unscored": [
                {"cell": asdict(one.job), "victim": one.victim, "sentence": one.sentence}
                for one in self.transferred
                if one.score is None
            ],
            "cells": [
                {
                    "cell": asdict(one.job),
                    "state": one.state,
                    "seconds": one.seconds,
                    "result": None if one.result is None else result_as_json(one.result),
                    "sentence": one.sentence,
                }
                for one in self.records
            ],
            "plan": dict(self.plan),
            "versions": dict(self.versions),
        }


def read_results(out: Path) -> Results:
    """What the ledgers of a campaign's directory hold, of parts or without, together.

    Raises:
        ConfigError: There is none, or nothing has been entered.
        DataError: One is no ledger, or they are not of one campaign.
    """
    ledgers = read_ledgers(out)
    if not ledgers:
        raise ConfigError(f"{out} holds no campaign")
    records = join_records(ledgers)
    # The first ledger that tells of a victim counts.
    examined = {name: one.warnings[name] for one in ledgers[::-1] for name in one.warnings}
    victims = dict.fromkeys(one.job.recognizer for one in records)
    return Results(
        plan=ledgers[0].plan, versions=ledgers[0].versions, records=records,
        transferred=join_transfers(ledgers, records),
        warnings={name: examined[name] for name in victims if name in examined},
        differences=_differences(ledgers), folder=out,
        photos={key: photos for one in ledgers for key, photos in one.photos.items()},
    )  # fmt: skip


def _differences(ledgers: Sequence[LedgerContent]) -> list[str]:
    """By name of a version, in which ledgers it is another than in the first."""
    first, found = ledgers[0], []
    for name, version in first.versions.items():
        others = [
            f"{one.versions[name]} in {one.path.name}"
            for one in ledgers[1:]
            if one.versions.get(name, version) != version
        ]
        if others:
            found.append(
                f"Parts were begun with different versions of {name}, {version} in "
                f"{first.path.name} and {', '.join(others)}: their numbers may differ by that."
            )
    return found
