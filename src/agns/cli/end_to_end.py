"""`agns end-to-end`: an attack's frame in raw photos, through detector, alignment, recogniser."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from agns.cli.attack_folder import open_attack
from agns.cli.console import bar, percent, prepare, say, show
from agns.cli.face_options import open_glasses
from agns.cli.options import (
    DefenceOption,
    DeviceOption,
    GlassesOption,
    RecognizerOption,
    SeedOption,
)

WRITTEN = "end_to_end.json"
"""What is measured, in the attack's directory."""


def end_to_end(
    result: Annotated[
        Path, typer.Argument(metavar="DIR", help="Directory with the results of `agns attack`.")
    ],
    faces: Annotated[
        Path,
        typer.Option(
            "--faces", metavar="DIR", help="The attack's faces, as `agns align` wrote them."
        ),
    ],
    recognizer: RecognizerOption = None,
    defence: DefenceOption = None,
    glasses: GlassesOption = None,
    finder: Annotated[
        Literal["mediapipe", "dlib"] | None,
        typer.Option(help="What finds faces.  [default: what found them before]"),
    ] = None,
    landmarker: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Its model, as for `agns align`.")
    ] = None,
    benign_frames: Annotated[int, typer.Option(help="Frames to compare with.", min=1)] = 4,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
) -> None:
    """Put an attack's frame on in the raw photos that it held out, and find their faces anew.

    Each photo goes the way of a user's pipeline: the frame is worn in the photo as it was taken,
    a detector looks for the face, which is aligned and recognised. Photos in which no face is
    found are counted apart. Give the attack's recogniser and faces again.
    """
    import torch

    from agns.data.aligned_folder import RECORD, aligned_by
    from agns.data.alignment_jobs import raw_photos
    from agns.data.landmark_finding import choose_finder, landmarker_model, load_landmarker
    from agns.errors import FaceNotFound
    from agns.evaluation.controls import control_frames
    from agns.evaluation.end_to_end import draw_end_to_end, measure_end_to_end
    from agns.images import read_image
    from agns.models.layout import device_of
    from agns.storage import versions, write_json

    prepare()
    attack = open_attack(
        result, recognizer, faces, device, seed=seed, defence=defence, writes=WRITTEN
    )
    photos = raw_photos(faces / RECORD, attack.held_out.photos)
    before, choice = aligned_by(faces)
    chosen = choose_finder(finder or before)
    with bar("Downloading") as progress:
        model = landmarker_model(chosen, landmarker, progress=progress)
    controls = control_frames(
        open_glasses(glasses, count=None if glasses else 1000),
        count=benign_frames,
        rng=torch.Generator().manual_seed(seed),
    )
    victim = attack.victim.recognizer
    with bar("Wearing, finding, recognising") as progress:
        score = measure_end_to_end(
            victim,
            attack.goal,
            [read_image(photo) for photo in photos],
            attack.held_out.faces(torch.arange(len(photos))),
            attack.frame,
            controls["benign"],
            find=load_landmarker(chosen, model),
            choice=choice,
            progress=progress,
        )
    if not score.places:
        raise FaceNotFound(f"{chosen} finds no face in {photos[0]} or in the others, bare as is")
    write_json(
        result / WRITTEN,
        {
            **asdict(score.success),
            "operating_points": [
                {
                    "false_accept_rate": point.false_accept_rate,
                    "threshold": point.threshold,
                    **asdict(point.success),
                }
                for point in score.operating_points
            ],
            "photos": [attack.photos[place] for place in score.places],
            "without_face": [attack.photos[place] for place in score.without_face],
            "recognizer": attack.victim.name,
            "warnings": attack.warnings,
            "finder": chosen,
            "faces": choice,
            "seed": seed,
            "benign_frames": benign_frames,
            "device": str(device_of(victim)),
            "versions": versions(),
        },
    )
    draw_end_to_end(result / "end_to_end.png", score, title=f"{attack.title}, end to end")
    if missing := len(score.without_face):
        say(f"{missing} of {len(photos)} photos show no face that {chosen} finds: left out.")
    own = score.success
    aligned = percent(own.on_aligned_faces.success_rate)
    rows = [
        (
            name,
            str(part.photos),
            percent(part.no_face),
            percent(part.success_rate),
            _between(part.interval),
            percent(part.success_of_found),
        )
        for name, part in (
            ("this frame", own.worn), ("benign frames", own.benign), ("no frame", own.bare)
        )
    ]  # fmt: skip
    head = ("", ">photos", ">no face found", ">success", ">95 % interval", ">of faces found")
    show(head, rows)
    if score.operating_points:
        show(
            (">false accepts", ">this frame", ">95 % interval", ">benign frames", ">no frame",
             ">aligned before"),
            [
                (
                    f"{point.false_accept_rate:g}",
                    percent(point.success.worn.success_rate),
                    _between(point.success.worn.interval),
                    percent(point.success.benign.success_rate),
                    percent(point.success.bare.success_rate),
                    percent(point.success.on_aligned_faces.success_rate),
                )
                for point in score.operating_points
            ],
        )  # fmt: skip
    say(f"On the aligned faces, the frame's success is {aligned}.")
    say(f"Wrote {result / WRITTEN} and end_to_end.png beside it.")


def _between(interval: tuple[float, float] | None) -> str:
    return "-" if interval is None else f"{interval[0]:.0%} to {interval[1]:.0%}"
