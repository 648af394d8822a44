"""`agns universal`: a few frames for many subjects, and whom they serve."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agns.cli.console import bar, percent, prepare, say, show
from agns.cli.face_options import FaceOptions, check_faces_options, open_glasses
from agns.cli.options import (
    CenterCropOption,
    DefenceOption,
    DeviceOption,
    DiscriminatorOption,
    FacesOption,
    GeneratorOption,
    GlassesOption,
    RecognizerOption,
    SeedOption,
    SkipOption,
)
from agns.cli.settings_options import Settings, settings_of
from agns.loading import attacked_crop, load_setup, load_victim

if TYPE_CHECKING:
    from agns.evaluation.universal_report import ReachAt, UniversalReport

COUNTS = (1, 2, 5, 10)
"""Numbers of frames that success is told for, as far as there are as many."""


SETTINGS = (
    Settings("agns.attack.universal:Universal", without=("agn",)),
    Settings("agns.evaluation.universal:UniversalSpec", only=("subjects", "unseen", "craft")),
    Settings("agns.attack.agn:AGN", only=("kappa", "precision")),
)


def universal(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Directory for the results.")],
    recognizer: RecognizerOption = None,
    defence: DefenceOption = None,
    faces: FacesOption = None,
    center_crop: CenterCropOption = None,
    skip_unreadable: SkipOption = False,
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

    from agns.attack.agn import AGN
    from agns.attack.universal import UNIVERSAL_AGN, Universal
    from agns.cli.loading import open_everybody
    from agns.evaluation.score import check_results_directory
    from agns.evaluation.universal import UniversalSpec, run_universal
    from agns.models.victim import people_known

    prepare()
    attack = settings_of(Universal, Universal(agn=settings_of(AGN, UNIVERSAL_AGN)))
    counts = tuple(sorted({count for count in COUNTS if count < attack.frames} | {attack.frames}))
    spec = settings_of(UniversalSpec, UniversalSpec(counts=counts, seed=seed))
    check_faces_options(faces, center_crop, skip_unreadable=skip_unreadable)
    check_results_directory(out)
    victim = load_victim(recognizer, device, defence=defence)
    cut = attacked_crop(victim, center_crop)
    options = FaceOptions(root=faces, center_crop=cut, skip_unreadable=skip_unreadable)
    everybody = open_everybody(options, people_known(victim.recognizer))
    setup = load_setup(
        victim, open_glasses(glasses), generator=generator, discriminator=discriminator
    )
    # One bar, which begins anew when subjects are scored: the terminal shows one at a time.
    with bar("Frames for many") as progress:
        report = run_universal(
            setup, everybody, dataclasses.replace(spec, center_crop=cut), attack, out,
            progress=progress, scoring=progress,
        )  # fmt: skip
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
    if report.operating_points:
        show(
            (">false accepts", *head[:6], ">no frame"),
            [row for point in report.operating_points for row in _rows_at(point)],
        )
    say(
        "picked: each subject wears the one frame that did best on its other photos, and `subjects`"
        " says who dodges on more than half; any: a bound that no way of picking exceeds."
    )
    for name in report.left_out:
        say(f"Left out: {name}")
    for warning in report.warnings:
        say(f"Warning: {warning}")
    say(f"Wrote {out / 'result.json'}, reach.png, frames.png and frames/ beside it.")


def _rows_at(point: "ReachAt") -> list[tuple[str, ...]]:
    """At one operating point: the fewest frames to pick from, and the most.

    No frame is told of all photos: without one nobody of the recognised is rejected.
    """
    picked = [one for one in point.points if one.rule == "picked"]
    benign = {(one.frames, one.group): one.recognized for one in picked if one.made_by == "benign"}
    counted = [one.frames for one in picked]
    rows: list[tuple[str, ...]] = []
    for one in picked:
        if one.made_by != "attack" or one.frames not in (min(counted), max(counted)):
            continue
        low, high = one.recognized.interval or (None, None)
        rows.append(
            (
                f"{point.false_accept_rate:g}",
                str(one.frames),
                f"{one.recognized.subjects} {one.group}",
                percent(one.recognized.success_rate),
                f"{percent(low)} to {percent(high)}",
                percent(one.recognized.subjects_dodging),
                percent(benign[one.frames, one.group].success_rate),
                percent(point.without_frame[one.group].success_rate),
            )
        )
    return rows
