"""What a trained recogniser gets wrong: confusion matrix, each identity's accuracy, mistakes."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Int64
from torch import Tensor

from agns.data.faces import FaceSet
from agns.evaluation.plots import draw_captioned, draw_confusion
from agns.evaluation.report import Picture, Section, Table, write_report
from agns.models.recognizer import Recognizer
from agns.storage import write_json
from agns.training.recognizer_scores import RecognizerScores, classify
from agns.types import Labels, Progress, silent

MOST_MISTAKES = 48
"""Mistakes shown, the surest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityScore:
    """How one identity's test photos were recognised."""

    identity: str
    photos: int
    recognized: int

    mistaken_for: str | None
    """The identity that most of the others were named as; None if there are no others."""

    @property
    def accuracy(self) -> float | None:
        """Share recognised; None without photos."""
        return self.recognized / self.photos if self.photos else None


def confusion_matrix(
    labels: Labels, predicted: Labels, classes: int
) -> Int64[Tensor, "classes classes"]:
    """How often photos of the identity of each row were named as that of each column."""
    return torch.bincount(labels * classes + predicted, minlength=classes**2).reshape(
        classes, classes
    )


def score_identities(
    matrix: Int64[Tensor, "classes classes"], identities: tuple[str, ...]
) -> list[IdentityScore]:
    """Each identity's own score, in the order of the classes."""
    scores = []
    for place, identity in enumerate(identities):
        row = matrix[place].clone()
        recognized = int(row[place])
        row[place] = 0
        scores.append(
            IdentityScore(
                identity=identity,
                photos=recognized + int(row.sum()),
                recognized=recognized,
                mistaken_for=identities[int(row.argmax())] if row.any() else None,
            )
        )
    return scores


def report_recognizer(
    recognizer: Recognizer,
    test: FaceSet,
    scores: RecognizerScores,
    out: Path,
    *,
    recipe: Mapping[str, object],
    saved_anew: int = 0,
    progress: Progress = silent,
) -> None:
    """Write `report.html`, with its pictures and `identities.json` beside it.

    The recogniser is in evaluation mode, and was not trained on the photos; of all photos, for
    training and tests, `saved_anew` are another one saved anew.
    """
    probabilities = classify(recognizer, test, progress=progress).softmax(1)
    surest, predicted = probabilities.max(1)
    matrix = confusion_matrix(test.labels, predicted, len(test.identities))
    rows = score_identities(matrix, test.identities)
    keys = ("photos", "recognized", "accuracy", "mistaken_for")
    write_json(
        out / "identities.json",
        {row.identity: {key: getattr(row, key) for key in keys} for row in rows},
    )
    draw_confusion(out / "confusion.png", matrix, test.identities)
    wrong = torch.nonzero(predicted != test.labels)[:, 0]
    worst = wrong[surest[wrong].argsort(descending=True, stable=True)][:MOST_MISTAKES]
    pictures = []
    if len(worst):
        captions = [
            f"{test.photos[place].rsplit('/', 1)[-1]}\nnamed "
            f"{test.identities[int(predicted[place])]}\np = {float(surest[place]):.3f}"
            for place in worst.tolist()
        ]
        draw_captioned(out / "mistakes.png", test.faces(worst), captions)
        pictures = [Picture(path=out / "mistakes.png", caption="The surest mistakes first.")]
    anew = (
        f"Of all photos, {saved_anew} look like another one saved anew: such copies were kept on "
        "one side of the split."
    )
    ordered = sorted(rows, key=lambda row: 1.0 if row.accuracy is None else row.accuracy)
    write_report(
        out / "report.html",
        f"{recognizer.arch} on photos that it was not trained on",
        [
            Section(
                title="Scores",
                words=[
                    f"{scores.accuracy:.1%} of {scores.photos} photos are recognised, "
                    f"{scores.balanced_accuracy:.1%} as a mean over the identities. Wearing "
                    f"benign eyeglasses, {scores.naive_dodging:.1%} are not.",
                    *([anew] if saved_anew else []),
                ],
            ),
            Section(
                title="Worst mistakes",
                words=[f"{len(wrong)} of {len(test)} photos are named wrongly."]
                if len(wrong)
                else ["No photo is named wrongly."],
                pictures=pictures,
            ),
            Section(
                title="Which identity is taken for which",
                pictures=[
                    Picture(
                        path=out / "confusion.png",
                        caption="Rows are the true identity, columns the one named.",
                    )
                ],
            ),
            Section(
                title="Each identity",
                table=Table(
                    head=("identity", "photos", "recognised", "accuracy", "mistaken for"),
                    rows=[
                        (
                            row.identity,
                            str(row.photos),
                            str(row.recognized),
                            "-" if row.accuracy is None else f"{row.accuracy:.1%}",
                            row.mistaken_for or "-",
                        )
                        for row in ordered
                    ],
                ),
            ),
            Section(title="Recipe", fine_print="\n".join(f"{k} = {v}" for k, v in recipe.items())),
        ],
    )
