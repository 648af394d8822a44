"""Rows of a ledger, as attacks leave them."""

from collections.abc import Callable

import pytest

from agns.evaluation.campaign.cells import Cell
from agns.evaluation.campaign.ledger import Row


@pytest.fixture
def row() -> Callable[..., Row]:
    """Makes the row of one attack on OF10 that is done."""

    def make(
        subject: str, attack: str, held: float, *, seed: int = 0, met: bool = True,
        craft: float = 1.0, benign: float = 0.1,
    ) -> Row:  # fmt: skip
        rate = {"success_rate": held, "recognized": {"success_rate": None}}
        result = {
            "subject": subject, "reached_stop_value": met, "craft": {"success_rate": craft},
            "held_out": rate, "controls": {"benign": {"success_rate": benign}},
            "stealth": {"discriminator_score": 0.2}, "warnings": ["Few photos."],
        }  # fmt: skip
        cell = Cell(
            recognizer="OF10", goal="dodge", subject=subject, target=None, attack=attack, seed=seed
        )
        return Row(cell=cell, state="done", seconds=10, result=result, sentence=None)

    return make


@pytest.fixture
def failed() -> Row:
    """An attack that could not be made."""
    cell = Cell(recognizer="OF10", goal="dodge", subject="Dan", target=None, attack="agn", seed=0)
    return Row(cell=cell, state="failed", seconds=1, result=None, sentence="no photos")
