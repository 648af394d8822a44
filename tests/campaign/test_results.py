"""What a campaign found, as Markdown and as JSON in its published form."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from agns.campaign import report
from agns.campaign.ledger import Ledger
from agns.campaign.records import JobRecord, TransferRecord
from agns.campaign.results import Results, read_results
from agns.evaluation.report import as_markdown
from agns.evaluation.universal_report import UniversalReport

ROOT = Path(__file__).parents[2]
_TABLES = (
    "lines", "operating_points", "by_queries", "curves", "curves_at_points", "transfers",
)  # fmt: skip


@pytest.fixture
def markdown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Results], str]:
    """A report as Markdown, for which nothing is drawn."""
    for name in ("draw_intervals", "draw_queries", "draw_appearance", "draw_transfer"):
        monkeypatch.setattr(report, name, lambda *_: None)
    return lambda results: as_markdown(report.report_sections(tmp_path, results))


@pytest.fixture
def results(
    record: Callable[..., JobRecord], transfer: Callable[..., TransferRecord], failed: JobRecord
) -> Results:
    return Results(
        plan={
            "published": [
                {"recognizer": "OF10", "goal": "dodge", "attack": "agn", "percent": 100.0},
                {"recognizer": "OF10", "goal": "dodge", "attack": "pgd", "percent": 43.0},
            ]
        },
        versions={"agns": "0"},
        records=[record("Ann", "agn", 0.5, met=False), failed],
        transferred=[
            transfer("Ann", 0.4),
            transfer("Bob", 0.8),
            replace(transfer("Cy", 0.5), score=None, sentence="every photo is known"),
        ],
        warnings={"OF10": ["its range is off"]},
    )


def test_markdown_holds_what_was_measured_and_what_speaks_against_it(
    results: Results, markdown: Callable[[Results], str]
) -> None:
    text = markdown(results)
    assert "| OF10 | dodge | agn | 1 of 2 | 1 | 0% (0% to 79%) | 100% | 100% | 50.0% |" in text
    assert "| OF10 | dodge | Dan | agn | 0 | no photos |" in text
    assert "| dodge | agn | OF10 | VGG10 | 2 | 60.0% | 40% to 80% | 30.0% | 10.0% | 5.0% |" in text
    assert "| OF10 on VGG10 | dodge | Cy | agn | 0 | every photo is known |" in text
    assert text.startswith("## What weakens these numbers\n\n- OF10: its range is off.")


def test_names_and_sentences_stay_within_their_cells_and_lines_of_markdown(
    record: Callable[..., JobRecord],
    universal_record: JobRecord,
    transfer: Callable[..., TransferRecord],
    failed: JobRecord,
    markdown: Callable[[Results], str],
) -> None:
    name, jobs = "a|`b`\n# c", []
    for one in (record("Ann", "agn", 0.5), universal_record, failed):
        job = replace(one.job, recognizer=name, attack=name)
        jobs.append(replace(one, job=job, sentence=one.sentence and name))
    scored = replace(transfer("Ann", 0.4), job=jobs[0].job, victim=name)
    text = markdown(
        Results(plan={}, versions={}, records=jobs, transferred=[scored], warnings={name: [name]})
    )
    assert name.replace("|", "\\|") not in text
    assert "\n# c" not in text
    assert text.count("a\\|\\`b\\`\\\\n# c") >= 9


def test_a_campaign_without_transfers_has_no_table_of_them(
    record: Callable[..., JobRecord], markdown: Callable[[Results], str]
) -> None:
    text = markdown(Results(plan={}, versions={}, records=[record("Ann", "agn", 0.5)]))
    assert "Frames on other recognisers" not in text
    assert "Without a result" not in text


def test_attacks_that_only_ask_have_a_table_over_queries(
    record: Callable[..., JobRecord],
    asked: Callable[..., JobRecord],
    markdown: Callable[[Results], str],
) -> None:
    rows = [record("Ann", "agn", 0.5), asked("Ann", "cmaes", 64, q20=0.25, q50=0.75)]
    text = markdown(Results(plan={}, versions={}, records=rows))
    assert "| OF10 | dodge | cmaes | 32 | 1 | 25.0% | " in text
    assert "| OF10 | dodge | cmaes | 64 | 1 | 75.0% | " in text
    assert "against queries" not in markdown(Results(plan={}, versions={}, records=rows[:1]))


def test_universal_attacks_have_a_table_of_their_own(
    record: Callable[..., JobRecord],
    universal_record: JobRecord,
    markdown: Callable[[Results], str],
) -> None:
    both = Results(plan={}, versions={}, records=[record("Ann", "agn", 0.5), universal_record])
    assert [one.attack for one in both.attacks] == ["agn"]
    text = markdown(both)
    assert (
        "| OF10 | few | 3 | 1 | 4 craft | 80.0% | 40% to 80% | 80.0% | 10.0% | 90.0% | 20.0% |\n"
        in text
    )
    assert "| OF10 | few | 3 | 1 | 4 unseen | - | - | - | - | - | - |\n" in text
    assert "- Few subjects. (Of 1 attack the like is said.)\n" in text
    alone = markdown(Results(plan={}, versions={}, records=[universal_record]))
    assert "met the stop value" not in alone
    assert "worn by" not in markdown(Results(plan={}, versions={}, records=[]))


def test_galleries_have_a_table_of_their_operating_points(
    at_points: Callable[..., JobRecord], record: Callable[..., JobRecord],
    markdown: Callable[[Results], str],
) -> None:  # fmt: skip
    gallery = at_points("Ann", {0.001: 0.5})
    text = markdown(Results(plan={}, versions={}, records=[gallery]))
    assert "| OF10 | dodge | agn | 0.001 | 1 | 50.0% | 5% to 95% | - | 20.0% | 5.0% |\n" in text
    alone = markdown(Results(plan={}, versions={}, records=[record("Ann", "agn", 0.5)]))
    assert "operating points" not in alone


def test_frames_for_many_have_a_table_of_a_gallerys_operating_points(
    universal_record: JobRecord, markdown: Callable[[Results], str]
) -> None:
    text = markdown(Results(plan={}, versions={}, records=[universal_record]))
    assert (
        "| OF10 | few | 3 | 0.01 | 1 | 4 craft | 80.0% | 40% to 80% | 80.0% | 10.0% | 5.0% |\n"
    ) in text
    assert isinstance(universal_record.result, UniversalReport)
    result = replace(universal_record.result, operating_points=[])
    alone = replace(universal_record, result=result)
    assert "operating points" not in markdown(Results(plan={}, versions={}, records=[alone]))


def test_json_keeps_figures_unrounded(results: Results) -> None:
    told = json.loads(json.dumps(results.as_json()))
    assert told["lines"][0]["held_out_success"] == 0.5
    assert told["transfers"][0]["digital"] == pytest.approx(0.6)
    assert told["cells"][1]["sentence"] == "no photos"
    assert told["doubts"] == {"OF10": ["its range is off"]}
    first, *others = told["weaknesses"]
    assert first == "OF10: its range is off."
    assert any("only 1 subjects" in sentence for sentence in others)


def test_tables_in_json_have_the_published_form(
    results: Results,
    universal_record: JobRecord,
    at_points: Callable[..., JobRecord],
    asked: Callable[..., JobRecord],
) -> None:
    # Of whole results only what a command wrote can be told; the command line's tests do.
    rows = [*results.records, universal_record, at_points("Ann", {0.001: 0.5})]
    rows.append(asked("Ann", "cmaes", 400, q20=0.2))
    told = {**replace(results, records=rows).as_json(), "cells": []}
    assert (len(told["curves"]), len(told["operating_points"])) == (2, 1)
    assert [(one["false_accept_rate"], one["bare"]) for one in told["curves_at_points"]] == [
        (0.01, 0.05), (0.01, None),
    ]  # fmt: skip
    path = ROOT / "docs" / "campaign-report.schema.json"
    schema = json.loads(path.read_text(encoding="utf-8"))
    jsonschema.validate(json.loads(json.dumps(told)), schema)
    for line in (schema["properties"][name] for name in _TABLES):
        assert sorted(line["items"]["required"]) == sorted(line["items"]["properties"])


def test_a_directory_without_a_ledger_is_refused(tmp_path: Path) -> None:
    from agns.errors import ConfigError

    with pytest.raises(ConfigError, match="holds no campaign"):
        read_results(tmp_path)


def test_parts_that_were_begun_with_different_versions_are_told(tmp_path: Path) -> None:
    for number, version in enumerate(("2.12", "2.13", "2.13"), 1):
        ledger = Ledger(tmp_path / f"part-{number}-of-3.sqlite")
        ledger.begin({}, (), {"torch": version})
        ledger.close()
    assert read_results(tmp_path).weaknesses[0] == (
        "Parts were begun with different versions of torch, 2.12 in part-1-of-3.sqlite and 2.13 "
        "in part-2-of-3.sqlite, 2.13 in part-3-of-3.sqlite: their numbers may differ by that."
    )
