"""How a campaign's frames look, over all its attacks of a kind."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from agns.accessory.frame import frame_mask
from agns.campaign.appearance import FEWEST, appearance_table, summarize_appearance
from agns.campaign.records import JobRecord
from agns.data.simulation.drawn_frames import PARTS, draw_frames
from agns.evaluation.judges import Appearance
from agns.evaluation.score import AttackScore
from agns.images import from_pixels, write_image


@pytest.fixture
def seen(record: Callable[..., JobRecord]) -> Callable[..., JobRecord]:
    """Makes the record of an attack, by what judges say of its frame."""

    def make(subject: str, worst: float, sealed: float | None, attack: str = "agn") -> JobRecord:
        done = record(subject, attack, 0.5)
        assert isinstance(done.result, AttackScore)
        appearance = Appearance(patches=worst, whole=0.1, variation=0.2, sealed=sealed)
        stealth = replace(done.result.stealth, appearance=appearance)
        return replace(done, result=replace(done.result, stealth=stealth))

    return make


def test_frames_that_pass_are_counted_by_kind_of_attack(seen: Callable[..., JobRecord]) -> None:
    records = [
        seen("Ann", 0.5, 1.0), seen("Bob", 0.99, 1.0), seen("Cid", 0.6, -1.0),
        seen("Ann", 1.0, -2.0, "pgd"),
    ]  # fmt: skip
    first, second = summarize_appearance(records, None)
    assert (first.attack, first.frames, first.natural, first.sealed) == ("agn", 3, 1, 2)
    assert first.worst == pytest.approx(0.6)
    low, high = first.natural_interval
    assert low < 1 / 3 < high
    assert (second.attack, second.natural, second.sealed, second.told_apart) == ("pgd", 0, 0, None)


def test_results_of_before_and_of_other_real_frames_are_told_so(
    record: Callable[..., JobRecord], seen: Callable[..., JobRecord]
) -> None:
    before = record("Ann", "agn", 0.5)
    assert isinstance(before.result, AttackScore)
    stealth = replace(before.result.stealth, appearance=None)
    before = replace(before, result=replace(before.result, stealth=stealth))
    assert summarize_appearance([before], None) == []
    (own,) = summarize_appearance([seen("Ann", 0.5, None)], None)
    assert (own.natural, own.sealed) == (1, None)
    row = appearance_table([own]).rows[0]
    assert row[:7] == ("OF10", "dodge", "agn", "1", "1", "21% to 100%", "-")


@pytest.mark.parametrize("real", [True, False])
def test_a_classifier_tells_frames_of_an_attack_from_real_ones(
    seen: Callable[..., JobRecord], tmp_path: Path, *, real: bool
) -> None:
    records = [seen(f"P{number}", 0.5, 1.0) for number in range(2 * FEWEST)]
    frames = from_pixels(draw_frames(len(records), start=PARTS["judges"].start + 1500))
    if not real:
        generator = torch.Generator().manual_seed(0)
        frames = torch.rand(frames.shape, generator=generator) * frame_mask()
    for record, frame in zip(records, frames, strict=True):
        write_image(record.job.folder(tmp_path) / "frame.png", frame)
    (found,) = summarize_appearance(records, tmp_path)
    assert found.told_apart is not None
    assert found.told_apart_interval is not None
    assert (found.told_apart_interval[0] > 0.5) == (not real)
    (few,) = summarize_appearance(records[: FEWEST - 1], tmp_path)
    assert few.told_apart is None
