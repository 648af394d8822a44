"""What attacks wrote, read back as the types that were written."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.campaign.conftest import attack_score, make_job, written

from agns.campaign.curves import summarize_universal, summarize_universal_points
from agns.campaign.jobs import Job
from agns.campaign.records import JobRecord, TransferRecord, read_result, read_score
from agns.campaign.summary import summarize_attacks
from agns.errors import DataError
from agns.evaluation.universal_report import ChosenFrame

RESULTS = Path(__file__).parents[2] / "results"


def same(one: Any, other: Any) -> bool:
    """Whether two scores are alike, which know each other by identity alone."""
    return type(one) is type(other) and written(one) == written(other)


def test_a_result_comes_back_as_it_was(universal_record: JobRecord) -> None:
    score = attack_score("Zo\udce9")
    assert same(read_result(written(score), make_job("Ann")), score)
    chosen = ChosenFrame(cluster=0, coverage=0.5, stealth=score.stealth)
    assert universal_record.result is not None
    universal = replace(universal_record.result, chosen=[chosen])
    assert read_result(written(universal), universal_record.job) == universal


def test_a_score_comes_back_as_it_was(transfer: Callable[..., TransferRecord]) -> None:
    record = transfer("Ann", 0.25)
    assert read_score(written(record.score), record.job) == record.score


def test_keys_of_other_versions_are_passed_over_and_what_may_be_missing_is_usual() -> None:
    told = written(attack_score())
    told["craft"]["later"] = told["later"] = 1
    del told["held_out_digests"], told["saved_anew"]
    assert same(read_result(told, make_job("Ann")), attack_score())


def test_what_is_needed_and_missing_is_told_in_a_sentence() -> None:
    told, job = written(attack_score()), make_job("Ann")
    del told["held_out"]["success_rate"]
    with pytest.raises(DataError, match=f"the result of {job.key} cannot be read, held_out.succ"):
        read_result(told, job)


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*/report.json")))
def test_results_of_older_versions_come_to_the_same_numbers(path: Path) -> None:
    told = json.loads(path.read_text(encoding="utf-8"))
    records = [
        JobRecord(
            job=(job := Job(**one["cell"])), state=one["state"],
            result=one["result"] and read_result(one["result"], job),
        )
        for one in told["cells"]
    ]  # fmt: skip
    # What summaries did not hold then is left out.
    both = zip(summarize_attacks(records, told["plan"]), told["lines"], strict=True)
    lines = [{name: written(one)[name] for name in known} for one, known in both]
    assert lines == told["lines"]
    assert [written(one) for one in summarize_universal(records)] == told.get("curves", [])
    at_points = [written(one) for one in summarize_universal_points(records)]
    assert at_points == told.get("curves_at_points", [])
