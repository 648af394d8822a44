"""What a campaign found, as Markdown and as JSON in its published form."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from agns.campaign.findings import Findings, read_findings
from agns.campaign.ledger import Ledger
from agns.campaign.markdown import as_markdown
from agns.campaign.rows import Row, TransferRow

ROOT = Path(__file__).parents[2]


@pytest.fixture
def findings(
    row: Callable[..., Row], transfer: Callable[..., TransferRow], failed: Row
) -> Findings:
    return Findings(
        plan={
            "published": [
                {"recognizer": "OF10", "goal": "dodge", "attack": "agn", "percent": 100.0},
                {"recognizer": "OF10", "goal": "dodge", "attack": "pgd", "percent": 43.0},
            ]
        },
        versions={"agns": "0"},
        rows=[row("Ann", "agn", 0.5, met=False), failed],
        transferred=[
            transfer("Ann", 0.4),
            transfer("Bob", 0.8),
            replace(transfer("Cy", 0.5), score=None, sentence="every photo is known"),
        ],
        doubts={"OF10": ["its range is off"]},
    )


def test_markdown_holds_what_was_measured_and_what_speaks_against_it(findings: Findings) -> None:
    text = as_markdown(findings)
    assert "| OF10 | dodge | agn | 1 of 2 | 0% (0% to 79%) | 100% | 100% | 50.0% |" in text
    assert "- OF10: Dan dodges, agn, seed 0: no photos" in text
    assert "| dodge | agn | OF10 | VGG10 | 2 | 60.0% | 40% to 80% | 30.0% | 10.0% | 5.0% |" in text
    assert "- OF10 on VGG10: Cy dodges, agn, seed 0: every photo is known" in text
    assert text.startswith("- OF10: its range is off.")


def test_names_and_sentences_stay_within_their_cells_and_lines_of_markdown(
    row: Callable[..., Row], crowd_row: Row, transfer: Callable[..., TransferRow], failed: Row
) -> None:
    name, cells = "a|`b`\n# c", []
    for one in (row("Ann", "agn", 0.5), crowd_row, failed):
        cell = replace(one.cell, recognizer=name, attack=name)
        cells.append(replace(one, cell=cell, sentence=one.sentence and name))
    scored = replace(transfer("Ann", 0.4), cell=cells[0].cell, victim=name)
    text = as_markdown(
        Findings(plan={}, versions={}, rows=cells, transferred=[scored], doubts={name: [name]})
    )
    assert name.replace("|", "\\|") not in text
    assert "\n# c" not in text
    assert text.count("a\\|\\`b\\`\\\\n# c") >= 9


def test_a_campaign_without_transfers_has_no_table_of_them(row: Callable[..., Row]) -> None:
    text = as_markdown(Findings(plan={}, versions={}, rows=[row("Ann", "agn", 0.5)]))
    assert "not made against" not in text
    assert "Without a result" not in text


def test_universal_attacks_have_a_table_of_their_own(
    row: Callable[..., Row], crowd_row: Row
) -> None:
    both = Findings(plan={}, versions={}, rows=[row("Ann", "agn", 0.5), crowd_row])
    assert [line.attack for line in both.lines] == ["agn"]
    text = as_markdown(both)
    assert (
        "| OF10 | few | 3 | 1 | 4 craft | 80.0% | 40% to 80% | 80.0% | 10.0% | 90.0% | 20.0% |\n"
        in text
    )
    assert "| OF10 | few | 3 | 1 | 4 unseen | - | - | - | - | - | - |\n" in text
    assert "- Few subjects. (Of 1 attack the like is said.)\n" in text
    alone = as_markdown(Findings(plan={}, versions={}, rows=[crowd_row]))
    assert "met the stop value" not in alone
    assert "worn by" not in as_markdown(Findings(plan={}, versions={}, rows=[]))


def test_json_keeps_figures_unrounded(findings: Findings) -> None:
    told = json.loads(json.dumps(findings.as_json()))
    assert told["lines"][0]["held_out_success"] == 0.5
    assert told["transfers"][0]["digital"] == pytest.approx(0.6)
    assert told["cells"][1]["sentence"] == "no photos"
    assert told["doubts"] == {"OF10": ["its range is off"]}
    first, *others = told["weaknesses"]
    assert first == "OF10: its range is off."
    assert any("only 1 subjects" in sentence for sentence in others)


def test_tables_in_json_have_the_published_form(findings: Findings, crowd_row: Row) -> None:
    # Of whole results only what a command wrote can be told; the command line's tests do.
    rows = [*findings.rows, crowd_row]
    told = {**replace(findings, rows=rows).as_json(), "cells": []}
    assert len(told["curves"]) == 2
    path = ROOT / "docs" / "campaign-report.schema.json"
    schema = json.loads(path.read_text(encoding="utf-8"))
    jsonschema.validate(json.loads(json.dumps(told)), schema)
    for line in (schema["properties"][name] for name in ("lines", "curves", "transfers")):
        assert sorted(line["items"]["required"]) == sorted(line["items"]["properties"])


def test_a_directory_without_a_ledger_is_refused(tmp_path: Path) -> None:
    from agns.errors import ConfigError

    with pytest.raises(ConfigError, match="holds no campaign"):
        read_findings(tmp_path)


def test_parts_that_were_begun_with_different_versions_are_told(tmp_path: Path) -> None:
    for number, version in enumerate(("2.12", "2.13", "2.13"), 1):
        ledger = Ledger(tmp_path / f"part-{number}-of-3.sqlite")
        ledger.begin({}, (), {"torch": version})
        ledger.close()
    assert read_findings(tmp_path).weaknesses[0] == (
        "Parts were begun with different versions of torch, 2.12 in part-1-of-3.sqlite and 2.13 "
        "in part-2-of-3.sqlite, 2.13 in part-3-of-3.sqlite: their figures may differ by that."
    )
