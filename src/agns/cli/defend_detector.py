"""`agns defend detector`: a detector of adversarial eyeglasses before a recogniser."""

import dataclasses
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agns.cli.console import bar, percent, prepare, say
from agns.cli.face_options import FaceOptions, open_glasses
from agns.cli.interrupts import between_steps
from agns.cli.options import (
    CenterCropOption,
    FacesOption,
    GlassesOption,
    IdentitiesOption,
    RecognizerOption,
    SkipOption,
)
from agns.cli.settings_options import Settings, settings_of
from agns.cli.train import OutOption, ResumeOption

if TYPE_CHECKING:
    from agns.attack.attack import Attack
    from agns.data.faces import FaceSet
    from agns.defence.detector_training import DetectorTraining, SubjectPhotos
    from agns.models.victim import Victim
    from agns.types import Glasses

DETECTOR = Settings("agns.defence.detector_training:DetectorTraining")


def detector(
    out: OutOption,
    recognizer: RecognizerOption = None,
    faces: FacesOption = None,
    identities: IdentitiesOption = None,
    center_crop: CenterCropOption = None,
    skip_unreadable: SkipOption = False,
    method: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Attack that makes the frames to detect, as agns attack "
            "names it; with its usual settings.",
        ),
    ] = "agn",
    glasses: GlassesOption = None,
    frames: Annotated[
        int, typer.Option(help="Drawn eyeglasses that attacks see, at 16 a step.", min=32)
    ] = 1600,
    resume: ResumeOption = False,
) -> None:
    """Train a detector of adversarial eyeglasses on some subjects, and test it on the others.

    Each subject dodges, and is taken for the next; the frames are kept, so that a run that was
    broken off goes on. RUN holds defence.safetensors, to be given as --recognizer.
    """
    from agns.attack.methods import find_attack
    from agns.cli.loading import open_fresh
    from agns.defence.detector import detector_at, find_tap
    from agns.defence.detector_training import DetectorTraining, split_subjects, train_detector
    from agns.errors import ConfigError
    from agns.evaluation.detection import score_detection
    from agns.evaluation.plots import draw_roc
    from agns.models.victim import people_known
    from agns.run_directory import RunDirectory
    from agns.storage import write_json

    prepare()
    config, attack = settings_of(DetectorTraining), find_attack(method)
    RunDirectory.check(out, resume=resume)
    options = FaceOptions(root=faces, center_crop=center_crop, skip_unreadable=skip_unreadable)
    source = "" if recognizer is None else str(recognizer)
    victim, photos = open_fresh(recognizer, options)
    inner = victim.recognizer
    tap = config.tap or find_tap(inner)
    # Before attacks on everybody: whether there is anything to read.
    detector_at(inner, tap)
    counts = {name: len(_photos_of(photos, name)) for name in people_known(inner)}
    most = sorted(
        (name for name, count in counts.items() if count > 1), key=lambda one: -counts[one]
    )
    asked = len(most) if identities is None else max(0, identities)
    if asked > len(most):
        raise ConfigError(
            f"--identities asks for {asked} people, and {len(most)} that the recogniser knows have "
            "two photos or more"
        )
    names = [name for name in counts if name in most[:asked]]
    if len(names) < 2:
        raise ConfigError(f"a detector needs two subjects with photos, got {len(names)}")
    training, held = split_subjects(names, config)
    RunDirectory(
        out, {**asdict(config), "tap": tap, "method": method, "frames": frames,
              "identities": identities,
              "attack": asdict(attack) if dataclasses.is_dataclass(attack) else {}},
        resume=resume, origin={"victim": source},
    )  # fmt: skip
    drawn = open_glasses(glasses, count=None if glasses else frames)
    made = {
        name: _photos_to_detect(inner, _photos_of(photos, name), names, attack, config, drawn,
                                out / "frames" / f"{at:03d}.safetensors",
                                title=f"Attacking as {name}, {at + 1} of {len(names)}")
        for at, name in enumerate(names)
    }  # fmt: skip
    with bar("Training the detector") as progress:
        detected, losses = train_detector(
            inner, [made[name] for name in training], config, tap=tap, progress=progress
        )
    suspicions = [
        {str(kind): detected.suspect(some).cpu() for kind, some in made[name].photos.items()}
        for name in held
    ]
    scores = score_detection(suspicions, seed=config.seed)
    detected.write(out / "defence.safetensors", victim=inner, source=source)
    tried = sum(one.tried for one in made.values())
    fooled = sum(len(one.photos["adversarial"]) for one in made.values())
    write_json(out / "detector.json", {
        "settings": config, "tap": tap, "method": method, "victim": source, "training": training,
        "held_out": held, "tried": tried, "fooled": fooled, "losses": losses, "scores": scores,
    })  # fmt: skip
    curve = {
        "false_acceptance": scores.roc["false_alarms"],
        "true_acceptance": scores.roc["recall"],
    }
    draw_roc(out / "roc.png", curve, eer=scores.eer,
             axes=("other photos refused", "adversarial photos refused"))  # fmt: skip
    say(f"{fooled} of {tried} photos that wear an attack's frame fool the recogniser.")
    for words, rate in (
        ("adversarial photos", scores.recall),
        ("photos without a frame", scores.false_alarms),
        ("photos with benign glasses", scores.false_alarms_benign),
    ):
        low, high = rate.interval
        say(
            f"Refused, of {rate.photos} {words} of {len(held)} subjects held out: "
            f"{percent(rate.share)} (95 % interval {percent(low)} to {percent(high)})."
        )
    precision = f"Precision {percent(scores.precision)}"
    if scores.precision_interval is not None:
        low, high = scores.precision_interval
        precision += f" (95 % interval over photos {percent(low)} to {percent(high)})"
    say(f"{precision}, area under the ROC curve {scores.auc:.3f}.")
    say(f"Wrote {out / 'defence.safetensors'}, {out / 'detector.json'} and {out / 'roc.png'}")


def _photos_of(photos: "FaceSet", name: str) -> "FaceSet":
    import torch

    if name not in photos.identities:
        return photos.subset(torch.arange(0))
    return photos.of(name)


def _photos_to_detect(
    victim: "Victim",
    photos: "FaceSet",
    names: list[str],
    attack: "Attack",
    config: "DetectorTraining",
    glasses: "Glasses",
    kept: Path,
    *,
    title: str,
) -> "SubjectPhotos":
    from agns.defence.detector_training import goals_of, photos_of_subject

    subject = photos.identities[int(photos.labels[0])]
    with bar(title) as shown, between_steps(shown) as progress:
        return photos_of_subject(
            victim, photos, goals_of(subject, names), attack, config, glasses, kept=kept,
            progress=progress,
        )  # fmt: skip
