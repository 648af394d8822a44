"""`agns universal`: a few frames for many subjects, and whom they serve."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agns.cli.attack import open_apparatus
from agns.cli.console import bar, percent, prepare, say, show
from agns.cli.face_options import FaceOptions, check_faces_options
from agns.cli.loading import open_everybody
from agns.cli.options import (
    CenterCropOption,
    DeviceOption,
    DiscriminatorOption,
    FacesOption,
    GeneratorOption,
    GlassesOption,
    PrecisionOption,
    RecognizerOption,
    SeedOption,
    SkipOption,
    attacked_crop,
    open_victim,
)

if TYPE_CHECKING:
    from agns.evaluation.universal_report import UniversalReport

COUNTS = (1, 2, 5, 10)
"""Numbers of frames that success is told for, as far as there are as many."""


def universal(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Directory for the results.")],
    recognizer: RecognizerOption = None,
    faces: FacesOption = None,
    center_crop: CenterCropOption = None,
    skip_unreadable: SkipOption = False,
    subjects: Annotated[
        int | None,
        typer.Option(help="Identities to take, drawn by the seed.  [default: all that are known]"),
    ] = None,
    unseen: Annotated[
        float, typer.Option(help="Share of them that frames are scored on but not made with.")
    ] = 0.5,
    craft: Annotated[
        int,
        typer.Option(
            help="Most photos of each to craft on or to pick by, of those trained on, or of half."
        ),
    ] = 8,
    frames: Annotated[int, typer.Option(help="Frames to choose.")] = 10,
    clusters: Annotated[
        int, typer.Option(help="Groups of subjects, each with a generator of its own.")
    ] = 5,
    candidates: Annotated[int, typer.Option(help="Frames of each generator to choose from.")] = 20,
    steps: Annotated[int, typer.Option(help="Most steps for each generator.")] = 300,
    stop: Annotated[
        float, typer.Option(help="Mean probability of the own subjects that ends a generator's.")
    ] = 0.01,
    kappa: Annotated[
        float, typer.Option(help="Weight of looking real against fooling the recogniser.")
    ] = 0.25,
    precision: PrecisionOption = "auto",
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    generator: GeneratorOption = None,
    discriminator: DiscriminatorOption = None,
    glasses: GlassesOption = None,
) -> None:
    """Make a few eyeglasses that many subjects dodge with; score them on subjects not seen.

    Only for recognisers that you are allowed to test.
    """
    import dataclasses

    from agns.attack.universal import UNIVERSAL_AGN, UniversalConfig
    from agns.evaluation.attack_report import check_results_directory
    from agns.evaluation.universal import UniversalExperiment, run_universal

    prepare()
    config = UniversalConfig(
        clusters=clusters,
        candidates=candidates,
        frames=frames,
        steps=steps,
        stop=stop,
        agn=dataclasses.replace(UNIVERSAL_AGN, kappa=kappa, precision=precision),
        seed=seed,
    )
    check_faces_options(faces, center_crop, skip_unreadable=skip_unreadable)
    check_results_directory(out)
    victim = open_victim(recognizer, device)
    cut = attacked_crop(victim, center_crop)
    experiment = UniversalExperiment(
        subjects=subjects,
        unseen=unseen,
        craft=craft,
        counts=tuple(sorted({count for count in COUNTS if count < frames} | {frames})),
        seed=seed,
        center_crop=cut,
    )
    options = FaceOptions(root=faces, center_crop=cut, skip_unreadable=skip_unreadable)
    crowd = open_everybody(options, victim.recognizer.identities)
    apparatus = open_apparatus(victim, generator, discriminator, glasses)
    # One bar, which begins anew when subjects are scored: the terminal shows one at a time.
    with bar("Frames for many") as progress:
        report = run_universal(
            apparatus, crowd, experiment, config, out, progress=progress, scoring=progress
        )
    show_reach(report, out)
    if report.interrupted:
        raise typer.Exit(130)


def show_reach(report: "UniversalReport", out: Path) -> None:
    """Print the curves as a table, what weakens them, and where the files are."""
    from agns.evaluation.universal_report import describe_reach

    say(f"{describe_reach(report)}:")
    head = ("frames", "worn by", ">picked", ">95 % interval", ">subjects", ">benign", ">any",
            ">benign")  # fmt: skip
    found = {
        (point.frames, point.group, point.made_by, point.rule): point.recognized
        for point in report.points
    }
    rows = []
    for point in report.points:
        if (point.made_by, point.rule) != ("attack", "picked"):
            continue
        frames, group, own = point.frames, point.group, point.recognized
        low, high = own.interval or (None, None)
        others = (
            found[frames, group, "benign", "picked"],
            found[frames, group, "attack", "any"],
            found[frames, group, "benign", "any"],
        )
        rows.append(
            (
                str(frames),
                f"{own.subjects} {group}",
                percent(own.success_rate),
                f"{percent(low)} to {percent(high)}",
                percent(own.subjects_dodging),
                *(percent(other.success_rate) for other in others),
            )
        )
    show(head, rows)
    say(
        "picked: each subject wears the one frame that did best on its other photos, and `subjects`"
        " says who dodges on more than half; any: a bound that no way of picking exceeds."
    )
    for name in report.left_out:
        say(f"Left out: {name}")
    for warning in report.warnings:
        say(f"Warning: {warning}")
    say(f"Wrote {out / 'result.json'}, reach.png, frames.png and frames/ beside it.")
