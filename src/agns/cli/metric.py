"""`agns train metric`: OpenFace as an embedding."""

from pathlib import Path
from typing import Annotated

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
    GlassesOption,
    MinimumPhotosOption,
    NamesOption,
    SeedOption,
    SkipOption,
)


def train_metric(
    out: Annotated[Path, typer.Option("--out", metavar="RUN", help="Directory of the run.")],
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
    epochs: Annotated[int, typer.Option(help="Passes over the photos.")] = 40,
    identities: Annotated[int, typer.Option(help="Identities in a step.")] = 16,
    photos: Annotated[int, typer.Option(help="Photos of each in a step.")] = 4,
    margin: Annotated[float, typer.Option(help="Of the triplet loss, in squared distance.")] = 0.2,
    rate: Annotated[float, typer.Option(help="Largest learning rate of AdamW.")] = 1e-3,
    accelerator: AcceleratorOption = "auto",
    devices: DevicesOption = 1,
    num_nodes: NodesOption = 1,
    strategy: StrategyOption = "auto",
    precision: FabricPrecisionOption = "auto",
    seed: SeedOption = 0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the run's last checkpoint.")
    ] = False,
) -> None:
    """Train the OpenFace backbone as an embedding, and verify identities it has not seen.

    A fifth of each identity's photos is left out: those that `agns train recognizer` with the
    same --seed tests on. Give backbone.safetensors to its --init.
    """
    from agns.data.faces import read_classes
    from agns.data.twins import count_saved_anew, find_twins
    from agns.evaluation.figures import draw_losses, draw_roc
    from agns.run_directory import RunDirectory
    from agns.training.metric import train_metric as train
    from agns.training.parallel import Machines, first_then_others
    from agns.training.run import Provenance
    from agns.training.triplets import MetricTraining

    prepare()
    config = MetricTraining(
        epochs=epochs, identities=identities, photos=photos, margin=margin, rate=rate, seed=seed
    )
    machines = Machines(
        accelerator=accelerator, devices=devices, num_nodes=num_nodes, strategy=strategy,
        precision=precision,
    )  # fmt: skip
    machines.check_batch(identities * photos)
    with launched(machines, out, resume=resume) as fabric:
        options = FaceOptions(
            root=faces,
            minimum_photos=minimum_photos,
            names=tuple(name or ()),
            exclude=(*(exclude or ()), *(read_classes(exclude_classes) if exclude_classes else ())),
            exclude_most=exclude_most,
            center_crop=center_crop,
            skip_unreadable=skip_unreadable,
        )
        photographs = first_then_others(fabric, lambda: open_faces(options))
        frames = first_then_others(fabric, lambda: open_glasses(glasses, count=2000))
        about = Provenance(source=options.source, center_crop=center_crop, command=command_line())
        with (
            bar("Training openface") as shown,
            between_steps(shown, processes=machines.processes) as progress,
        ):
            _, scores, curve = train(
                photographs, frames, config, out, fabric=fabric, about=about, resume=resume,
                progress=progress,
            )  # fmt: skip
        if not fabric.is_global_zero:
            return
        draw_losses(
            out / "losses.png",
            RunDirectory(out, None, resume=True).rows(),
            ("loss", "verification_accuracy", "eer"),
        )
        draw_roc(out / "roc.png", curve, eer=scores.eer)
        say(
            f"On {scores.pairs} pairs of {scores.identities} identities that were not trained on: "
            f"accuracy {percent(scores.accuracy)} (standard error {percent(scores.standard_error)}"
            f", {scores.folds} folds), EER {percent(scores.eer)}, AUC {scores.auc:.3f}."
        )
        say_saved_anew(count_saved_anew(photographs, find_twins(photographs)))
        say(f"Wrote {out / 'backbone.safetensors'} and {out / 'roc.png'}")
