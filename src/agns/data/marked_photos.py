"""Photos of somebody who wears the frame with seven green marks, for a physical attack."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from agns.accessory.mark_finding import find_marks
from agns.accessory.marks import marks_homography
from agns.accessory.placement import Placement
from agns.data.faces import FaceSet, faces_from_pixels
from agns.data.listing import READ, LeftOut, list_folder
from agns.data.photographs import read_sources
from agns.errors import ConfigError, DataError, ImageContractError, MarksNotFound
from agns.images import read_image, to_pixels
from agns.types import CANVAS, Points


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
    """Read a folder of aligned photos, and find the marks in each.

    Args:
        folder: Holds 224x224 pictures; they are taken in the order of their names.
        subject: Who wears the frame.
        skip_unmarked: Leave out photos that do not show exactly seven marks.

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
    kept, skipped, photos, marks = [], [], [], []
    for path in paths:
        photo = _read(path)
        try:
            centres = find_marks(photo, name=str(path)).centres
        except MarksNotFound as error:
            if not skip_unmarked:
                raise
            skipped.append(str(error))
            continue
        kept.append(path)
        photos.append(photo)
        marks.append(centres)
    if len(kept) < 2:
        raise MarksNotFound(
            f"only {len(kept)} of {len(paths)} pictures in {folder} show the marks: {skipped[0]}"
        )
    faces = faces_from_pixels(
        to_pixels(torch.stack(photos)),
        torch.zeros(len(kept), dtype=torch.int64),
        (subject,),
        tuple(path.name for path in kept),
    )
    first: dict[str, str] = {}
    for name, digest in zip(faces.photos, faces.digests, strict=True):
        if digest in first:
            raise DataError(f"{folder / name} is the same picture as {first[digest]}: remove one")
        first[digest] = name
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
