"""`agns train`: recognisers, and the eyeglass networks."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agns.cli.console import bar, percent, prepare, say
from agns.cli.options import (
    CenterCropOption,
    FaceOptions,
    FacesOption,
    GlassesOption,
    IdentitiesOption,
    MinimumPhotosOption,
    NamesOption,
    PrecisionOption,
    SeedOption,
    SkipOption,
    open_faces,
    open_glasses,
)

if TYPE_CHECKING:
    from agns.storage import RunDirectory

app = typer.Typer(help="Train a recogniser, or the eyeglass networks.", no_args_is_help=True)

OutOption = Annotated[Path, typer.Option("--out", metavar="RUN", help="Directory of the run.")]
ResumeOption = Annotated[
    bool, typer.Option("--resume", help="Go on from the run's last checkpoint.")
]


@app.command("recognizer")
def train_recognizer(
    out: OutOption,
    arch: Annotated[str, typer.Option(help="of10, of143, vgg10, vgg143, of or vgg.")] = "of10",
    faces: FacesOption = None,
    identities: IdentitiesOption = None,
    minimum_photos: MinimumPhotosOption = None,
    name: NamesOption = None,
    center_crop: CenterCropOption = None,
    skip_unreadable: SkipOption = False,
    glasses: GlassesOption = None,
    epochs: Annotated[int, typer.Option(help="Passes over the training photos.")] = 40,
    batch: Annotated[int, typer.Option(help="Photos in a step.")] = 64,
    rate: Annotated[float, typer.Option(help="Largest learning rate of AdamW.")] = 2e-3,
    erased_share: Annotated[
        float,
        typer.Option(help="Part of the photos that lose a rectangle, as a defence."),
    ] = 0.0,
    precision: PrecisionOption = "auto",
    seed: SeedOption = 0,
    resume: ResumeOption = False,
) -> None:
    """Train a recogniser on 80 % of each identity's photos, and test it on the rest.

    Half of each batch wears benign eyeglasses, as in the papers.
    """
    from agns.models.recognizer import RECOGNIZERS
    from agns.storage import RunDirectory
    from agns.training.recognizer import RecognizerTraining
    from agns.training.recognizer import train_recognizer as train

    prepare()
    config = RecognizerTraining(
        arch=arch,
        epochs=epochs,
        batch=batch,
        rate=rate,
        erased_share=erased_share,
        precision=precision,
        seed=seed,
    )
    RunDirectory.check(out, resume=resume)
    if identities is None and not name and arch in RECOGNIZERS:
        identities = RECOGNIZERS[arch][1]
    options = FaceOptions(
        root=faces,
        identities=identities,
        minimum_photos=minimum_photos,
        names=tuple(name or ()),
        center_crop=center_crop,
        skip_unreadable=skip_unreadable,
    )
    photographs = open_faces(options)
    frames = open_glasses(glasses, count=2000)
    with bar(f"Training {arch}") as progress:
        _, scores = train(
            photographs, frames, config, out,
            resume=resume, source=options.source, center_crop=center_crop, progress=progress,
        )  # fmt: skip
    _plot(RunDirectory(out, None, resume=True), ("loss",))
    say(
        f"On {scores.photos} test photos: accuracy {percent(scores.accuracy)}, balanced "
        f"{percent(scores.balanced_accuracy)}; {percent(scores.naive_dodging)} not recognised "
        f"when wearing benign eyeglasses."
    )
    say(f"Wrote {out / 'recognizer.safetensors'}")


@app.command("gan")
def train_gan(
    out: OutOption,
    glasses: GlassesOption = None,
    mask: Annotated[
        Path | None, typer.Option(help="Picture that is black where frames are to be black.")
    ] = None,
    names: Annotated[
        Path | None, typer.Option(help="Text file that lists the pictures to take.")
    ] = None,
    count: Annotated[
        int | None, typer.Option(help="Drawn frames to train on.  [default: all 16680]", min=2)
    ] = None,
    epochs: Annotated[int, typer.Option(help="Passes over the eyeglasses.")] = 14,
    batch: Annotated[int, typer.Option(help="Real frames in a step.")] = 32,
    precision: PrecisionOption = "auto",
    seed: SeedOption = 0,
    resume: ResumeOption = False,
) -> None:
    """Train the eyeglass generator and its discriminator."""
    from agns.errors import ConfigError
    from agns.storage import RunDirectory
    from agns.training.gan import GanTraining
    from agns.training.gan import train_gan as train

    prepare()
    config = GanTraining(epochs=epochs, batch=batch, precision=precision, seed=seed)
    RunDirectory.check(out, resume=resume)
    if glasses is not None and count is not None:
        raise ConfigError("--count is for drawn frames: a folder of eyeglasses is taken whole")
    frames = open_glasses(glasses, mask=mask, names=names, count=count)
    source = "frames drawn by agns" if glasses is None else str(glasses)
    with bar("Training the generator") as progress:
        train(frames, config, out, resume=resume, source=source, progress=progress)
    _plot(RunDirectory(out, None, resume=True), ("discriminator", "generator"))
    say(
        f"Wrote {out / 'generator.safetensors'} and {out / 'discriminator.safetensors'}; "
        f"{out / 'samples.png'} shows what the generator draws."
    )


def _plot(run: "RunDirectory", names: tuple[str, ...]) -> None:
    from agns.evaluation.figures import draw_losses

    draw_losses(run.path / "losses.png", run.rows(), names)
