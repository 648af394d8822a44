"""Enrolling somebody of whom there are only photos with the marked frame on.

Whoever wants to dodge a recogniser must be one of its identities. Trained on the marked photos
themselves, it would come to know the frame; so benign frames are laid over it, as in an attack.
"""

from pathlib import Path

import torch

from agns.data.marked_photos import MarkedPhotos
from agns.data.photographs import write_sources
from agns.data.splits import craft_held_out_split
from agns.errors import ConfigError, DataError
from agns.images import from_pixels, write_image
from agns.types import Glasses, Progress, silent


def write_enrolment(
    out: Path,
    marked: MarkedPhotos,
    frames: Glasses,
    *,
    craft: int = 16,
    per_photo: int = 20,
    seed: int = 0,
    progress: Progress = silent,
) -> tuple[str, ...]:
    """Write some of a subject's photos, each with several benign frames over the worn one.

    The photos are those that an attack with the same `craft` and `seed` would be made on; the
    others stay unseen. A recogniser that is trained on the pictures counts as having seen the
    photos they are of, which an attack then scores nothing on.

    Args:
        out: The identity's folder: pictures, and `photographs.json`, which says what they are of.
        marked: All photos of the subject.
        frames: Benign ones; each picture has another.
        craft: Most photos to take; never more than half of them.
        per_photo: Frames for each.
        seed: Chooses photos and frames.
        progress: Told after each picture.

    Returns:
        The names of the photos taken.

    Raises:
        ConfigError: There are fewer frames than pictures, or none are asked for.
        DataError: Half of the photos are fewer than two, too few to train and test on.
    """
    (subject,) = marked.faces.identities
    chosen = craft_held_out_split(marked.faces, subject=subject, craft=craft, seed=seed).first
    if len(chosen) < 2:
        raise DataError(
            f"only {len(chosen)} of {len(marked.faces)} photos of {subject} would be taken, half "
            "at most: to train and to test on takes two"
        )
    count = len(chosen) * per_photo
    if not 0 < count <= len(frames):
        raise ConfigError(
            f"{len(chosen)} photos with {per_photo} frames each need {count} of them, at least 1: "
            f"there are {len(frames)}"
        )
    draws = torch.Generator().manual_seed(seed)
    drawn = torch.randperm(len(frames), generator=draws)[:count]
    photos = marked.faces.faces(torch.arange(len(marked.faces)))
    rows = []
    for number, (place, frame) in enumerate(
        zip(chosen.repeat_interleave(per_photo), drawn, strict=True), 1
    ):
        picture = marked.placement.wear(photos, from_pixels(frames[frame][None]), place[None])
        name = f"{number:03d}.png"
        write_image(out / name, picture[0].clamp(0, 1))
        at = int(place)
        rows.append(
            {"photo": name, "of": marked.faces.photos[at], "digest": marked.faces.digests[at]}
        )
        progress(number, count, {})
    write_sources(out, rows, seed=seed)
    return tuple(marked.faces.photos[place] for place in chosen.tolist())
