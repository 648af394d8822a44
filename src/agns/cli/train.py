"""`agns train`: recognisers, and the eyeglass networks."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from agns.cli.console import bar, percent, prepare, say
from agns.cli.face_options import FaceOptions, open_faces, open_glasses, say_saved_anew
from agns.cli.interrupts import between_steps
from agns.cli.launching import (
    AcceleratorOption,
    DevicesOption,
    FabricPrecisionOption,
    NodesOption,
    StrategyOption,
    command_line,
    launched,
)
from agns.cli.options import (
    CenterCropOption,
    FacesOption,
    GlassesOption,
    IdentitiesOption,
    MinimumPhotosOption,
    NamesOption,
    PrecisionOption,
    SeedOption,
    SkipOption,
)

if TYPE_CHECKING:
    from agns.run_directory import RunDirectory

app = typer.Typer(help="Train a recogniser, or the eyeglass networks.", no_args_is_help=True)

OutOption = Annotated[Path, typer.Option("--out", metavar="RUN", help="Directory of the run.")]
ResumeOption = Annotated[
    bool, typer.Option("--resume", help="Go on from the run's last checkpoint.")
]
InitOption = Annotated[
    Path | None,
    typer.Option(
        "--init",
        metavar="FILE",
        help="Backbone or recogniser to begin with: a file or folder, or owner/name on the hub.",
    ),
]
OF_RECIPE = "  [default: the architecture's recipe]"


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
    init: InitOption = None,
    pretrained: Annotated[
        Literal["imagenet"] | None,
        typer.Option(help="Backbone to download and begin with: torchvision's VGG-16, 553 MB."),
    ] = None,
    freeze_backbone: Annotated[
        bool,
        typer.Option(help="Train the head alone, on descriptors computed once; needs --init."),
    ] = False,
    epochs: Annotated[
        int | None, typer.Option(help="Passes over the training photos, at most." + OF_RECIPE)
    ] = None,
    batch: Annotated[int | None, typer.Option(help="Photos in a step." + OF_RECIPE)] = None,
    rate: Annotated[
        float | None, typer.Option(help="Largest learning rate of AdamW." + OF_RECIPE)
    ] = None,
    erased_share: Annotated[
        float | None,
        typer.Option(help="Part of the photos that lose a rectangle." + OF_RECIPE),
    ] = None,
    frames_per_photo: Annotated[
        int | None, typer.Option(help="Benign frames that a photo may wear." + OF_RECIPE)
    ] = None,
    sizes: Annotated[
        str | None,
        typer.Option(
            metavar="N,N,...",
            help="Face sizes in pixels, one after the other; 0 for the network's own all along."
            + OF_RECIPE,
        ),
    ] = None,
    validation_fraction: Annotated[
        float | None,
        typer.Option(
            help="Part of the training photos that chooses the weights to keep; 0 keeps the last.  "
            "[default: the architecture's recipe]"
        ),
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option(help="Epochs without improvement before stopping." + OF_RECIPE),
    ] = None,
    accelerator: AcceleratorOption = "auto",
    devices: DevicesOption = 1,
    num_nodes: NodesOption = 1,
    strategy: StrategyOption = "auto",
    precision: FabricPrecisionOption = "auto",
    seed: SeedOption = 0,
    resume: ResumeOption = False,
) -> None:
    """Train a recogniser on 80 % of each identity's photos, and test it on the rest.

    Half of each batch wears benign eyeglasses, as in the papers. RUN holds weights, scores,
    losses, and a report of what is recognised wrongly.
    """
    from agns.data.twins import count_saved_anew, find_twins
    from agns.errors import ConfigError
    from agns.evaluation.recognizer_report import report_recognizer
    from agns.models.importing.pretrained import imagenet_backbone
    from agns.models.recognizer import RECOGNIZERS
    from agns.models.sharing import locate_weights
    from agns.models.start import load_start
    from agns.run_directory import RunDirectory
    from agns.training.head import train_head
    from agns.training.parallel import Machines, first_then_others
    from agns.training.recipe import recipe_for
    from agns.training.recognizer import train_recognizer as train
    from agns.training.recorded import photos_as_begun
    from agns.training.run import Provenance

    prepare()
    config = recipe_for(
        arch,
        {
            "epochs": epochs,
            "batch": batch,
            "rate": rate,
            "erased_share": erased_share,
            "frames_per_photo": frames_per_photo,
            "sizes": None if sizes is None else _read_sizes(sizes),
            "validation_fraction": validation_fraction,
            "patience": patience,
            "frozen": freeze_backbone,
            "seed": seed,
        },
        anew=init is None and pretrained is None,
    )
    machines = Machines(
        accelerator=accelerator, devices=devices, num_nodes=num_nodes, strategy=strategy,
        precision=precision,
    )  # fmt: skip
    if init is not None and pretrained is not None:
        raise ConfigError("begin with --init or with --pretrained, not with both")
    if pretrained is not None and RECOGNIZERS.get(arch, (arch,))[0] != "vgg":
        raise ConfigError(f"--pretrained {pretrained} is a VGG-16, which {arch} has no use for")
    start = None if init is None else load_start(locate_weights(init))
    if freeze_backbone:
        if init is None and pretrained is None:
            raise ConfigError(
                "--freeze-backbone needs a backbone to freeze: give --init or --pretrained"
            )
        if devices * num_nodes > 1 or resume:
            raise ConfigError(
                "--freeze-backbone trains in one process, from the start: "
                "leave out --devices, --num-nodes and --resume"
            )
    machines.check_batch(config.batch)
    with launched(machines, out, resume=resume) as fabric:
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
        # The others find on the disk what the first one has decoded, drawn and downloaded.
        photographs = first_then_others(fabric, lambda: open_faces(options))
        frames = first_then_others(fabric, lambda: open_glasses(glasses, count=2000))
        if pretrained is not None:
            with bar("Downloading, in MB") as progress:
                path = first_then_others(fabric, lambda: imagenet_backbone(progress=progress))
            start = load_start(path)
        about = Provenance(source=options.source, center_crop=center_crop, command=command_line())
        if start is not None and config.frozen:
            with bar("Training the head") as progress:
                recognizer, scores = train_head(
                    photographs, frames, config, out, start=start, about=about,
                    device=fabric.device, progress=progress,
                )  # fmt: skip
        else:
            with (
                bar(f"Training {arch}") as shown,
                between_steps(shown, processes=machines.processes) as progress,
            ):
                recognizer, scores = train(
                    photographs, frames, config, out, fabric=fabric, start=start, about=about,
                    resume=resume, progress=progress,
                )  # fmt: skip
        if not fabric.is_global_zero:
            return
        _plot(RunDirectory(out, None, resume=True), ("loss", "validation_loss"))
        photographs, split = photos_as_begun(out, photographs)
        anew = count_saved_anew(photographs, find_twins(photographs))
        with bar("Looking for mistakes") as progress:
            report_recognizer(
                recognizer, photographs.subset(split.test), scores, out, saved_anew=anew,
                recipe={
                    **dataclasses.asdict(config), **dataclasses.asdict(about),
                    "init": init or pretrained,
                },
                progress=progress,
            )  # fmt: skip
        say(
            f"On {scores.photos} test photos: accuracy {percent(scores.accuracy)}, balanced "
            f"{percent(scores.balanced_accuracy)}; {percent(scores.naive_dodging)} not recognised "
            f"when wearing benign eyeglasses."
        )
        say_saved_anew(anew)
        say(f"Wrote {out / 'recognizer.safetensors'}; {out / 'report.html'} shows the mistakes.")


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
    from agns.run_directory import RunDirectory
    from agns.training.gan import GanTraining
    from agns.training.gan import train_gan as train

    prepare()
    config = GanTraining(epochs=epochs, batch=batch, precision=precision, seed=seed)
    RunDirectory.check(out, resume=resume)
    if glasses is not None and count is not None:
        raise ConfigError("--count is for drawn frames: a folder of eyeglasses is taken whole")
    frames = open_glasses(glasses, mask=mask, names=names, count=count)
    source = "frames drawn by agns" if glasses is None else glasses.resolve().name
    with bar("Training the generator") as shown, between_steps(shown) as progress:
        train(frames, config, out, resume=resume, source=source, progress=progress)
    _plot(RunDirectory(out, None, resume=True), ("discriminator", "generator"))
    say(
        f"Wrote {out / 'generator.safetensors'} and {out / 'discriminator.safetensors'}; "
        f"{out / 'samples.png'} shows what the generator draws."
    )


def _read_sizes(text: str) -> tuple[int, ...]:
    from agns.errors import ConfigError

    try:
        sizes = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"--sizes takes whole numbers with commas, got {text!r}") from None
    return () if sizes == (0,) else sizes


def _plot(run: "RunDirectory", names: tuple[str, ...]) -> None:
    from agns.evaluation.figures import draw_losses

    draw_losses(run.path / "losses.png", run.rows(), names)
