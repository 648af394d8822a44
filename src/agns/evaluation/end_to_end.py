"""A frame worn in the raw photos, which then go the whole way: detector, alignment, recogniser.

What a recogniser is fooled by on aligned faces may be lost on that way, as a face with glasses is
found and aligned a little otherwise; and a face that is not found fools nobody. So photos in which
no face is found are counted apart from those that reach the goal.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor

from agns.accessory.frame import place
from agns.accessory.placement import FIXED, lay_over
from agns.attack.goals import Goal
from agns.data.alignment import align, alignment
from agns.data.landmarks import Choice, Landmarker, chosen_faces
from agns.defence.masking import thresholds_of
from agns.errors import ConfigError
from agns.evaluation.metrics import Success, measure_success, wilson_interval
from agns.evaluation.plots import save_figure
from agns.images import to_pixels
from agns.models.black_box import answering
from agns.models.gallery import Gallery
from agns.models.operating_points import OperatingPoint
from agns.models.victim import Victim
from agns.types import Faces, Frames, Image, Logits, Progress, silent

_Photo: TypeAlias = Float[Tensor, "3 _ _"]
"""Of any size, in [0, 1]."""
_Face: TypeAlias = Float[Tensor, "3 224 224"]
_Row: TypeAlias = Float[Tensor, "1 _"]
_Judged: TypeAlias = list[_Row | None]
"""What the victim gives one photo in each of several frames; None where no face was found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineSuccess:
    """What becomes of photos whose subject wears something; `None` where there are no photos.

    Where each photo tried several frames, it counts as their mean.
    """

    photos: int
    no_face: float | None
    """Share in which no face was found where it is, in [0, 1]."""
    success_rate: float | None
    """Share in which it was found and the goal was reached: of all photos."""
    interval: tuple[float, float] | None
    """Its 95 % Wilson interval over photos."""
    success_of_found: float | None
    """Share that reached the goal of those in which the face was found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineScore:
    """A frame beside benign ones and none, from raw photos to the recogniser."""

    worn: PipelineSuccess
    """The attack's frame."""
    benign: PipelineSuccess
    bare: PipelineSuccess
    """No frame; nobody is missed here: photos in which no face is found so are left out."""
    on_aligned_faces: Success
    """The attack's frame, worn by the faces as they had been aligned without it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelinePoint:
    """What the same faces are worth at another threshold of a gallery."""

    false_accept_rate: float
    """Of impostors, as calibrated, in (0, 1)."""
    threshold: float
    """Distance below which a comparison is accepted."""
    success: PipelineScore


@dataclass(frozen=True, eq=False, kw_only=True)
class EndToEnd:
    """What became of each photo, and what that comes to."""

    success: PipelineScore
    without_face: Sequence[int]
    """Places of the photos in which no face was found even without a frame: they are left out,
    since nobody knows where a frame would sit."""
    places: Sequence[int]
    """Of the others."""
    pictures: Sequence[_Photo]
    """The others, wearing the attack's frame."""
    aligned: Sequence[_Face | None]
    """Their faces as found anew, (3, 224, 224) in [0, 1]; None where none was."""
    reached: Sequence[bool]
    """Whether they reach the goal."""
    operating_points: Sequence[PipelinePoint] = ()
    """At each of a gallery's false-accept rates; the attack was made at one of them."""


@torch.no_grad()
def measure_end_to_end(
    victim: Victim,
    goal: Goal,
    photos: Sequence[_Photo],
    aligned: Faces,
    frame: Float[Tensor, "1 3 64 176"],
    benign: Frames,
    *,
    find: Landmarker,
    choice: Choice = "largest",
    progress: Progress = silent,
) -> EndToEnd:
    """Put frames on in raw photos, find the face in each, align it, and let the victim judge.

    A frame is drawn where the face's own landmarks, found without it, have the canvas. The worn
    photo has 8 bits a channel, like a file. A face counts as found if one is where it was.

    Args:
        victim: In evaluation mode; a black box counts no queries of this.
        goal: What counts as success.
        photos: Of any size, in [0, 1], each with the subject's face.
        aligned: These faces as they were aligned before, (photos, 3, 224, 224) in [0, 1].
        frame: The attack's, one of them.
        benign: Frames to compare with, at least one.
        find: Finds the faces of a picture.
        choice: Whose face is meant where a photo shows several.
        progress: Told after each photo.

    Raises:
        ConfigError: There is no benign frame, or not one aligned face for each photo.
    """
    if len(aligned) != len(photos) or len(benign) == 0:
        raise ConfigError(
            f"give a face for each of {len(photos)} photos, got {len(aligned)}, and benign frames "
            f"to compare with, got {len(benign)}"
        )
    victim = answering(victim)
    frames = torch.cat([torch.as_tensor(frame), benign])
    canvases = place(frames)
    places: list[int] = []
    missing: list[int] = []
    bare: list[_Face] = []
    worn: list[list[_Face | None]] = []
    pictures: list[_Photo] = []
    for number, photo in enumerate(photos, 1):
        found = chosen_faces(find(photo), photo, choice)[:1]
        if len(found):
            places.append(number - 1)
            bare.append(align(photo, found[0]))
            matrix = torch.linalg.inv(alignment(found[0]))[None]
            tried: list[_Face | None] = []
            for canvas in canvases:
                picture = _as_file(lay_over(photo[None], canvas[None], matrix)[0])
                pictures += [] if tried else [picture]
                tried.append(_face_again(find(picture), found[0], picture))
            worn.append(tried)
        else:
            missing.append(number - 1)
        progress(number, len(photos), {})
    before = FIXED.wear(aligned[places], frames[:1], torch.arange(len(places)))
    judged = _AllJudged(
        worn=[_judged(victim, one) for one in worn],
        bare=[_judged(victim, [one]) for one in bare],
        aligned=victim(before) if places else torch.zeros(0, len(victim.identities)),
    )
    gallery = thresholds_of(victim)
    return EndToEnd(
        success=judged.success(goal),
        without_face=missing,
        places=places,
        pictures=pictures,
        aligned=[one[0] for one in worn],
        reached=[_reached(goal, one[0]) is True for one in judged.worn],
        operating_points=[] if gallery is None else [
            PipelinePoint(
                false_accept_rate=point.false_accept_rate,
                threshold=point.threshold,
                success=judged.at(gallery, point).success(goal),
            )
            for point in gallery.points
        ],
    )  # fmt: skip


def draw_end_to_end(path: Path, score: EndToEnd, *, title: str, most: int = 6) -> None:
    """Draw photos with the frame worn, and under each the face as it was found again.

    Args:
        path: A PNG file.
        score: As `measure_end_to_end` gives it.
        title: What stands above.
        most: How many photos.
    """
    shown = min(most, len(score.pictures))
    figure = Figure(figsize=(max(4.0, 2.1 * shown), 4.8), layout="constrained")
    figure.suptitle(title, fontsize=10, parse_math=False)
    panels = figure.subplots(2, max(1, shown), squeeze=False)
    for axis in panels.flat:
        axis.axis("off")
    for column in range(shown):
        above, below = panels[:, column]
        above.imshow(to_pixels(score.pictures[column][None])[0].permute(1, 2, 0).numpy())
        face = score.aligned[column]
        if face is None:
            below.set_title("no face found", fontsize=9)
            continue
        below.imshow(to_pixels(face[None])[0].permute(1, 2, 0).numpy())
        below.set_title("success" if score.reached[column] else "no success", fontsize=9)
    save_figure(figure, path)


def _as_file(picture: Image) -> Image:
    return to_pixels(picture[None])[0].to(torch.float32) / 255


def _face_again(
    faces: Float[Tensor, "faces 68 2"], before: Float[Tensor, "68 2"], picture: Image
) -> _Face | None:
    """The face that lies where one lay before, aligned."""
    if not len(faces):
        return None
    size = float((before.amax(0) - before.amin(0)).max())
    distances = (faces.mean(1) - before.mean(0)).norm(dim=-1)
    nearest = int(distances.argmin())
    return align(picture, faces[nearest]) if float(distances[nearest]) < size / 2 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class _AllJudged:
    """What the victim gives photos in each frame, the attack's coming first, and in none."""

    worn: Sequence[_Judged]
    bare: Sequence[_Judged]
    aligned: Logits

    def at(self, gallery: Gallery, point: OperatingPoint) -> "_AllJudged":
        """The same at another of the gallery's operating points."""

        def moved(photo: _Judged) -> _Judged:
            return [None if one is None else gallery.logits_at(one, point) for one in photo]

        return _AllJudged(
            worn=[moved(one) for one in self.worn],
            bare=[moved(one) for one in self.bare],
            aligned=gallery.logits_at(self.aligned, point),
        )

    def success(self, goal: Goal) -> PipelineScore:
        return PipelineScore(
            worn=_success(goal, [one[:1] for one in self.worn]),
            benign=_success(goal, [one[1:] for one in self.worn]),
            bare=_success(goal, self.bare),
            on_aligned_faces=measure_success(goal, self.aligned),
        )


def _judged(victim: Victim, faces: Sequence[_Face | None]) -> _Judged:
    """What the victim gives each face, (1, classes)."""
    found = [face for face in faces if face is not None]
    if not found:
        return [None] * len(faces)
    batch: Faces = torch.stack(found)
    logits = iter(victim(batch).split(1))
    return [None if face is None else next(logits) for face in faces]


def _reached(goal: Goal, logits: _Row | None) -> bool | None:
    """Whether a face reaches the goal; None where there is no face."""
    return None if logits is None else bool(goal.succeeded(logits))


def _success(goal: Goal, photos: Sequence[_Judged]) -> PipelineSuccess:
    if not photos:
        return PipelineSuccess(
            photos=0, no_face=None, success_rate=None, interval=None, success_of_found=None
        )
    frames = len(photos[0])
    every = [_reached(goal, one) for tried in photos for one in tried]
    succeeded = every.count(True)
    found = len(every) - every.count(None)
    return PipelineSuccess(
        photos=len(photos),
        no_face=1 - found / len(every),
        success_rate=succeeded / len(every),
        interval=wilson_interval(succeeded / frames, len(photos)),
        success_of_found=succeeded / found if found else None,
    )
