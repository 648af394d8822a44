"""`agns survive`: an attack's frame before a simulated camera."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agns.cli.console import bar, percent, prepare, say, show
from agns.cli.face_options import FaceOptions, open_glasses, open_subject
from agns.cli.options import (
    DeviceOption,
    FacesOption,
    GlassesOption,
    RecognizerOption,
    SeedOption,
)
from agns.loading import load_victim, recorded_crop

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agns.data.faces import FaceSet


def survive(
    result: Annotated[
        Path, typer.Argument(metavar="DIR", help="Directory with the results of `agns attack`.")
    ],
    recognizer: RecognizerOption = None,
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
    from agns.data.twins import were_seen
    from agns.errors import ConfigError
    from agns.evaluation.attack_spec import AttackSpec, build_goal
    from agns.evaluation.controls import control_frames
    from agns.evaluation.survival import draw_survival, measure_survival
    from agns.images import read_image
    from agns.models.layout import device_of
    from agns.models.record import photos_seen
    from agns.models.victim import freeze
    from agns.storage import versions, write_json

    prepare()
    if unknown := [name for name in axis or () if name not in AXES]:
        raise ConfigError(f"there is no axis {unknown[0]!r}: choose from {', '.join(AXES)}")
    report, held_out = _read_result(result)
    victim = load_victim(recognizer, device)
    subject, target = str(report["subject"]), report["target"]
    experiment = AttackSpec(
        goal="dodge" if target is None else "impersonate",
        subject=subject,
        target=None if target is None else str(target),
        seed=seed,
    )
    goal = build_goal(experiment, victim.recognizer)
    options = FaceOptions(
        root=faces, center_crop=_center_crop(report, victim.metadata), to_split=False
    )
    own = open_subject(options, subject, victim.recognizer.identities)
    chosen = _places(own, held_out, report, result)
    were = were_seen(own, photos_seen(victim.metadata)).tolist()
    if known := [own.photos[place] for place in chosen if were[place]]:
        raise ConfigError(
            f"{victim.name} knows {known[0]}, which the attack held out: give the "
            "attack's own recogniser with --recognizer"
        )
    if (before := report.get("recognizer")) not in (None, victim.name):
        say(f"Warning: the attack was made on {before}, and is photographed for {victim.name}.")
    controls = control_frames(
        open_glasses(glasses, count=None if glasses else 1000),
        count=benign_frames,
        rng=torch.Generator().manual_seed(seed),
    )
    with bar("Photographing") as progress:
        points = measure_survival(
            freeze(victim.recognizer),
            goal,
            own.faces(torch.tensor(chosen)),
            read_image(result / "frame.png", size=(64, 176))[None],
            controls["benign"],
            axes={name: AXES[name] for name in axis or AXES},
            seed=seed,
            progress=progress,
        )
    record = {
        "recognizer": victim.name,
        "seed": seed,
        "benign_frames": benign_frames,
        "device": str(device_of(victim.recognizer)),
    }
    write_json(
        result / "survival.json",
        {"points": points, "photos": held_out, **record, "versions": versions()},
    )
    aim = "dodges" if target is None else f"as {target}"
    draw_survival(result / "survival.png", points, title=f"{subject} {aim}, before the camera")
    rows = [
        (
            point.axis,
            f"{point.value:g}",
            *(percent(part.success_rate) for part in (point.worn, point.benign, point.bare)),
        )
        for point in points
    ]
    show(("", ">value", ">this frame", ">benign frames", ">no frame"), rows)
    say(f"Wrote {result / 'survival.json'} and survival.png beside it.")


def _center_crop(report: "Mapping[str, object]", metadata: "Mapping[str, object]") -> int | None:
    """How the attack's photos were cut: as it was told, or as the victim's own were."""
    config = report.get("config")
    told = config.get("center_crop") if isinstance(config, dict) else None
    return told if isinstance(told, int) else recorded_crop(metadata)


def _places(
    own: "FaceSet", held_out: "Sequence[str]", report: "Mapping[str, object]", result: Path
) -> list[int]:
    """Where the held-out photos are: by their digests, or in older results by their names.

    Raises:
        ConfigError: Some are not there.
    """
    from agns.data.faces import composed
    from agns.errors import ConfigError

    names, digests = list(map(composed, held_out)), report.get("held_out_digests")
    wanted, signs = names, own.photos
    if isinstance(digests, list) and len(digests) == len(names):
        wanted, signs = list(map(str, digests)), own.digests
    left, found, missing = list(range(len(own))), [], []
    for sign, name in zip(wanted, names, strict=True):
        # Pictures of one photo count as it, and are told apart by their names.
        alike = [place for place in left if signs[place] == sign]
        if not alike:
            missing.append(name)
            continue
        found.append(min(alike, key=lambda place: (own.photos[place] != name, place)))
        left.remove(found[-1])
    if missing:
        raise ConfigError(
            f"{len(missing)} of the {len(held_out)} photos that {result} was scored on are not "
            f"among these faces, {missing[0]} being one: give the folder of the attack with --faces"
        )
    return found


def _read_result(directory: Path) -> "tuple[Mapping[str, object], list[str]]":
    """The content of an attack's `result.json`, and the photos that it held out.

    Raises:
        ConfigError: There is none, or the attack was physical.
        DataError: It is not one.
    """
    from agns.errors import ConfigError, DataError
    from agns.storage import read_json

    path = directory / "result.json"
    if not path.is_file():
        raise ConfigError(f"{directory} holds no result.json of an attack")
    report = read_json(path)
    if not {"goal", "subject", "target", "photos"} <= report.keys():
        raise DataError(f"{path} is not the result of an attack")
    if report.get("physical"):
        raise ConfigError(
            f"{directory} is a physical attack, whose photos wear the marked frame already: the "
            "camera needs bare faces"
        )
    photos = report["photos"]
    listed = photos.get("held_out") if isinstance(photos, dict) else None
    if not isinstance(listed, list) or not listed or not all(isinstance(n, str) for n in listed):
        raise DataError(f"{path} lists no held-out photos")
    return report, listed
