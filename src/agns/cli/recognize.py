"""`agns recognize`: whom a recogniser sees."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agns.cli.console import percent, prepare, print_json, say, show
from agns.cli.face_options import FaceOptions, open_faces
from agns.cli.options import (
    CenterCropOption,
    RecognizerOption,
    SkipOption,
)
from agns.loading import attacked_crop, load_victim, recorded_crop

if TYPE_CHECKING:
    import torch

    from agns.models.victim import Victim


@dataclass(frozen=True, slots=True)
class Choice:
    """One identity."""

    identity: str
    probability: float


@dataclass(frozen=True, slots=True)
class Choices:
    """Whom one photo shows, the likeliest first."""

    path: str
    top: list[Choice]


@dataclass(frozen=True, slots=True)
class Accuracy:
    """How often some photos are recognised; None where there are none."""

    photos: int
    accuracy: float | None
    balanced_accuracy: float | None


@dataclass(frozen=True, slots=True)
class FolderAccuracy:
    """How often a folder's photos are recognised, and those that training never saw."""

    path: str
    photos: int
    accuracy: float | None
    balanced_accuracy: float | None
    not_trained_on: Accuracy
    photos_of_unknown_identities: int
    skipped: int
    left_out: tuple[str, ...]
    """A sentence for each picture that does not decode, and for each file that is no picture."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """One photo that was skipped, and why."""

    path: str
    left_out: str


def recognize(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH...", help="Photos, or face folders.")
    ],
    recognizer: RecognizerOption = None,
    center_crop: CenterCropOption = None,
    skip_unreadable: SkipOption = False,
    top: Annotated[int, typer.Option(help="Identities to list for each photo.", min=1)] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead.")] = False,
) -> None:
    """Say whom a recogniser sees in photos, or how often it is right on a face folder."""
    from agns.errors import UnreadableImage
    from agns.models.record import photos_seen
    from agns.models.victim import freeze

    prepare()
    victim = load_victim(recognizer)
    frozen = freeze(victim.recognizer)
    crop = recorded_crop(victim.metadata) if center_crop is None else center_crop
    if any(path.is_dir() for path in paths):
        # Which of a folder's photos it was trained on is told by photos cut as it saw them.
        crop = attacked_crop(victim, center_crop)
    seen = photos_seen(victim.metadata)
    results: list[Choices | FolderAccuracy | LeftOut] = []
    bad: list[UnreadableImage] = []
    for path in paths:
        if path.is_dir():
            options = FaceOptions(
                root=path, center_crop=crop, skip_unreadable=skip_unreadable, to_split=False
            )
            results.append(_measured(frozen, options, seen))
            continue
        try:
            results.append(_first_choices(frozen, path, crop, top))
        except UnreadableImage as error:
            bad.append(error)
            results.append(LeftOut(str(path), str(error)))
    if bad and not skip_unreadable:
        raise UnreadableImage.together(bad)
    if bad and all(isinstance(result, LeftOut) for result in results):
        raise bad[-1]
    if as_json:
        print_json([asdict(result) for result in results])
        return
    for result in results:
        say(result.path)
        if isinstance(result, Choices):
            rows = [(choice.identity, f"{choice.probability:.3f}") for choice in result.top]
            show(("identity", ">probability"), rows)
        elif isinstance(result, LeftOut):
            say(f"Left out: {result.left_out}")
        else:
            _show_folder(result)


def _show_folder(result: FolderAccuracy) -> None:
    everything = Accuracy(result.photos, result.accuracy, result.balanced_accuracy)
    rows = [
        (name, str(some.photos), percent(some.accuracy), percent(some.balanced_accuracy))
        for name, some in (("all", everything), ("not trained on", result.not_trained_on))
    ]
    show(("", ">photos", ">accuracy", ">balanced"), rows)
    if result.photos_of_unknown_identities:
        say(
            f"{result.photos_of_unknown_identities} photos of identities that the recogniser "
            "does not know were left out."
        )
    for sentence in result.left_out[: result.skipped]:
        say(sentence)


def _first_choices(recognizer: "Victim", path: Path, crop: int | None, top: int) -> Choices:
    import torch

    from agns.data.cache import decode_face
    from agns.images import from_pixels

    face = from_pixels(torch.from_numpy(decode_face(path, center_crop=crop))[None])
    with torch.no_grad():
        probabilities = recognizer(face).softmax(1)[0]
    values, indices = probabilities.topk(min(top, len(probabilities)))
    return Choices(
        str(path),
        [
            Choice(recognizer.identities[index], value)
            for value, index in zip(values.tolist(), indices.tolist(), strict=True)
        ],
    )


def _measured(recognizer: "Victim", options: FaceOptions, seen: frozenset[str]) -> FolderAccuracy:
    import torch

    from agns.data.twins import were_seen
    from agns.errors import DataError
    from agns.training.recognizer_scores import balanced_accuracy, classify

    faces = open_faces(options, quiet=True)
    classes = [
        recognizer.identities.index(name) if name in recognizer.identities else -1
        for name in faces.identities
    ]
    labels = torch.tensor(classes)[faces.labels]
    known = labels >= 0
    if not known.any():
        raise DataError(
            f"none of the identities in {options.root} is one that the recogniser knows"
        )
    chosen, labels = faces.subset(known.nonzero()[:, 0]), labels[known]
    predicted = classify(recognizer, chosen).argmax(1)

    def accuracy(some: "torch.Tensor") -> Accuracy:
        if not some.any():
            return Accuracy(0, None, None)
        right = (predicted == labels)[some].float().mean()
        return Accuracy(
            int(some.sum()), float(right), balanced_accuracy(predicted[some], labels[some])
        )

    unseen = ~were_seen(chosen, seen)
    whole = accuracy(torch.ones_like(unseen))
    return FolderAccuracy(
        path=str(options.root),
        photos=whole.photos,
        accuracy=whole.accuracy,
        balanced_accuracy=whole.balanced_accuracy,
        not_trained_on=accuracy(unseen),
        photos_of_unknown_identities=int((~known).sum()),
        skipped=len(faces.skipped),
        left_out=(
            *faces.skipped,
            *(f"{one.name} was left out: {one.why}" for one in faces.left_out),
        ),
    )
