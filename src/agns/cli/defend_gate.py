"""`agns defend gate`: what a capture check would say of photos that wear an attack's frame."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from agns.cli.attack_folder import open_attack
from agns.cli.console import bar, percent, prepare, say, show
from agns.cli.face_options import open_glasses
from agns.cli.options import DeviceOption, GlassesOption, RecognizerOption, SeedOption
from agns.cli.settings_options import Settings, settings_of

CHECK = Settings("agns.evaluation.gate:CaptureCheck")

WRITTEN = "gate.json"
"""What is measured, in the attack's directory."""


def gate(
    result: Annotated[
        Path, typer.Argument(metavar="DIR", help="Directory with the results of `agns attack`.")
    ],
    faces: Annotated[
        Path | None,
        typer.Option("--faces", metavar="DIR", help="The attack's faces.  [default: drawn faces]"),
    ] = None,
    recognizer: RecognizerOption = None,
    glasses: GlassesOption = None,
    finder: Annotated[
        Literal["mediapipe", "dlib"] | None,
        typer.Option(help="What finds faces.  [default: mediapipe where it is, else dlib]"),
    ] = None,
    landmarker: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Its model, as for `agns align`.")
    ] = None,
    benign_frames: Annotated[int, typer.Option(help="Frames to compare with.", min=1)] = 4,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
) -> None:
    """Count the held-out photos that a capture check refuses, with the frame, others, and none.

    It asks for a face, for open eyes, and that no more of the eyes' surroundings is covered than
    without glasses. Who refuses benign glasses too has no defence, but a rule against glasses.
    """
    import torch

    from agns.accessory.placement import FIXED
    from agns.data.landmark_finding import choose_finder, landmarker_model, load_landmarker
    from agns.evaluation.controls import control_frames
    from agns.evaluation.gate import CaptureCheck, measure_gate
    from agns.storage import write_json

    prepare()
    check = settings_of(CaptureCheck)
    attack = open_attack(result, recognizer, faces, device, seed=seed, writes=WRITTEN, scores=False)
    chosen = choose_finder(finder)
    with bar("Downloading") as progress:
        model = landmarker_model(chosen, landmarker, progress=progress)
    photos = attack.held_out.faces(torch.arange(len(attack.held_out)))
    some = open_glasses(glasses, count=None if glasses else 1000)
    benign = control_frames(some, count=benign_frames, rng=torch.Generator().manual_seed(seed))[
        "benign"
    ]
    each = torch.arange(len(photos))
    worn = [FIXED.wear(photos, frame[None], each) for frame in (*attack.frame, *benign)]
    sets = {"no frame": photos, "this frame": worn[0], "benign frames": torch.cat(worn[1:])}
    with bar("Checking photos") as progress:
        found = measure_gate(
            [list(pictures) for pictures in sets.values()], load_landmarker(chosen, model), check,
            progress=progress,
        )  # fmt: skip
    told = dict(zip(sets, found, strict=True))
    write_json(result / WRITTEN, {"check": check, "finder": chosen, "seed": seed, **told})
    rows = [
        (
            name, str(one.photos), percent(one.no_face), percent(one.closed_eyes),
            percent(one.covered), percent(one.refused),
            f"{one.interval[0]:.0%} to {one.interval[1]:.0%}",
        )
        for name, one in told.items()
    ]  # fmt: skip
    head = ("", ">photos", ">no face", ">eyes closed", ">covered", ">refused", ">95 % interval")
    show(head, rows)
    say(f"Wrote {result / WRITTEN}")
