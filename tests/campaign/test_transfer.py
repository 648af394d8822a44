"""Frames on recognisers that they were not made against."""

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.campaign.conftest import attack_score

from agns.campaign.jobs import Job
from agns.campaign.ledger import Ledger
from agns.campaign.records import TransferRecord
from agns.campaign.summary import summarize_transfers
from agns.campaign.transfer import score_frame
from agns.data.faces import FaceSet
from agns.errors import ConfigError, DataError
from agns.evaluation.attack_setup import AttackSetup

FRAME = torch.full((1, 3, 64, 176), 0.5)
RESULT = attack_score("Ann", seed=4)


def score(setup: AttackSetup, crowd: FaceSet, **changes: object) -> dict[str, Any]:
    result = replace(RESULT, **changes)
    return asdict(score_frame(FRAME, result, setup, crowd, controls=2))


def test_frames_are_scored_worn_and_photographed_and_beside_benign_ones(
    setup: AttackSetup, crowd: FaceSet
) -> None:
    found = score(setup, crowd)
    assert set(found) == {"digital", "photographed", "benign", "bare"}
    assert {part["images"] for part in found.values()} == {len(crowd.places_of("Ann"))}
    assert found["digital"]["mean_probability"] != found["photographed"]["mean_probability"]
    assert found == score(setup, crowd)


def test_photos_that_either_side_has_seen_do_not_count(setup: AttackSetup, crowd: FaceSet) -> None:
    own = [crowd.digests[place] for place in crowd.places_of("Ann").tolist()]
    found = score(setup, crowd, craft_digests=own[:2])
    assert found["digital"]["images"] == len(own) - 2
    elsewhere = [f"raw/{Path(photo).stem}.jpg" for photo in crowd.of("Ann").photos]
    found = score(setup, crowd, photos={"craft": elsewhere[:3]})
    assert found["digital"]["images"] == len(own) - 3
    knowing = replace(setup, metadata={"training_photos": own[2:4]})
    assert score(knowing, crowd)["digital"]["images"] == len(own) - 2
    with pytest.raises(DataError, match="has seen every photo of Ann"):
        score(setup, crowd, craft_digests=own)


def test_people_whom_the_other_does_not_know_are_refused(
    setup: AttackSetup, crowd: FaceSet
) -> None:
    with pytest.raises(ConfigError, match="does not know 'Zoe'"):
        score(setup, crowd, target="Zoe")


def test_subjects_count_alike_in_the_table(transfer: Callable[..., TransferRecord]) -> None:
    rows = [transfer("Ann", 1.0), transfer("Ann", 0.6, seed=1), transfer("Bob", 0.2)]
    unknown = replace(transfer("Cy", 0.5), score=None, sentence="no photos")
    (line,) = summarize_transfers([*rows, unknown])
    assert (line.made_against, line.scored_on, line.subjects) == ("OF10", "VGG10", 2)
    assert line.digital == pytest.approx((0.8 + 0.2) / 2)
    assert line.digital_interval == pytest.approx((0.2, 0.8))
    assert line.photographed == pytest.approx(0.25)


def test_the_ledger_keeps_what_was_entered_last(
    tmp_path: Path, transfer: Callable[..., TransferRecord]
) -> None:
    job = Job(recognizer="a", goal="dodge", subject="Ann", target=None, attack="agn", seed=0)
    ledger = Ledger(tmp_path / "campaign.sqlite")
    ledger.begin({}, [job], {})
    score = transfer("Ann", 0.1).score
    assert score is not None
    ledger.enter_transfer(job, "b", "nobody knows")
    ledger.enter_transfer(job, "b", score)
    ledger.enter_transfer(job, "c", "nobody knows")
    first, second = ledger.transfers()
    assert first == TransferRecord(job=job, victim="b", score=score, sentence=None)
    assert second == TransferRecord(job=job, victim="c", score=None, sentence="nobody knows")
    ledger.close()
