"""`agns recognize`: whom a recogniser sees."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from agns.cli.console import percent, prepare, print_json, say, show
from agns.cli.face_options import FaceOptions, open_faces
from agns.cli.options import (
    CenterCropOption,
    RecognizerOption,
    SkipOption,
)
from agns.loading import attacked_crop, load_victim
from agns.models.record import recorded_crop

if TYPE_CHECKING:
    import torch

    from agns.models.victim import Victim

Found: TypeAlias = tuple[dict[str, object], Callable[[], None]]
"""What JSON has of one path, and what says the same in words."""


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
    from agns.models.record import photos_enrolled, photos_seen
    from agns.models.victim import freeze

    prepare()
    victim = load_victim(recognizer)
    frozen = freeze(victim.recognizer)
    crop = recorded_crop(victim.metadata) if center_crop is None else center_crop
    if any(path.is_dir() for path in paths):
        # Which of a folder's photos it was trained on is told by photos cut as it saw them.
        crop = attacked_crop(victim, center_crop)
    seen = photos_seen(victim.metadata)
    known_by = "enrolled with" if photos_enrolled(victim.metadata) else "trained on"
    results: list[Found] = []
    bad: list[UnreadableImage] = []
    for path in paths:
        if path.is_dir():
            options = FaceOptions(
                root=path, center_crop=crop, skip_unreadable=skip_unreadable, to_split=False
            )
            results.append(_measure_folder(frozen, options, seen, known_by))
            continue
        try:
            results.append(_recognize_photo(frozen, path, crop, top))
        except UnreadableImage as error:
            bad.append(error)
            results.append(({"left_out": str(error)}, partial(say, f"Left out: {error}")))
    if bad and not skip_unreadable:
        raise UnreadableImage.together(bad)
    if len(bad) == len(paths):
        raise bad[-1]
    if as_json:
        print_json(
            [
                {"path": str(path), **result}
                for path, (result, _) in zip(paths, results, strict=True)
            ]
        )
        return
    for path, (_, tell) in zip(paths, results, strict=True):
        say(str(path))
        tell()


def likeliest(recognizer: "Victim", logits: "torch.Tensor", top: int) -> list[tuple[str, float]]:
    """The identities that come first for one face, with their probabilities.

    Args:
        recognizer: Whose logits they are.
        logits: (identities,).
        top: How many, at most.
    """
    from agns.attack.goals import with_nobody
    from agns.models.victim import task_of

    logits, names = logits[None], recognizer.identities
    if task_of(recognizer) == "open-set":
        logits, names = with_nobody(logits), (*names, "nobody")
    # A claim is judged by its own comparison alone.
    claims = task_of(recognizer) == "verification"
    probabilities = (logits.sigmoid() if claims else logits.softmax(1))[0]
    values, indices = probabilities.topk(min(top, len(probabilities)))
    return [
        (names[index], value)
        for index, value in zip(indices.tolist(), values.tolist(), strict=True)
    ]


def _recognize_photo(recognizer: "Victim", path: Path, crop: int | None, top: int) -> Found:
    import torch

    from agns.data.cache import decode_face
    from agns.images import from_pixels

    face = from_pixels(torch.from_numpy(decode_face(path, center_crop=crop))[None])
    with torch.no_grad():
        choices = likeliest(recognizer, recognizer(face)[0], top)
    rows = [(name, f"{value:.3f}") for name, value in choices]
    return (
        {"top": [{"identity": name, "probability": value} for name, value in choices]},
        partial(show, ("identity", ">probability"), rows),
    )


def _measure_folder(
    recognizer: "Victim", options: FaceOptions, seen: frozenset[str], known_by: str
) -> Found:
    """How often it is right on all photos, and on those that it does not know.

    Args:
        recognizer: In evaluation mode.
        options: Where the photos are.
        seen: Digests of those that it knows; none where nobody knows which.
        known_by: What it was with these.
    """
    import torch

    from agns.attack.goals import taken_for
    from agns.data.twins import were_seen
    from agns.errors import DataError
    from agns.models.victim import task_of
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
    accepted = taken_for(classify(recognizer, chosen), labels, task_of(recognizer))
    predicted = torch.where(accepted, labels, -1)

    def accuracy(some: "torch.Tensor") -> dict[str, float | None]:
        named, right = predicted[some], labels[some]
        return {
            "photos": len(right),
            "accuracy": float((named == right).float().mean()) if len(right) else None,
            "balanced_accuracy": balanced_accuracy(named, right) if len(right) else None,
        }

    unseen = ~were_seen(chosen, seen)
    parts = {"all": accuracy(torch.ones_like(unseen))}
    if seen:
        parts[f"not {known_by}"] = accuracy(unseen)
    unknown = int((~known).sum())

    def tell() -> None:
        rows = [
            (name, str(part["photos"]), *(percent(part[key]) for key in list(part)[1:]))
            for name, part in parts.items()
        ]
        show(("", ">photos", ">accuracy", ">balanced"), rows)
        if not seen:
            say("The recogniser's file does not say which photos it was trained on.")
        if unknown:
            say(f"{unknown} photos of identities that the recogniser does not know were left out.")
        for sentence in faces.skipped:
            say(sentence)

    passed_over = [f"{one.name} was left out: {one.why}" for one in faces.left_out]
    return {
        **parts["all"],
        "not_trained_on": parts.get(f"not {known_by}"),
        "photos_of_unknown_identities": unknown,
        "skipped": len(faces.skipped),
        "left_out": [*faces.skipped, *passed_over],
    }, tell
