"""The report on a recogniser, against direct counts."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from agns.data.faces import FaceSet
from agns.data.simulation.synthetic import SyntheticConfig, synthetic_faces
from agns.decoding import read_pixels
from agns.evaluation.recognizer_report import (
    confusion_matrix,
    report_recognizer,
    score_identities,
)
from agns.models.recognizer import Recognizer, build_recognizer
from agns.storage import read_json
from agns.training.recognizer_scores import RecognizerScores, classify

NAMES = ("Ann", "Bob", "Cyd")


def test_rows_are_the_true_identity_and_columns_the_one_named() -> None:
    labels, predicted = torch.tensor([0, 0, 0, 2, 2]), torch.tensor([0, 1, 1, 0, 2])
    assert confusion_matrix(labels, predicted, 3).tolist() == [[1, 2, 0], [0, 0, 0], [1, 0, 1]]


def test_each_identity_has_its_own_score_and_its_likeliest_double() -> None:
    scores = score_identities(torch.tensor([[1, 2, 0], [0, 0, 0], [0, 0, 4]]), NAMES)
    found = [(row.photos, row.recognized, row.accuracy, row.mistaken_for) for row in scores]
    assert found == [(3, 1, 1 / 3, "Bob"), (0, 0, None, None), (4, 4, 1, None)]


@pytest.fixture
def faces() -> FaceSet:
    drawn = synthetic_faces(SyntheticConfig(identities=3, photos=2))
    return replace(drawn, identities=NAMES)


@pytest.fixture
def recognizer(generator: torch.Generator) -> Recognizer:
    return build_recognizer("of", NAMES, rng=generator).eval()


SCORES = RecognizerScores(
    photos=6, accuracy=0.5, balanced_accuracy=0.25, naive_dodging=0.125,
    naive_dodging_recognized=0.1, median_true_probability=0.4,
)  # fmt: skip


def test_the_report_shows_scores_mistakes_and_each_identity(
    tmp_path: Path, faces: FaceSet, recognizer: Recognizer
) -> None:
    report_recognizer(recognizer, faces, SCORES, tmp_path, recipe={"epochs": 7})
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    for words in ("50.0% of 6 photos", "25.0% as a mean", "12.5% are not", "epochs = 7", *NAMES):
        assert words in text
    predicted = classify(recognizer, faces).argmax(1)
    wrong = int((predicted != faces.labels).sum())
    assert f"{wrong} of 6 photos are named wrongly." in text
    written = read_json(tmp_path / "identities.json")
    assert sum(row["recognized"] for row in written.values()) == 6 - wrong
    assert {name: row["photos"] for name, row in written.items()} == dict.fromkeys(NAMES, 2)
    for picture in ("confusion.png", "mistakes.png"):
        assert read_pixels(tmp_path / picture).std() > 5


def test_a_recogniser_without_mistakes_has_no_page_of_them(
    tmp_path: Path, faces: FaceSet, recognizer: Recognizer
) -> None:
    right = replace(faces, labels=classify(recognizer, faces).argmax(1))
    report_recognizer(recognizer, right, SCORES, tmp_path, recipe={})
    assert "No photo is named wrongly." in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert not (tmp_path / "mistakes.png").exists()
