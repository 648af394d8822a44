"""`agns defend`: defences around a recogniser, made, trained and scored."""

import dataclasses
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agns.cli.console import bar, percent, prepare, say
from agns.cli.defend_detector import DETECTOR, detector
from agns.cli.defend_gate import CHECK, gate
from agns.cli.face_options import FaceOptions, open_faces
from agns.cli.launching import begin_training, report_training
from agns.cli.options import (
    CenterCropOption,
    FacesOption,
    GlassesOption,
    RecognizerOption,
    SkipOption,
)
from agns.cli.settings_options import Settings, settings_of, with_settings
from agns.cli.train import OutOption, ResumeOption

if TYPE_CHECKING:
    from agns.defence.masking import Masking
    from agns.models.gallery import Gallery
    from agns.training.challenge import Challenge
    from agns.training.parallel import Machines
    from agns.training.recipe import RecognizerTraining

app = typer.Typer(
    help="Defend a recogniser: hide where frames may be, detect them, or train on them.",
    no_args_is_help=True,
)

MASKING = Settings("agns.defence.masking:Masking")
OCCLUSION = Settings("agns.defence.occlusion:Occlusion")
app.command("detector", cls=with_settings(DETECTOR))(detector)
app.command("gate", cls=with_settings(CHECK))(gate)
MACHINES = Settings("agns.training.parallel:Machines")
HARDENING = Settings(
    "agns.training.recipe:RecognizerTraining",
    only=("batch", "rate", "weight_decay", "warm_up", "balance", "glasses_share",
          "frames_per_photo", "averaging", "held_fraction", "validation_fraction", "seed"),
    defaults={"rate": "1e-4", "validation_fraction": "0", "batch": "the architecture's recipe",
              "frames_per_photo": "the architecture's recipe"},
)  # fmt: skip


@app.command("masking", cls=with_settings(MASKING, HARDENING))
def masking(
    out: OutOption,
    recognizer: RecognizerOption = None,
    faces: FacesOption = None,
    center_crop: CenterCropOption = None,
    skip_unreadable: SkipOption = False,
    glasses: GlassesOption = None,
    epochs: Annotated[
        int,
        typer.Option(
            help="Passes over masked photos in which the recogniser goes on learning.", min=0
        ),
    ] = 0,
    resume: ResumeOption = False,
) -> None:
    """Hide all places of a frame from a recogniser, and count the photos that are then certified.

    RUN holds defence.safetensors, to be given as --recognizer, or around another recogniser as
    --defence. People of a gallery are enrolled anew, with the same photos masked.
    """
    from agns.cli.loading import open_fresh
    from agns.defence.masking import MaskedPhotos, Masking
    from agns.errors import ConfigError
    from agns.evaluation.certified import score_masking
    from agns.models.gallery import Gallery
    from agns.run_directory import RunDirectory
    from agns.storage import write_json
    from agns.training.parallel import Machines

    prepare()
    settings = settings_of(Masking)
    RunDirectory.check(out, resume=resume)
    source = "" if recognizer is None else str(recognizer)
    options = FaceOptions(root=faces, center_crop=center_crop, skip_unreadable=skip_unreadable)
    if epochs:
        challenge = MaskedPhotos(masking=settings)
        _harden(out, recognizer, options, glasses, challenge, epochs, Machines(), resume=resume)
        recognizer = out / "recognizer.safetensors"
        source = str(recognizer)
    victim, photos = open_fresh(recognizer, options)
    inner = victim.recognizer
    anew = isinstance(inner, Gallery) and settings.parts == 1
    if anew and not Path(source).is_file():
        raise ConfigError(f"to enrol people anew, name their gallery's file in place of {source}")
    if not epochs:
        RunDirectory(out, asdict(settings), resume=resume, origin={"victim": source})
    if isinstance(inner, Gallery) and anew:
        inner, source = _enrolled_anew(inner, Path(source), options, settings, out)
    masked = settings.around(inner).eval()
    with bar("Certifying photos") as progress:
        # Not the people enrolled anew, whom photos that are not masked do not resemble.
        scores = score_masking(masked, victim.recognizer, photos, progress=progress)
    masked.write(out / "defence.safetensors", victim=inner, source=source)
    write_json(out / "masking.json", {"settings": settings, "victim": source, "scores": scores})
    say(
        f"On {scores.photos} photos without a frame: {percent(scores.undefended.share)} recognised "
        f"as they are, {percent(scores.accuracy.share)} masked ({_regions(scores.regions)} "
        f"{percent(scores.masked_share)} of the pixels)."
    )
    low, high = scores.certified.interval
    say(
        f"Certified: {percent(scores.certified.share)} (95 % interval {percent(low)} to "
        f"{percent(high)}) stay recognised, whatever a frame within the bounds shows."
    )
    say(
        f"A photo takes {scores.milliseconds:.1f} ms, {scores.milliseconds_undefended:.1f} ms "
        "undefended."
    )
    say(f"Wrote {out / 'defence.safetensors'} and {out / 'masking.json'}")


def _regions(count: int) -> str:
    return "one region of" if count == 1 else f"{count} regions of at most"


@app.command("occlusion", cls=with_settings(OCCLUSION, HARDENING, MACHINES))
def occlusion(
    out: OutOption,
    recognizer: RecognizerOption = None,
    faces: FacesOption = None,
    center_crop: CenterCropOption = None,
    skip_unreadable: SkipOption = False,
    glasses: GlassesOption = None,
    epochs: Annotated[int, typer.Option(help="Passes over the training photos.", min=1)] = 5,
    resume: ResumeOption = False,
) -> None:
    """Let a recogniser go on learning from the worst rectangle, or frame, on each photo.

    RUN holds recognizer.safetensors, scored on photos that neither training has seen.
    """
    from agns.defence.occlusion import Occlusion
    from agns.training.parallel import Machines

    prepare()
    options = FaceOptions(root=faces, center_crop=center_crop, skip_unreadable=skip_unreadable)
    challenge, machines = settings_of(Occlusion), settings_of(Machines)
    _harden(out, recognizer, options, glasses, challenge, epochs, machines, resume=resume)


def _harden(
    out: Path,
    recognizer: Path | None,
    options: FaceOptions,
    glasses: Path | None,
    challenge: "Challenge",
    epochs: int,
    machines: "Machines",
    *,
    resume: bool,
) -> None:
    """Train a recogniser on, on photos that are made harder."""
    from agns.errors import ConfigError
    from agns.models.recognizer import Recognizer
    from agns.models.sharing import locate_weights
    from agns.models.shipped import shipped_weights
    from agns.models.start import load_start
    from agns.training.recognizer import train_recognizer

    path = shipped_weights("of10_synthetic") if recognizer is None else locate_weights(recognizer)
    start = load_start(path)
    if not isinstance(start.network, Recognizer):
        raise ConfigError(f"{path} holds a backbone: only a recogniser can go on learning")
    config = _recipe(start.network.arch, epochs)
    machines.check_batch(config.batch)
    crop = options.center_crop if options.center_crop is not None else start.center_crop
    names = start.network.identities
    chosen = (
        dataclasses.replace(options, identities=len(names))
        if options.root is None
        else dataclasses.replace(options, names=names, center_crop=crop)
    )
    with begin_training(machines, chosen, glasses, out, start.network.arch, resume=resume) as begun:
        if set(begun.photos.identities) != set(names):
            raise ConfigError(f"these faces are not those of the identities that {path} knows")
        with begun.steps() as progress:
            trained, scores = train_recognizer(
                begun.photos, begun.glasses, config, out, fabric=begun.fabric, start=start,
                challenge=challenge, about=begun.about, resume=resume, progress=progress,
            )  # fmt: skip
        if begun.fabric.is_global_zero:
            recipe = {**asdict(config), **asdict(begun.about), "init": path.name}
            report_training(trained, scores, begun.photos, out, recipe)


def _recipe(arch: str, epochs: int) -> "RecognizerTraining":
    """How a recogniser that has learnt goes on; the last weights are kept, not the best bare."""
    from agns.training.recipe import RecognizerTraining, recipe_for

    usual = dataclasses.replace(
        recipe_for(arch, anew=False), epochs=epochs, rate=1e-4, validation_fraction=0.0,
        erased_share=0.0, sizes=(), norms=False,
    )  # fmt: skip
    return settings_of(RecognizerTraining, usual)


def _enrolled_anew(
    gallery: "Gallery", path: Path, options: FaceOptions, settings: "Masking", out: Path
) -> "tuple[Gallery, str]":
    """A gallery of templates of masked photos, and its file, which is written."""
    from agns.defence.enrolling import enrol_masked
    from agns.models.record import recorded_crop
    from agns.storage import read_metadata

    told = json.loads(read_metadata(path)["embedder"])["source"]
    if not Path(told).exists() and (beside := path.parent / Path(told).name).exists():
        told = str(beside)
    everybody = open_faces(
        dataclasses.replace(options, to_split=False, center_crop=recorded_crop(gallery.record))
    )
    with bar("Enrolling anew") as progress:
        made = enrol_masked(gallery, everybody, settings, progress=progress)
    made.write(out / "gallery.safetensors", source=told)
    return made, str(out / "gallery.safetensors")
