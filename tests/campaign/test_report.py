"""A campaign's report, and what it says against itself."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from agns.campaign.doubts import find_doubts
from agns.campaign.findings import Findings
from agns.campaign.report import report_campaign
from agns.campaign.rows import Row, TransferRow
from agns.campaign.tables import tabulate
from agns.images import write_image

Make = Callable[..., Row]
NAMES = [f"P{number}" for number in range(10)]


def doubts(rows: list[Row]) -> list[str]:
    return find_doubts(tabulate(rows), rows)


def test_figures_without_a_weakness_raise_no_doubt(row: Make) -> None:
    assert doubts([row(name, "agn", 0.9) for name in NAMES]) == []


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"held": 0.15}, "benign frames succeed on 10%, against 15%"),
        ({"held": 0.7}, "100% on the craft photos, but 70% on others"),
        ({"held": 0.9, "met": False}, "10 of 10 attacks ended before they reached the stop value"),
    ],
)
def test_a_weakness_is_said(row: Make, settings: dict[str, float], words: str) -> None:
    rows = [row(name, "agn", **{"held": 0.9, **settings}) for name in NAMES]
    assert any(f"OF10, dodge, agn: {words}" in sentence for sentence in doubts(rows))


def test_few_subjects_failures_and_what_is_left_are_said(row: Make, failed: Row) -> None:
    rows = [row("Ann", "agn", 0.9), failed, replace(failed, state="open")]
    few, *others = reversed(doubts(rows))
    assert "only 1 subjects" in few
    assert sorted(sentence.split(" attacks")[0] for sentence in others) == ["1 of 3", "1 of 3"]


def test_the_report_holds_all_in_one_file(
    row: Make, transfer: Callable[..., TransferRow], failed: Row, tmp_path: Path
) -> None:
    rows = [row("Ann", "agn", 0.9), row("Ann", "pgd", 0.1), failed]
    write_image(tmp_path / "cells" / rows[0].cell.key / "before_after.png", torch.rand(3, 8, 8))
    report_campaign(
        tmp_path,
        Findings(
            plan={"craft": 3}, versions={"agns": "0"}, rows=rows,
            transferred=[transfer("Ann", 0.5)], doubts={"OF10": ["it is in training mode"]},
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


def test_a_report_without_results_says_so(failed: Row, tmp_path: Path) -> None:
    report_campaign(tmp_path, Findings(plan={}, versions={}, rows=[failed]))
    assert "There are no results yet" in (tmp_path / "report.html").read_text(encoding="utf-8")
