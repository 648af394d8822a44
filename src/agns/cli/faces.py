"""`agns faces`: the drawn identities as a folder, and what a folder holds."""

from pathlib import Path
from typing import Annotated

import typer

from agns.cli.console import bar, prepare, say, show, workers
from agns.cli.face_options import FaceOptions, open_faces, open_glasses, open_subject, tell_left_out
from agns.cli.options import (
    CenterCropOption,
    FacesOption,
    GlassesOption,
    IdentitiesOption,
    MinimumPhotosOption,
    NamesOption,
    SeedOption,
    SkipOption,
)
from agns.loading import load_victim
from agns.models.record import recorded_crop

app = typer.Typer(
    help="Draw faces of people who do not exist; list a folder.", no_args_is_help=True
)


def _check_new(out: Path) -> None:
    from agns.errors import ConfigError

    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out} is already there and not an empty folder: name another")


@app.command("draw")
def draw(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Face folder to write.")],
    identities: Annotated[int, typer.Option(help="People.", min=1)] = 10,
    photos: Annotated[int, typer.Option(help="Photos of each.", min=1)] = 80,
    first_photo: Annotated[int, typer.Option(help="Number of the first photo.", min=0)] = 0,
    seed: SeedOption = 0,
) -> None:
    """Write faces of people who do not exist, with their 68 landmarks as CSV beside them."""
    from agns.data.simulation.synthetic import SyntheticConfig, write_synthetic_folder

    _check_new(out)
    config = SyntheticConfig(
        identities=identities, photos=photos, seed=seed, first_photo=first_photo
    )
    with bar("Drawing faces") as progress:
        write_synthetic_folder(out, config, workers=workers(), progress=progress)
    say(f"Wrote {identities * photos} photos of {identities} identities to {out}")


@app.command("photograph")
def photograph(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the photos.")],
    subject: Annotated[str, typer.Option(metavar="NAME", help="Who wears the marked frame.")],
    faces: FacesOption = None,
    photos: Annotated[int, typer.Option(help="How many, at most.", min=2)] = 48,
    recognizer: Annotated[
        Path | None,
        typer.Option(
            "--unseen-by",
            metavar="FILE",
            help="Recogniser to be attacked: photos it was trained on are left out.",
        ),
    ] = None,
    strength: Annotated[
        float, typer.Option(help="How far pose, light and lens depart from plain ones, 0 to 1.")
    ] = 1.0,
    seed: SeedOption = 0,
) -> None:
    """Photograph somebody who wears the marked frame, with a simulated camera.

    The photos are ready for `agns attack ... --physical --photos DIR`; `photographs.json` beside
    them tells each one's scene and the true homography of the frame.
    """
    import torch

    from agns.data.simulation.wearer import write_wearer
    from agns.models.record import photos_seen

    _check_new(out)
    victim = load_victim(recognizer)
    options = FaceOptions(root=faces, center_crop=recorded_crop(victim.metadata))
    own = open_subject(options, subject, victim.recognizer.identities)
    with bar("Photographing") as progress:
        count = write_wearer(
            out,
            own,
            subject,
            seen=photos_seen(victim.metadata),
            most=photos,
            rng=torch.Generator().manual_seed(seed),
            strength=strength,
            progress=progress,
        )
    say(f"Wrote {count} photos of {subject} wearing the marked frame to {out}")


@app.command("enrol")
def enrol(
    photos: Annotated[
        Path,
        typer.Option(metavar="DIR", help="Aligned photos of somebody wearing the marked frame."),
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="The identity's folder in a face folder.")
    ],
    most: Annotated[
        int, typer.Option(help="Photos to take, at most; never over half of them.", min=2)
    ] = 16,
    frames: Annotated[int, typer.Option(help="Benign frames for each.", min=1)] = 20,
    skip_unmarked: Annotated[
        bool,
        typer.Option(
            "--skip-unmarked", help="Leave out photos that do not show exactly seven marks."
        ),
    ] = False,
    glasses: GlassesOption = None,
    seed: SeedOption = 0,
) -> None:
    """Cover the marked frame in photos with benign ones, to train a recogniser on who wears it.

    Who wants to dodge must be one of the recogniser's identities. An attack scores no photo that
    the recogniser was trained on; half of the photos at least are not taken.
    """
    from agns.data.listing import SYSTEM_FOLDERS
    from agns.data.marked_photos import load_marked_photos, write_enrolment
    from agns.errors import ConfigError
    from agns.training.training_data import split_glasses
    from agns.writing import is_text

    _check_new(out)
    subject = out.resolve().name
    if subject[0] == "." or subject == "aligned" or subject.casefold() in SYSTEM_FOLDERS:
        raise ConfigError(f"{out} is no identity's folder: its name becomes the identity's")
    if not is_text(subject):
        raise ConfigError(
            f"the name of {subject!r}, which becomes the identity's, is not UTF-8 text: no face "
            "folder could be read with it"
        )
    prepare()
    marked = load_marked_photos(photos, subject, skip_unmarked=skip_unmarked)
    tell_left_out(photos, marked.left_out)
    # The frames that recognisers are tested with stay unseen.
    benign, _ = split_glasses(open_glasses(glasses, count=None if glasses else 2000))
    with bar("Covering frames") as progress:
        taken = write_enrolment(
            out, marked, benign, most=most, per_photo=frames, seed=seed, progress=progress
        )
    say(
        f"Wrote {len(taken) * frames} pictures of {subject} to {out}, of the photos "
        f"{', '.join(taken)}; {len(marked.faces) - len(taken)} were not taken"
    )


@app.command("list")
def list_folder(
    root: Annotated[Path, typer.Argument(metavar="DIR", help="Face folder.")],
    identities: IdentitiesOption = None,
    minimum_photos: MinimumPhotosOption = None,
    name: NamesOption = None,
    center_crop: CenterCropOption = None,
    skip_unreadable: SkipOption = False,
    classes: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the class mapping as JSON.")
    ] = None,
    contact_sheet: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a picture, a row per identity.")
    ] = None,
    mean_face: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write the mean of all photos: where features are sharp, faces are aligned.",
        ),
    ] = None,
    left_out: Annotated[
        bool,
        typer.Option(
            "--left-out",
            help="Name what no command takes from the folder, and why, without decoding photos; "
            "also of a folder of eyeglasses or of one person's photos.",
        ),
    ] = False,
) -> None:
    """Check a face folder: decode every photo, and count those of each identity."""
    import torch

    from agns.data.face_folder import list_left_out
    from agns.data.faces import write_classes
    from agns.images import check_picture_name, tile, write_image

    for picture in (contact_sheet, mean_face):
        if picture is not None:
            check_picture_name(picture)
    if left_out:
        others = list_left_out(root)
        show(("left out", "what it is"), [(one.name, one.why) for one in others])
        return
    options = FaceOptions(
        root=root,
        identities=identities,
        minimum_photos=minimum_photos,
        names=tuple(name or ()),
        center_crop=center_crop,
        skip_unreadable=skip_unreadable,
        to_split=False,
    )
    faces = open_faces(options)
    counts = torch.bincount(faces.labels, minlength=len(faces.identities)).tolist()
    rows = [
        (str(label), identity, str(count))
        for label, (identity, count) in enumerate(zip(faces.identities, counts, strict=True))
    ]
    show((">class", "identity", ">photos"), rows)
    if classes is not None:
        write_classes(classes, faces.identities)
        say(f"Wrote {classes}")
    if contact_sheet is not None:
        columns = min(8, min(counts))
        chosen = torch.cat([faces.places_of(identity)[:columns] for identity in faces.identities])
        write_image(contact_sheet, tile(faces.faces(chosen), columns=columns))
        say(f"Wrote {contact_sheet}")
    if mean_face is not None:
        parts = torch.arange(len(faces)).split(256)
        sums = torch.stack([faces.faces(part).sum(0, dtype=torch.float64) for part in parts])
        write_image(mean_face, (sums.sum(0) / len(faces)).float())
        say(f"Wrote {mean_face}")
