"""How an attack's frame survives the camera: success over pose, light, blur, colour and JPEG."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor

from agns.accessory.placement import FIXED
from agns.attack.goals import Goal
from agns.data.simulation.camera import AXES, Scene, align_photos, photograph
from agns.defence.masking import thresholds_of
from agns.evaluation.metrics import Success, measure_success
from agns.evaluation.plots import save_figure
from agns.models.black_box import answering
from agns.models.victim import Victim
from agns.types import Faces, Frames, Logits, Progress, silent

PLAIN = Scene()


@dataclass(frozen=True, slots=True, kw_only=True)
class SurvivalAt:
    """What is left there at another threshold of a gallery."""

    false_accept_rate: float
    """Of impostors, as calibrated, in (0, 1)."""

    threshold: float
    """Distance below which a comparison is accepted."""

    worn: Success
    """As in `SurvivalPoint`, and so the others."""

    benign: Success
    bare: Success


@dataclass(frozen=True, slots=True, kw_only=True)
class SurvivalPoint:
    """What is left at one value of one axis, the others plain."""

    axis: str
    """The field of the scene that is varied."""

    value: float
    """In the field's unit."""

    worn: Success
    """Photos of the subject wearing the attack's frame."""

    benign: Success
    """Wearing benign frames; a photo counts as the share of these that succeeded."""

    bare: Success
    """Wearing nothing."""

    operating_points: Sequence[SurvivalAt] = ()
    """At each of a gallery's false-accept rates; the attack was made at one of them."""


@torch.no_grad()
def measure_survival(
    recognizer: Victim,
    goal: Goal,
    faces: Faces,
    frame: Float[Tensor, "1 3 64 176"],
    benign: Frames,
    *,
    axes: Mapping[str, Sequence[float]] = AXES,
    seed: int = 0,
    progress: Progress = silent,
) -> list[SurvivalPoint]:
    """Put a frame on, photograph it, align the photo, and let the recogniser judge.

    The frame is worn before the camera, as a printed one would be: turned, lit, blurred and
    compressed with the face. Photos are aligned by where the canonical landmarks come to lie, as
    a landmarker without error would have it.

    Args:
        recognizer: The victim, in evaluation mode; a black box counts no queries of this.
        goal: What counts as success.
        faces: Held-out photos of the subject, aligned, in [0, 1].
        frame: The attack's, one of them.
        benign: Frames to compare with.
        axes: Which fields of a scene to vary, and over what.
        seed: Of the sensor's noise, which is the same for every point.
        progress: Told after each point.
    """
    points = [(axis, value) for axis, values in axes.items() for value in values]
    recognizer = answering(recognizer)
    gallery, everybody = thresholds_of(recognizer), torch.arange(len(faces))
    measured = []
    for number, (axis, value) in enumerate(points, 1):
        scene = replace(PLAIN, **{axis: value})

        def judged(worn: Faces, scene: Scene = scene) -> Logits:
            rng = torch.Generator().manual_seed(seed)
            logits: Logits = recognizer(align_photos(photograph(worn, scene, rng=rng), scene))
            return logits

        logits = {
            "worn": judged(FIXED.wear(faces, frame, everybody)),
            "benign": torch.stack(
                [judged(FIXED.wear(faces, some[None], everybody)) for some in benign]
            ),
            "bare": judged(faces),
        }
        measured.append(
            SurvivalPoint(
                axis=axis,
                value=value,
                **{name: measure_success(goal, own) for name, own in logits.items()},
                operating_points=[] if gallery is None else [
                    SurvivalAt(
                        false_accept_rate=point.false_accept_rate,
                        threshold=point.threshold,
                        **{
                            name: measure_success(goal, gallery.logits_at(own, point))
                            for name, own in logits.items()
                        },
                    )
                    for point in gallery.points
                ],
            )
        )  # fmt: skip
        progress(number, len(points), {})
    return measured


def draw_survival(path: Path, points: Sequence[SurvivalPoint], *, title: str) -> None:
    """Draw success over each axis, with the intervals of the frame's.

    Args:
        path: A PNG file.
        points: As `measure_survival` gives them.
        title: What stands above.
    """
    axes = list(dict.fromkeys(point.axis for point in points))
    columns = min(4, len(axes))
    rows = -(-len(axes) // columns)
    figure = Figure(figsize=(max(6.4, 2.9 * columns), 2.6 * rows), layout="constrained")
    figure.suptitle(title, fontsize=10, parse_math=False)
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    lines = (("worn", "this frame", "#d1495b"), ("benign", "benign frames", "#30638e"),
             ("bare", "no frame", "#8d99ae"))  # fmt: skip
    for panel, name in zip(panels, axes, strict=False):
        chosen = [point for point in points if point.axis == name]
        values = [point.value for point in chosen]
        for key, label, color in lines:
            rates = [getattr(point, key).success_rate for point in chosen]
            panel.plot(values, rates, label=label, color=color, marker="o", markersize=3)
        bounds = [point.worn.interval or (0, 0) for point in chosen]
        panel.fill_between(values, *zip(*bounds, strict=True), color=lines[0][2], alpha=0.15)
        panel.set_title(name, fontsize=9)
        panel.set_ylim(-0.03, 1.03)
        panel.grid(alpha=0.3)
    for panel in panels[len(axes) :]:
        panel.set_visible(False)
    panels[0].legend(fontsize=7)
    save_figure(figure, path)
