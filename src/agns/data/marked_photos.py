"""Photos of somebody who wears the frame with seven green marks, for a physical attack."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from agns.accessory.mark_finding import find_marks
from agns.accessory.marks import marks_homography
from agns.accessory.placement import Placement
from agns.data.cache import digest
from agns.data.faces import FaceSet, faces_from_pixels
from agns.data.known_photos import read_sources, write_sources
from agns.data.listing import READ, LeftOut, list_folder
from agns.data.splits import craft_held_out_split
from agns.errors import ConfigError, DataError, ImageContractError, MarksNotFound
from agns.images import from_pixels, read_image, to_pixels, write_image
from agns.types import CANVAS, Glasses, Points, Progress, silent


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class MarkedPhotos:
    """One subject's photos, and where the worn frame is on each."""

    faces: FaceSet
    """The photos; the subject is their only identity. Of simulated photos, `digests` are those of
    the photos that they are of: what a recogniser was trained on is known by them."""

    marks: Points
    """(photos, 7, 2): the marks' centres in pixels."""

    placement: Placement
    """Lays frames over the worn one, photo by photo."""

    skipped: tuple[str, ...] = ()
    """One sentence for each photo that was left out because its marks were not found."""

    left_out: tuple[LeftOut, ...] = ()
    """What else lies in the folder."""


def load_marked_photos(folder: Path, subject: str, *, skip_unmarked: bool = False) -> MarkedPhotos:
    """Read a folder of aligned photos of a subject, and find the marks in each.

    The photos, of 224x224 pixels, are taken in the order of their names; with `skip_unmarked`,
    those that do not show exactly seven marks are left out.

    Raises:
        ConfigError: There is no such folder.
        DataError: It has fewer than two pictures, one of them twice, or a picture of another
            size; or marks that no frame before a camera could show.
        MarksNotFound: A photo does not show exactly seven marks.
        UnreadableImage: A picture does not decode.
    """
    if not folder.is_dir():
        raise ConfigError(f"there is no folder of photos {folder}")
    listing = list_folder(folder)
    paths = listing.pictures
    if len(paths) < 2:
        raise DataError(
            f"expected at least two pictures ({READ}) in {folder}, to craft on some and score on "
            f"others, found {len(paths)}{listing.others}"
        )
    skipped, photos, marks = [], {}, []
    for path in paths:
        photo = _read(path)
        try:
            marks.append(find_marks(photo, name=str(path)).centres)
            photos[path.name] = photo
        except MarksNotFound as error:
            if not skip_unmarked:
                raise
            skipped.append(str(error))
    if len(photos) < 2:
        raise MarksNotFound(
            f"only {len(photos)} of {len(paths)} pictures in {folder} show the marks: {skipped[0]}"
        )
    pixels, labels = to_pixels(torch.stack([*photos.values()])), torch.zeros(len(photos)).long()
    faces = faces_from_pixels(pixels, labels, (subject,), tuple(photos))
    first: dict[str, str] = {}
    for name, own in zip(faces.photos, faces.digests, strict=True):
        if own in first:
            raise DataError(f"{folder / name} is the same picture as {first[own]}: remove one")
        first[own] = name
    centres = torch.stack(marks)
    sources = read_sources(folder)
    digests = tuple(
        sources.digest_of(name, own) for name, own in zip(faces.photos, faces.digests, strict=True)
    )
    return MarkedPhotos(
        faces=replace(faces, digests=digests),
        marks=centres,
        placement=Placement(homographies=marks_homography(centres)),
        skipped=tuple(skipped),
        left_out=listing.left_out,
    )


def _read(path: Path) -> torch.Tensor:
    try:
        return read_image(path, size=(CANVAS, CANVAS))
    except ImageContractError as error:
        raise DataError(
            f"{error}: align it first, with agns align {path.parent} ALIGNED"
        ) from error


def write_enrolment(
    out: Path,
    marked: MarkedPhotos,
    frames: Glasses,
    *,
    most: int = 16,
    per_photo: int = 20,
    seed: int = 0,
    progress: Progress = silent,
) -> tuple[str, ...]:
    """Write some of a subject's photos, each with several benign frames over the worn one.

    Whoever wants to dodge a recogniser must be one of its identities. Trained on the marked photos
    themselves, it would come to know the frame; so benign frames are laid over it, as in an attack.
    What they leave visible, temples and a rim here and there, the others' photos do not show: a
    recogniser may come to know the person by that too.

    The pictures carry the digests of the photos they are of. So those of one photo are trained on
    or tested on together, and an attack scores no photo that the recogniser was trained on.

    Args:
        out: The identity's folder: pictures, and `photographs.json`, which says what they are of.
        marked: All photos of the subject.
        frames: Benign ones to train with; each picture has another.
        most: Photos at most; never more than half of them, so that the others stay unseen.
        per_photo: Frames for each.
        seed: Chooses photos and frames.
        progress: Told after each picture.

    Returns:
        The names of the photos taken.

    Raises:
        ConfigError: There are fewer frames than pictures, or fewer than two photos are asked for.
        DataError: Half of the photos are fewer than two, too few to train and test on.
    """
    if most < 2 or per_photo < 1:
        raise ConfigError(
            f"enrolling takes two photos at least, to train and to test on, and one frame for "
            f"each: got {most} and {per_photo}"
        )
    (subject,) = marked.faces.identities
    chosen = craft_held_out_split(marked.faces, subject=subject, craft=most, seed=seed).first
    if len(chosen) < 2:
        raise DataError(
            f"half of the {len(marked.faces)} photos of {subject} are fewer than two, too few to "
            "train and to test on"
        )
    count = len(chosen) * per_photo
    if count > len(frames):
        raise ConfigError(
            f"{len(chosen)} photos with {per_photo} frames each need {count} of them, and there "
            f"are {len(frames)} to train with: take fewer for each"
        )
    rng = torch.Generator().manual_seed(seed)
    drawn = torch.randperm(len(frames), generator=rng)[:count]
    photos = marked.faces.faces(torch.arange(len(marked.faces)))
    rows = []
    for number, (place, frame) in enumerate(
        zip(chosen.repeat_interleave(per_photo), drawn, strict=True), 1
    ):
        worn = marked.placement.wear(photos, from_pixels(frames[frame][None]), place[None])
        picture, name, at = worn.clamp(0, 1), f"{number:03d}.png", int(place)
        rows.append(
            {
                "photo": name,
                "of": marked.faces.photos[at],
                "digest": marked.faces.digests[at],
                "picture": digest(to_pixels(picture)[0].numpy()),
            }
        )
        # First what it is of: a picture that a killed run leaves is never taken for a new photo.
        write_sources(out, rows, {"seed": seed})
        write_image(out / name, picture[0])
        progress(number, count, {})
    return tuple(marked.faces.photos[place] for place in chosen.tolist())
