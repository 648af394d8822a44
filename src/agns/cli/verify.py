"""`agns verify`: how well an embedding tells people apart."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from agns.cli.console import bar, prepare, print_json, say, show
from agns.cli.face_options import FaceOptions, open_faces
from agns.cli.options import CenterCropOption, EmbedderOption, SeedOption, SkipOption


def verify(
    faces: Annotated[Path, typer.Argument(metavar="DIR", help="Face folder.")],
    embedder: EmbedderOption = "dlib",
    photos: Annotated[
        int, typer.Option(help="The first so many of each person; 0 for all.", min=0)
    ] = 11,
    center_crop: CenterCropOption = None,
    skip_unreadable: SkipOption = False,
    seed: SeedOption = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead.")] = False,
) -> None:
    """Say how well an embedding tells whether two photos show one person."""
    from agns.evaluation.verification import measure_embedder
    from agns.models.opening import load_embedder

    prepare()
    network = load_embedder(embedder)
    options = FaceOptions(
        root=faces, center_crop=center_crop, skip_unreadable=skip_unreadable, to_split=False
    )
    everybody = open_faces(options, quiet=as_json)
    with bar("Embedding photos") as progress:
        scores = measure_embedder(
            network, everybody, photos=photos or None, seed=seed, progress=progress
        )
    if as_json:
        named = {"embedder": embedder, "name": network.name, "faces": options.source}
        print_json({**named, **asdict(scores)})
        return
    folds = scores.ten_fold
    known = network.name.lower() in embedder.lower()
    called = embedder if known else f"{network.name} ({embedder})"
    say(f"{scores.photos:,} photos of {scores.people} people, compared by {called}")
    number = "Ten" if folds.folds == 10 else folds.folds
    say(
        f"{number}-fold accuracy on {folds.pairs:,} pairs: {folds.accuracy:.2%} "
        f"(standard error {folds.standard_error:.2%}), best threshold {scores.threshold:.3f}; "
        f"equal error rate {folds.eer:.1%}"
    )
    if scores.rank_1 is not None:
        say(f"Nearest to the mean of their own person's first five photos: {scores.rank_1:.1%}")
    pairs = f"{scores.genuine:,} genuine and {scores.impostors:,} impostor pairs"
    if not scores.acceptance:
        say(f"The {pairs} are too few for true accepts at a false-accept rate of 1e-2.")
        return
    say(f"Over all {pairs}:")
    show(
        (">false accepts", ">distance below", ">true accepts"),
        [
            (
                f"{one.false_accept_rate:g}",
                f"{one.threshold:.4f}",
                f"{one.true_accept_rate:.1%}",
            )
            for one in scores.acceptance
        ],
    )
