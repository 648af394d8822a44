"""`agns train`: recognisers, OpenFace as an embedding, and the eyeglass networks."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from agns.cli.console import bar, percent, prepare, say
from agns.cli.face_options import FaceOptions, open_glasses, say_saved_anew
from agns.cli.interrupts import between_steps
from agns.cli.launching import begin_training, plot_losses, report_training
from agns.cli.options import (
    CenterCropOption,
    FacesOption,
    GlassesOption,
    IdentitiesOption,
    MinimumPhotosOption,
    NamesOption,
    SkipOption,
)
from agns.cli.settings_options import Settings, settings_of, with_settings

app = typer.Typer(
    help="Train a recogniser, an embedding, or the eyeglass networks.", no_args_is_help=True
)

OutOption = Annotated[Path, typer.Option("--out", metavar="RUN", help="Directory of the run.")]
ResumeOption = Annotated[
    bool, typer.Option("--resume", help="Go on from the run's last checkpoint.")
]
MACHINES = Settings("agns.training.parallel:Machines")
RECOGNIZER = Settings(
    "agns.training.recipe:RecognizerTraining",
    without=("arch", "frozen"),
    defaults=dict.fromkeys(
        ("epochs", "batch", "rate", "frames_per_photo", "erased_share", "sizes", "norms"),
        "the architecture's recipe",
    ),
)
METRIC = Settings("agns.training.triplets:MetricTraining")
GAN = Settings("agns.training.gan:GanTraining")


@app.command("recognizer", cls=with_settings(RECOGNIZER, MACHINES))
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
    init: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Backbone or recogniser to begin with: a file or folder, or owner/name on the "
            "hub.",
        ),
    ] = None,
    pretrained: Annotated[
        Literal["imagenet"] | None,
        typer.Option(help="Backbone to download and begin with: torchvision's VGG-16, 553 MB."),
    ] = None,
    backbone: Annotated[
        Literal["dlib"] | None,
        typer.Option(
            help="Train a head on dlib's embedding, the network behind face_recognition, which "
            "comes with agns[dlib]."
        ),
    ] = None,
    freeze_backbone: Annotated[
        bool,
        typer.Option(
            "--freeze-backbone",
            help="Train the head alone, on descriptors computed once; needs --init.",
        ),
    ] = False,
    teacher: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Recogniser of the same people to learn from, too, such as a head on dlib's "
            "embedding.",
        ),
    ] = None,
    resume: ResumeOption = False,
) -> None:
    """Train a recogniser on 80 % of each identity's photos, and test it on the rest.

    Half of each batch wears benign eyeglasses, as in the papers. RUN holds weights, scores,
    losses, and a report of what is recognised wrongly.
    """
    from agns.errors import ConfigError
    from agns.loading import load_victim
    from agns.models.importing.pretrained import imagenet_backbone
    from agns.models.recognizer import RECOGNIZERS
    from agns.models.sharing import locate_weights
    from agns.models.start import dlib_start, load_start
    from agns.training.head import train_head
    from agns.training.parallel import Machines, first_then_others
    from agns.training.recipe import RecognizerTraining, recipe_for
    from agns.training.recognizer import train_recognizer as train

    prepare()
    if backbone is not None:
        if init is not None or pretrained is not None or arch not in ("of10", backbone):
            raise ConfigError(
                f"--backbone {backbone} is a network of its own: leave out --arch, --init and "
                "--pretrained"
            )
        arch, freeze_backbone = backbone, True
    anew = init is None and pretrained is None and backbone is None
    recipe = recipe_for(arch, anew=anew, frozen=freeze_backbone)
    config, machines = settings_of(RecognizerTraining, recipe), settings_of(Machines)
    if init is not None and pretrained is not None:
        raise ConfigError("begin with --init or with --pretrained, not with both")
    if pretrained is not None and RECOGNIZERS.get(arch, (arch,))[0] != "vgg":
        raise ConfigError(f"--pretrained {pretrained} is a VGG-16, which {arch} has no use for")
    start = None if init is None else load_start(locate_weights(init))
    if backbone is not None:
        start = dlib_start()
    if freeze_backbone and anew:
        raise ConfigError(
            "--freeze-backbone needs a backbone to freeze: give --init or --pretrained"
        )
    if freeze_backbone and (machines.processes > 1 or resume):
        raise ConfigError(
            "--freeze-backbone trains in one process, from the start: "
            "leave out --devices, --num-nodes and --resume"
        )
    if freeze_backbone and teacher is not None:
        raise ConfigError("--teacher teaches a whole network: leave out --freeze-backbone")
    machines.check_batch(config.batch)
    taught = None
    if teacher is not None:
        taught = (teacher.name, load_victim(teacher).recognizer)
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
    with begin_training(machines, options, glasses, out, arch, resume=resume) as begun:
        photos, fabric = begun.photos, begun.fabric
        if pretrained is not None:
            with bar("Downloading, in MB") as progress:
                path = first_then_others(fabric, lambda: imagenet_backbone(progress=progress))
            start = load_start(path)
        if start is not None and config.frozen:
            with bar("Training the head") as progress:
                recognizer, scores = train_head(
                    photos, begun.glasses, config, out, start=start, about=begun.about,
                    device=fabric.device, progress=progress,
                )  # fmt: skip
        else:
            with begun.steps() as progress:
                recognizer, scores = train(
                    photos, begun.glasses, config, out, fabric=fabric, start=start,
                    teacher=taught, about=begun.about, resume=resume, progress=progress,
                )  # fmt: skip
        if not fabric.is_global_zero:
            return
        told = {**asdict(config), **asdict(begun.about), "init": init or pretrained}
        if teacher is not None:
            told["teacher"] = teacher
        report_training(recognizer, scores, photos, out, told)


@app.command(
    "metric", cls=with_settings(Settings("agns.training.triplets:MetricTraining"), MACHINES)
)
def train_metric(
    out: OutOption,
    faces: Annotated[
        Path, typer.Option("--faces", metavar="DIR", help="Face folder <DIR>/<Identity>/*.jpg.")
    ],
    minimum_photos: MinimumPhotosOption = None,
    name: NamesOption = None,
    exclude: Annotated[
        list[str] | None, typer.Option(help="Leave this identity out; may be given many times.")
    ] = None,
    exclude_most: Annotated[
        int, typer.Option(metavar="N", help="Leave out the N identities with the most photos.")
    ] = 0,
    exclude_classes: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Leave out the identities in a run's classes.json."),
    ] = None,
    center_crop: CenterCropOption = None,
    skip_unreadable: SkipOption = False,
    glasses: GlassesOption = None,
    resume: ResumeOption = False,
) -> None:
    """Train the OpenFace backbone as an embedding, and verify identities it has not seen.

    A fifth of each identity's photos is left out: those that `agns train recognizer` with the
    same --seed tests on. Give backbone.safetensors to its --init.
    """
    from agns.data.faces import read_classes
    from agns.data.twins import count_saved_anew, find_twins
    from agns.evaluation.plots import draw_roc
    from agns.training.metric import train_metric as train
    from agns.training.parallel import Machines
    from agns.training.triplets import MetricTraining

    prepare()
    config, machines = settings_of(MetricTraining), settings_of(Machines)
    machines.check_batch(config.identities * config.photos)
    options = FaceOptions(
        root=faces,
        minimum_photos=minimum_photos,
        names=tuple(name or ()),
        exclude=(*(exclude or ()), *(read_classes(exclude_classes) if exclude_classes else ())),
        exclude_most=exclude_most,
        center_crop=center_crop,
        skip_unreadable=skip_unreadable,
    )
    with begin_training(machines, options, glasses, out, "openface", resume=resume) as begun:
        with begun.steps() as progress:
            _, scores, curve = train(
                begun.photos, begun.glasses, config, out, fabric=begun.fabric, about=begun.about,
                resume=resume, progress=progress,
            )  # fmt: skip
        if not begun.fabric.is_global_zero:
            return
        plot_losses(out, "loss", "verification_accuracy", "eer")
        draw_roc(out / "roc.png", curve, eer=scores.eer)
        say(
            f"On {scores.pairs} pairs of {scores.identities} identities that were not trained on: "
            f"accuracy {percent(scores.accuracy)} (standard error {percent(scores.standard_error)}"
            f", {scores.folds} folds), EER {percent(scores.eer)}, AUC {scores.auc:.3f}."
        )
        say_saved_anew(count_saved_anew(begun.photos, find_twins(begun.photos)))
        say(f"Wrote {out / 'backbone.safetensors'} and {out / 'roc.png'}")


@app.command("gan", cls=with_settings(GAN))
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
    resume: ResumeOption = False,
) -> None:
    """Train the eyeglass generator and its discriminator."""
    from agns.data.simulation.textures.stock import VERSION
    from agns.errors import ConfigError
    from agns.run_directory import RunDirectory
    from agns.training.gan import GanTraining
    from agns.training.gan import train_gan as train

    prepare()
    config = settings_of(GanTraining)
    RunDirectory.check(out, resume=resume)
    if glasses is not None and count is not None:
        raise ConfigError("--count is for drawn frames: a folder of eyeglasses is taken whole")
    frames = open_glasses(glasses, mask=mask, names=names, count=count)
    drawn = f"frames drawn by agns, version {VERSION}"
    source = drawn if glasses is None else glasses.resolve().name
    with bar("Training the generator") as shown, between_steps(shown) as progress:
        train(frames, config, out, resume=resume, source=source, progress=progress)
    plot_losses(out, "discriminator", "generator")
    say(
        f"Wrote {out / 'generator.safetensors'} and {out / 'discriminator.safetensors'}; "
        f"{out / 'samples.png'} shows what the generator draws."
    )
