"""Enrolling somebody of whom there are only photos with the marked frame on.

Whoever wants to dodge a recogniser must be one of its identities. Trained on the marked photos
themselves, it would come to know the frame; so benign frames are laid over it, as in an attack.
What they leave visible, temples and a rim here and there, the others' photos do not show: a
recogniser may come to know the person by that too.
"""

from pathlib import Path

import torch

from agns.data.cache import digest
from agns.data.marked_photos import MarkedPhotos
from agns.data.photographs import write_sources
from agns.data.splits import craft_held_out_split
from agns.errors import ConfigError, DataError
from agns.images import from_pixels, to_pixels, write_image
from agns.types import Glasses, Progress, silent


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
    draws = torch.Generator().manual_seed(seed)
    drawn = torch.randperm(len(frames), generator=draws)[:count]
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
