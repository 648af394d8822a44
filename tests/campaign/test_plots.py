"""A campaign's figures."""

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from agns.campaign.appearance import summarize_appearance
from agns.campaign.curves import summarize_queries
from agns.campaign.plots import draw_appearance, draw_queries, draw_transfer, pareto_front
from agns.campaign.records import JobRecord, TransferRecord
from agns.campaign.summary import summarize_attacks, summarize_transfers


@pytest.mark.parametrize(
    ("points", "front"),
    [
        ([(0.1, 0.9), (0.5, 0.5), (0.4, 0.4), (0.9, 0.1)], [True, True, False, True]),
        ([(0.2, 0.5), (0.3, 0.5)], [False, True]),
        ([(0.2, 0.5), (0.2, 0.5)], [True, True]),
    ],
)
def test_the_front_is_what_no_other_beats(
    points: list[tuple[float, float]], front: list[bool]
) -> None:
    assert pareto_front(points) == front


def test_pictures_show_every_recogniser_and_goal(
    record: Callable[..., JobRecord], transfer: Callable[..., TransferRecord],
    asked: Callable[..., JobRecord], tmp_path: Path,
) -> None:  # fmt: skip
    records = [record("Ann", "agn", 0.9), record("Ann", "pgd", 0.1)]
    lines = summarize_attacks(records)
    transfers = summarize_transfers([transfer("Ann", 0.4), transfer("Ann", 0.2, victim="OF143")])
    looks = summarize_appearance(records, None)
    draw_appearance(tmp_path / "appearance.png", lines, looks)
    draw_transfer(tmp_path / "transfer.png", lines, transfers)
    rows = [asked("Ann", "cmaes", 400, q20=0.2, q300=0.6), asked("Ann", "transfer", 0, q0=0.4)]
    draw_queries(tmp_path / "queries.png", summarize_queries(rows))
    for name in ("appearance.png", "transfer.png", "queries.png"):
        with Image.open(tmp_path / name) as picture:
            assert len(picture.convert("RGB").getcolors(10**6) or ()) > 50
