"""A campaign's report, and what it says against itself."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from agns.campaign.records import JobRecord, TransferRecord
from agns.campaign.report import report_campaign
from agns.campaign.results import Results
from agns.campaign.sanity import find_weaknesses
from agns.campaign.summary import summarize_attacks
from agns.images import write_image

Make = Callable[..., JobRecord]
NAMES = [f"P{number}" for number in range(10)]


def weaknesses(records: list[JobRecord]) -> list[str]:
    """Those of the campaign; what single attacks say is left out."""
    found = find_weaknesses(summarize_attacks(records), records)
    return [sentence for sentence in found if "the like is said" not in sentence]


def test_figures_without_a_weakness_have_none_said(record: Make) -> None:
    assert weaknesses([record(name, "agn", 0.9) for name in NAMES]) == []


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"held": 0.15}, "benign frames succeed on 10%, against 15%"),
        ({"held": 0.7}, "100% on the craft photos, but 70% on others"),
        ({"held": 0.9, "met": False}, "10 of 10 attacks ended before they reached the stop value"),
    ],
)
def test_a_weakness_is_said(record: Make, settings: dict[str, float], words: str) -> None:
    rows = [record(name, "agn", **{"held": 0.9, **settings}) for name in NAMES]
    assert any(f"OF10, dodge, agn: {words}" in sentence for sentence in weaknesses(rows))


def test_few_subjects_failures_and_what_is_left_are_said(record: Make, failed: JobRecord) -> None:
    rows = [record("Ann", "agn", 0.9), failed, replace(failed, state="open")]
    few, *others = reversed(weaknesses(rows))
    assert "only 1 subjects" in few
    assert sorted(sentence.split(" attacks")[0] for sentence in others) == ["1 of 3", "1 of 3"]


def test_the_report_holds_all_in_one_file(
    record: Make, transfer: Callable[..., TransferRecord], failed: JobRecord, tmp_path: Path
) -> None:
    rows = [record("Ann", "agn", 0.9), record("Ann", "pgd", 0.1), failed]
    write_image(tmp_path / "cells" / rows[0].job.key / "before_after.png", torch.rand(3, 8, 8))
    report_campaign(
        tmp_path,
        Results(
            plan={"craft": 3}, versions={"agns": "0"}, records=rows,
            transferred=[transfer("Ann", 0.5)], warnings={"OF10": ["it is in training mode"]},
        ),
    )  # fmt: skip
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    for words in ("Few photos. (Of 2 attacks the like is said.)", "no photos",
                  "&quot;craft&quot;: 3", "agns = 0",
                  "OF10: Ann dodges, agn", "p = 1.000", "OF10: it is in training mode.",
                  "25.0%"):  # fmt: skip
        assert words in text
    assert text.count("data:image/png") == 4
    assert "http" not in text


def test_a_report_without_results_says_so(failed: JobRecord, tmp_path: Path) -> None:
    report_campaign(tmp_path, Results(plan={}, versions={}, records=[failed]))
    assert "There are no results yet" in (tmp_path / "report.html").read_text(encoding="utf-8")
