"""Photos of people who wear the marked frame, by a simulated camera, with the truth beside them."""

from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path

import torch

from agns.accessory.marks import marked_frame
from agns.data.alignment import POSES, alignment
from agns.data.cache import digest
from agns.data.faces import FaceSet
from agns.data.known_photos import write_sources
from agns.data.simulation.camera import (
    Scene,
    align_photos,
    draw_scene,
    photograph,
    scene_homography,
)
from agns.data.twins import find_twins, were_seen
from agns.errors import DataError
from agns.geometry import transform_points, warp
from agns.images import to_pixels, write_image
from agns.types import CANVAS, Faces, Homographies, Progress, silent


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class WornPhotos:
    """Photos, and how each came about."""

    photos: Faces
    """Aligned anew, as a landmarker without error would have it, in [0, 1]."""

    homographies: Homographies
    """(photos, 3, 3): the truth, from the frame's canvas to each photo."""

    scenes: tuple[Scene, ...]
    """How each was taken."""


def photograph_wearers(faces: Faces, *, rng: torch.Generator, strength: float = 1.0) -> WornPhotos:
    """Put the marked frame on each aligned face, and photograph it in a scene of its own.

    No two frames sit quite alike: each is shifted by up to 2 pixels and turned by up to 2 degrees.
    `strength`, in [0, 1], says how far scenes and frames depart from plain ones.

    Raises:
        ConfigError: The strength is out of range.
    """
    frame, mask = marked_frame()
    layers = torch.cat([frame[0] * mask, mask[None]])[None]
    photos, homographies, scenes = [], [], []
    for face in faces.split(1):
        scene = draw_scene(rng, strength=strength)
        sits = _sitting(rng, strength)
        laid = warp(layers, sits, (CANVAS, CANVAS))
        worn = face * (1 - laid[:, 3:]) + laid[:, :3]
        photos.append(align_photos(photograph(worn.clamp(0, 1), scene, rng=rng), scene))
        taken = scene_homography(scene)
        moved = alignment(transform_points(POSES["canonical"].points, taken)) @ taken @ sits
        homographies.append(moved / moved[2, 2])
        scenes.append(scene)
    return WornPhotos(
        photos=torch.cat(photos), homographies=torch.stack(homographies), scenes=tuple(scenes)
    )


def write_wearer(
    out: Path,
    faces: FaceSet,
    subject: str,
    *,
    seen: Container[str],
    most: int,
    rng: torch.Generator,
    strength: float = 1.0,
    progress: Progress = silent,
) -> int:
    """Photograph one subject, and write the photos with the truth about each.

    Args:
        out: A folder for `001.png` and so on, and `photographs.json`: the photo of the subject
            that each is of, with its digest, its scene, and its homography. Copies of one photo
            are photographed once, those that were saved anew too.
        faces: Holds the subject.
        subject: Who wears the marked frame.
        seen: Digests of photos to leave out: those that a recogniser was trained on.
        most: Photos at most, of which two must be left; as many as there are are written.
        rng: As for `photograph_wearers`.
        strength: As for `photograph_wearers`.
        progress: Told after each photo.

    Raises:
        ConfigError: There is no such subject, or the strength is out of range.
        DataError: Fewer than two photos are left.
    """
    own = faces.of(subject)
    known = were_seen(own, seen)
    # Of several copies, the first.
    fresh = {group: at for at, group in reversed(list(enumerate(find_twins(own).tolist())))}
    whole = faces.places_of(subject)
    places = [int(whole[at]) for at in sorted(fresh.values()) if not known[at]][:most]
    if len(places) < 2:
        raise DataError(
            f"only {len(places)} of {len(own)} photos of {subject} are different and "
            "were not used in training, too few to photograph"
        )
    rows = []
    for number, place in enumerate(places, 1):
        taken = photograph_wearers(faces.faces(torch.tensor([place])), rng=rng, strength=strength)
        name = f"{number:03d}.png"
        rows.append(
            {
                "photo": name,
                "of": faces.photos[place],
                "digest": faces.digests[place],
                "picture": digest(to_pixels(taken.photos)[0].numpy()),
                "scene": taken.scenes[0],
                "homography": taken.homographies[0].tolist(),
            }
        )
        # First what it is of: a picture that a killed run leaves is never taken for a new photo.
        write_sources(out, rows, {"strength": strength})
        write_image(out / name, taken.photos[0])
        progress(number, len(places), {})
    return len(places)


def _sitting(rng: torch.Generator, strength: float) -> Homographies:
    """How a frame sits: a small shift, and a small turn about the canvas' middle."""
    across, down, turn = (strength * (2 * torch.rand(3, generator=rng) - 1)).tolist()
    angle = torch.deg2rad(torch.tensor(2 * turn))
    cosine, sine = float(angle.cos()), float(angle.sin())
    middle = (CANVAS - 1) / 2
    return torch.tensor(
        [
            [cosine, -sine, middle * (1 - cosine + sine) + 2 * across],
            [sine, cosine, middle * (1 - sine - cosine) + 2 * down],
            [0, 0, 1],
        ]
    )
