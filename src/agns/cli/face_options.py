"""Faces and eyeglasses that a command line names: read from folders, or drawn."""

import shlex
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from agns.cli.console import bar, say, workers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agns.data.faces import FaceSet
    from agns.data.listing import LeftOut
    from agns.types import Glasses

SYNTHETIC_TRAINING_PHOTOS = 80
"""Photos of each drawn identity that recognisers are trained and tested on."""

SYNTHETIC_FRESH_PHOTOS = 48
"""Further photos of each drawn identity, for attacks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceOptions:
    """The options that choose faces: a folder, and what `FaceSelection` takes of it."""

    root: Path | None
    identities: int | None = None
    minimum_photos: int | None = None
    names: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    exclude_most: int = 0
    center_crop: int | None = None
    skip_unreadable: bool = False
    to_split: bool = True

    @property
    def source(self) -> str:
        """Where the faces come from, for a run's record."""
        if self.root is None:
            return "faces drawn by agns"
        crop = f", central {self.center_crop} pixels" if self.center_crop else ""
        # The folder's name alone: weights carry it, and are given away.
        return f"{self.root.resolve().name}{crop}"


def open_faces(options: FaceOptions, *, quiet: bool = False) -> "FaceSet":
    """Faces of a folder, or drawn ones for training and testing.

    Args:
        options: Which.
        quiet: Leave it to the caller to say which pictures were left out.

    Raises:
        ConfigError: Options of a folder without one.
    """
    from agns.data.face_folder import FaceSelection, load_faces
    from agns.data.simulation.synthetic import SyntheticConfig, synthetic_faces
    from agns.errors import ConfigError

    if options.root is None:
        if options.names or options.minimum_photos is not None:
            raise ConfigError("--name and --minimum-photos belong to a face folder: give --faces")
        check_faces_options(None, options.center_crop, skip_unreadable=options.skip_unreadable)
        identities = 10 if options.identities is None else options.identities
        config = SyntheticConfig(identities=identities, photos=SYNTHETIC_TRAINING_PHOTOS)
        with bar("Drawing faces") as progress:
            return synthetic_faces(config, workers=workers(), progress=progress)
    chosen = {name: value for name, value in asdict(options).items() if name != "root"}
    with bar("Reading faces") as progress:
        faces = load_faces(options.root, FaceSelection(**chosen), progress=progress)
    for sentence in () if quiet else faces.skipped:
        say(sentence)
    if blank := faces.without_photos:
        say(f"{len(blank)} identities without photos were left out: {blank[0]}", aside=True)
    tell_left_out(options.root, faces.left_out)
    return faces


def tell_left_out(folder: Path, left_out: "Sequence[LeftOut]") -> None:
    """Say on standard error how many files and folders were left out, and how to see them."""
    if not left_out:
        return
    folders = sum(one.folder for one in left_out)
    counts = (("file", len(left_out) - folders), ("folder", folders))
    words = " and ".join(f"{n} {kind}{'s' if n > 1 else ''}" for kind, n in counts if n)
    was, first = "were" if len(left_out) > 1 else "was", left_out[0]
    say(
        f"{words} of {folder} {was} left out, such as {first.name} ({first.why}); "
        f"agns faces list {shlex.quote(str(folder))} --left-out names all",
        aside=True,
    )


def check_faces_options(
    root: Path | None, center_crop: int | None, *, skip_unreadable: bool
) -> None:
    """Refuse what says how to read a face folder, where there is none.

    Raises:
        ConfigError: Faces are drawn.
    """
    from agns.errors import ConfigError

    if root is None and (center_crop is not None or skip_unreadable):
        raise ConfigError(
            "--center-crop and --skip-unreadable belong to a face folder: give --faces"
        )


def say_saved_anew(count: int) -> None:
    """Tell how many photos are another one saved anew, if any are."""
    if count:
        say(
            f"{count} of the photos look like another one saved anew: such copies were kept on one "
            "side of every split."
        )


def open_subject(options: FaceOptions, subject: str, identities: tuple[str, ...]) -> "FaceSet":
    """One identity's photos; of a drawn one, photos that no recogniser was trained on."""
    from agns.data.simulation.synthetic import SyntheticConfig, synthetic_faces

    if options.root is not None:
        return open_faces(replace(options, names=(subject,)))
    config = SyntheticConfig(
        identities=len(identities),
        photos=SYNTHETIC_FRESH_PHOTOS,
        first_photo=SYNTHETIC_TRAINING_PHOTOS,
    )
    with bar(f"Drawing {SYNTHETIC_FRESH_PHOTOS} photos") as progress:
        return synthetic_faces(config, only=subject, progress=progress)


def open_glasses(
    folder: Path | None,
    *,
    mask: Path | None = None,
    names: Path | None = None,
    count: int | None = None,
) -> "Glasses":
    """Eyeglasses of a folder, or the first of the drawn set.

    Raises:
        ConfigError: Options of a folder without one, or a number of frames with one.
    """
    from agns.data.eyeglasses import read_eyeglasses
    from agns.data.listing import list_folder
    from agns.data.simulation.drawn_frames import EYEGLASS_COUNT, load_drawn_frames
    from agns.errors import ConfigError

    if folder is None:
        if mask is not None or names is not None:
            raise ConfigError("--mask and --names belong to a folder of eyeglasses: give --glasses")
        with bar("Drawing eyeglasses") as progress:
            return load_drawn_frames(count or EYEGLASS_COUNT, workers=workers(), progress=progress)
    with bar("Reading eyeglasses") as progress:
        glasses = read_eyeglasses(folder, mask=mask, names=names, progress=progress)
    if names is None:
        tell_left_out(folder, list_folder(folder).left_out)
    return glasses
