"""Photos of a worn marked frame on the page: their marks, found or moved, and frames over them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from PIL import Image as PilImage
from PIL import ImageDraw

from agns.accessory.mark_finding import find_marks
from agns.accessory.marks import MARKS, marks_homography
from agns.accessory.placement import Placement
from agns.data.simulation.wearer import photograph_wearers
from agns.errors import MarksNotFound
from agns.images import to_picture, write_image
from agns.studio.recognise_tab import drawn_face
from agns.studio.uploads import Face
from agns.types import Image, Points

LARGER = 3
"""Pixels of the picture to click in for each of the photo's."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MarkedFace:
    """A photo, and where its seven marks are."""

    name: str
    image: Image
    marks: Points
    """(7, 2) in pixels."""
    found: bool
    """Whether they are where `find_marks` put them; else somebody has to, or has, put them."""
    sentence: str = ""
    """Why they were not found."""

    def moved(self, mark: int, x: float, y: float) -> "MarkedFace":
        """The same photo with one mark elsewhere."""
        marks = self.marks.clone()
        marks[mark] = torch.tensor([x, y])
        return replace(self, marks=marks, found=False)

    @property
    def placement(self) -> Placement:
        """Lays frames over the worn one.

        Raises:
            DataError: No frame could show its marks so.
        """
        return Placement(homographies=marks_homography(self.marks[None]))


def mark(face: Face) -> MarkedFace:
    """Find the marks in a face; where that fails, they lie as on the canvas."""
    try:
        marks, found, sentence = find_marks(face.image, name=face.name).centres, True, ""
    except MarksNotFound as error:
        marks, found, sentence = torch.tensor(MARKS), False, str(error)
    return MarkedFace(name=face.name, image=face.image, marks=marks, found=found, sentence=sentence)


def drawn_wearer(identity: int = 1, *, photos: int = 4) -> list[MarkedFace]:
    """Somebody who does not exist, photographed with the marked frame, for who has no photos."""
    faces = [drawn_face(identity, 100 + number) for number in range(photos)]
    rng = torch.Generator().manual_seed(0)
    worn = photograph_wearers(torch.stack([face.image for face in faces]), rng=rng, strength=0.5)
    return [
        mark(replace(face, name=f"{number}, {face.name}", image=image, landmarks=None))
        for number, (face, image) in enumerate(zip(faces, worn.photos, strict=True), 1)
    ]


def picture_of(face: MarkedFace, chosen: int) -> PilImage.Image:
    """A photo, enlarged, with its marks numbered and one of them chosen."""
    size = (face.image.shape[2] * LARGER, face.image.shape[1] * LARGER)
    picture = to_picture(face.image).resize(size, PilImage.Resampling.BICUBIC)
    draw = ImageDraw.Draw(picture)
    for number, (x, y) in enumerate(face.marks.tolist()):
        # Pixel centres lie on whole numbers, so that edges lie half a pixel outside.
        at = ((x + 0.5) * LARGER, (y + 0.5) * LARGER)
        colour = (255, 80, 40) if number == chosen else (255, 255, 255)
        draw.circle(at, 9, outline=(0, 0, 0), width=4)
        draw.circle(at, 8, outline=colour, width=2)
        draw.text(
            (at[0], at[1] - 18), str(number + 1), fill=colour, anchor="mm", font_size=16,
            stroke_width=2, stroke_fill=(0, 0, 0),
        )  # fmt: skip
    return picture


def write_photos(faces: Sequence[MarkedFace], folder: Path) -> None:
    """Write photos into a folder, as a physical attack reads them: in the order of their names."""
    folder.mkdir()
    for number, face in enumerate(faces):
        write_image(folder / f"{number:03d}.png", face.image)
