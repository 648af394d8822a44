"""Rows of a ledger, as attacks leave them."""

from collections.abc import Callable

import pytest
from tests.evaluation.conftest import (  # noqa: F401
    apparatus,
    crowd,
    few_benign,
    gan,
    glasses,
    recognizer,
)

from agns.campaign.cells import Cell
from agns.campaign.rows import Row, TransferRow


@pytest.fixture
def row() -> Callable[..., Row]:
    """Makes the row of one attack on OF10 that is done."""

    def make(
        subject: str, attack: str, held: float, *, seed: int = 0, met: bool = True,
        craft: float = 1.0, benign: float = 0.1, score: float = 0.2,
    ) -> Row:  # fmt: skip
        rate = {"success_rate": held, "recognized": {"success_rate": None}}
        result = {
            "subject": subject, "seconds": 4, "reached_stop_value": met,
            "craft": {"success_rate": craft},
            "held_out": rate, "controls": {"benign": {"success_rate": benign}},
            "stealth": {"discriminator_score": score, "nearest_real": 0.1},
            "warnings": ["Few photos."],
        }  # fmt: skip
        cell = Cell(
            recognizer="OF10", goal="dodge", subject=subject, target=None, attack=attack, seed=seed
        )
        return Row(cell=cell, state="done", seconds=10, result=result, sentence=None)

    return make


@pytest.fixture
def transfer() -> Callable[..., TransferRow]:
    """Makes what a frame that was made against OF10 did to another recogniser."""

    def make(subject: str, digital: float, *, victim: str = "VGG10", seed: int = 0) -> TransferRow:
        cell = Cell(
            recognizer="OF10", goal="dodge", subject=subject, target=None, attack="agn", seed=seed
        )
        rates = {"digital": digital, "photographed": digital / 2, "benign": 0.1, "bare": 0.05}
        score = {name: {"success_rate": rate} for name, rate in rates.items()}
        return TransferRow(cell=cell, victim=victim, score=score, sentence=None)

    return make


@pytest.fixture
def failed() -> Row:
    """An attack that could not be made."""
    cell = Cell(recognizer="OF10", goal="dodge", subject="Dan", target=None, attack="agn", seed=0)
    return Row(cell=cell, state="failed", seconds=1, result=None, sentence="no photos")


@pytest.fixture
def crowd_row() -> Row:
    """A universal attack on OF10 that is done, with one frame to choose from."""

    def reach(rate: float | None) -> dict[str, object]:
        interval = None if rate is None else [rate / 2, rate]
        return {
            "subjects": 4, "photos": 9, "success_rate": rate, "interval": interval,
            "subjects_dodging": rate,
        }  # fmt: skip

    rates = {("attack", "picked"): 0.8, ("attack", "any"): 0.9, ("benign", "picked"): 0.1,
             ("benign", "any"): 0.2}  # fmt: skip
    points = [
        {
            "frames": 1, "group": group, "made_by": made_by, "rule": rule,
            "recognized": reach(rate if group == "craft" else None), "all": reach(0.0),
        }
        for group in ("craft", "unseen")
        for (made_by, rule), rate in rates.items()
    ]  # fmt: skip
    cell = Cell(
        recognizer="OF10", goal="universal", subject="many", target=None, attack="few", seed=3
    )
    result = {"points": points, "warnings": ["Few subjects."]}
    return Row(cell=cell, state="done", seconds=10, result=result, sentence=None)
