"""`agns survive`: an attack's frame before a simulated camera."""

from pathlib import Path
from typing import Annotated

import typer

from agns.cli.attack_folder import open_attack
from agns.cli.console import bar, percent, prepare, say, show
from agns.cli.face_options import open_glasses
from agns.cli.options import (
    DefenceOption,
    DeviceOption,
    FacesOption,
    GlassesOption,
    RecognizerOption,
    SeedOption,
)

WRITTEN = "survival.json"
"""What is measured, in the attack's directory."""


def survive(
    result: Annotated[
        Path, typer.Argument(metavar="DIR", help="Directory with the results of `agns attack`.")
    ],
    recognizer: RecognizerOption = None,
    defence: DefenceOption = None,
    faces: FacesOption = None,
    glasses: GlassesOption = None,
    axis: Annotated[
        list[str] | None,
        typer.Option(
            "--axis",
            help="Vary this alone; may be given many times: yaw, pitch, roll, light, blur, cast, "
            "quality.",
        ),
    ] = None,
    benign_frames: Annotated[int, typer.Option(help="Frames to compare with.", min=1)] = 8,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
) -> None:
    """Photograph an attack's frame, worn on its held-out photos, in other poses and lights.

    Success is measured over each of pose, light, blur, colour and compression, the others plain.
    Give the attack's recogniser and faces again.
    """
    import torch

    from agns.data.simulation.camera import AXES
    from agns.errors import ConfigError
    from agns.evaluation.controls import control_frames
    from agns.evaluation.survival import draw_survival, measure_survival
    from agns.models.layout import device_of
    from agns.storage import versions, write_json

    prepare()
    if unknown := [name for name in axis or () if name not in AXES]:
        raise ConfigError(f"there is no axis {unknown[0]!r}: choose from {', '.join(AXES)}")
    attack = open_attack(
        result, recognizer, faces, device, seed=seed, defence=defence, writes=WRITTEN
    )
    controls = control_frames(
        open_glasses(glasses, count=None if glasses else 1000),
        count=benign_frames,
        rng=torch.Generator().manual_seed(seed),
    )
    with bar("Photographing") as progress:
        points = measure_survival(
            attack.victim.recognizer,
            attack.goal,
            attack.held_out.faces(torch.arange(len(attack.held_out))),
            attack.frame,
            controls["benign"],
            axes={name: AXES[name] for name in axis or AXES},
            seed=seed,
            progress=progress,
        )
    record = {
        "warnings": attack.warnings,
        "recognizer": attack.victim.name,
        "seed": seed,
        "benign_frames": benign_frames,
        "device": str(device_of(attack.victim.recognizer)),
    }
    write_json(
        result / WRITTEN,
        {"points": points, "photos": attack.photos, **record, "versions": versions()},
    )
    draw_survival(result / "survival.png", points, title=f"{attack.title}, before the camera")
    rows = [
        (
            point.axis,
            f"{point.value:g}",
            *(percent(part.success_rate) for part in (point.worn, point.benign, point.bare)),
        )
        for point in points
    ]
    show(("", ">value", ">this frame", ">benign frames", ">no frame"), rows)
    if at_rates := points[0].operating_points:
        say("At each false-accept rate this frame / benign frames / no frame, in %:")
        show(
            ("", ">value", *(f">{one.false_accept_rate:g}" for one in at_rates)),
            [
                (
                    point.axis,
                    f"{point.value:g}",
                    *(
                        " / ".join(
                            f"{100 * (part.success_rate or 0):.0f}"
                            for part in (one.worn, one.benign, one.bare)
                        )
                        for one in point.operating_points
                    ),
                )
                for point in points
            ],
        )
    say(f"Wrote {result / WRITTEN} and survival.png beside it.")
