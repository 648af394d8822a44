"""Frames on recognisers that they were not made against."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from agns.data.faces import FaceSet
from agns.errors import ConfigError, DataError
from agns.evaluation.attack_setup import AttackSetup
from agns.evaluation.campaign.cells import Cell
from agns.evaluation.campaign.ledger import Ledger
from agns.evaluation.campaign.rows import TransferRow
from agns.evaluation.campaign.transfer import score_frame, tabulate_transfers

FRAME = torch.full((1, 3, 64, 176), 0.5)
RESULT = {"subject": "Ann", "target": None, "stop_value": 0.01, "seed": 4, "craft_digests": [],
          "photos": {"craft": []}}  # fmt: skip


def score(setup: AttackSetup, crowd: FaceSet, **changes: object) -> dict[str, Any]:
    return score_frame(FRAME, {**RESULT, **changes}, setup, crowd, control_frames=2)


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


def test_subjects_count_alike_in_the_table(transfer: Callable[..., TransferRow]) -> None:
    rows = [transfer("Ann", 1.0), transfer("Ann", 0.6, seed=1), transfer("Bob", 0.2)]
    unknown = replace(transfer("Cy", 0.5), score=None, sentence="no photos")
    (line,) = tabulate_transfers([*rows, unknown])
    assert (line.made_against, line.scored_on, line.subjects) == ("OF10", "VGG10", 2)
    assert line.digital == pytest.approx((0.8 + 0.2) / 2)
    assert line.digital_interval == pytest.approx((0.2, 0.8))
    assert line.photographed == pytest.approx(0.25)


def test_the_ledger_keeps_what_was_entered_last(tmp_path: Path) -> None:
    cell = Cell(recognizer="a", goal="dodge", subject="Ann", target=None, attack="agn", seed=0)
    ledger = Ledger(tmp_path / "campaign.sqlite")
    ledger.begin({}, [cell], {})
    ledger.enter_transfer(cell, "b", {"sentence": "nobody knows"})
    ledger.enter_transfer(cell, "b", {"digital": 1})
    ledger.enter_transfer(cell, "c", {"sentence": "nobody knows"})
    first, second = ledger.transfers()
    assert first == TransferRow(cell=cell, victim="b", score={"digital": 1}, sentence=None)
    assert second == TransferRow(cell=cell, victim="c", score=None, sentence="nobody knows")
    ledger.close()
