"""Pictures of results: faces before and after, the history of an attack, losses of a training."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int64
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from agns.accessory.frame import place, silhouette
from agns.accessory.wear import wear
from agns.evaluation.lettering import legible, letter
from agns.images import to_picture
from agns.models.victim import Victim
from agns.types import Faces, Image, Logits
from agns.writing import replacing


def save_figure(figure: Figure, path: Path, *, dpi: int = 110) -> None:
    """Write a figure as PNG, atomically; no window system is touched.

    Words are written in whatever script they have; see `agns.evaluation.lettering`.
    """
    letter(figure)
    FigureCanvasAgg(figure)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=dpi)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Portrait:
    """A photo and the frame it is to wear."""

    face: Float[Tensor, "3 224 224"]
    """In [0, 1]."""

    frame: Float[Tensor, "3 64 176"]
    """In [0, 1]."""

    title: str
    """What stands above."""


@torch.no_grad()
def draw_overview(path: Path, recognizer: Victim, portraits: Sequence[Portrait]) -> None:
    """Draw each portrait as photo, frame, and photo with the frame, recognised.

    Args:
        path: A PNG file.
        recognizer: In evaluation mode.
        portraits: One a row.
    """
    figure = Figure(figsize=(7.6, 2.9 * len(portraits)), layout="constrained")
    for part, portrait in zip(
        figure.subfigures(len(portraits), 1, squeeze=False)[:, 0], portraits, strict=True
    ):
        part.suptitle(portrait.title, fontsize=10, parse_math=False)
        worn = wear(portrait.face[None], place(portrait.frame[None]), silhouette())[0]
        axes = part.subplots(1, 3, width_ratios=(1, 1.2, 1))
        for axis, image in zip(axes, (portrait.face, portrait.frame, worn), strict=True):
            words = ""
            if image is not portrait.frame:
                (choice,) = first_choices(recognizer(image[None]), recognizer.identities)
                words = choice.replace("\n", ", ")
            _show(axis, image, words, size=9)
    save_figure(figure, path)


def _show(axis: Axes, image: Image, words: str, *, size: float) -> None:
    """A picture with words below it, which the layout leaves room for."""
    axis.imshow(to_picture(image))
    axis.set_xticks([])
    axis.set_yticks([])
    axis.spines[:].set_visible(False)
    axis.set_xlabel(words, fontsize=size, parse_math=False)


def first_choices(logits: Logits, identities: Sequence[str]) -> list[str]:
    """The recogniser's first choice for each face, as a caption."""
    probabilities, indices = logits.softmax(1).max(1)
    return [
        f"{identities[index].replace('_', ' ')}\np = {probability:.3f}"
        for probability, index in zip(probabilities.tolist(), indices.tolist(), strict=True)
    ]


def draw_captioned(
    path: Path, faces: Faces, captions: Sequence[str], *, columns: int = 6, title: str = ""
) -> None:
    """Draw faces in rows, each with words below it.

    Args:
        path: A PNG file.
        faces: At least one, in [0, 1].
        captions: As many.
        columns: Faces in a row.
        title: What stands above.
    """
    rows = -(-len(faces) // columns)
    figure = Figure(figsize=(2.1 * columns, 2.6 * rows), layout="constrained")
    if title:
        # So many letters fit above a face.
        lines = textwrap.fill(title, 25 * columns)
        figure.suptitle(lines, fontsize=10, parse_math=False)
    axes = figure.subplots(rows, columns, squeeze=False).flat
    for face, words in zip(faces, captions, strict=True):
        _show(next(axes), face, words, size=8)
    for spare in axes:
        spare.set_axis_off()
    save_figure(figure, path)


def draw_before_after(
    path: Path,
    faces: Faces,
    worn: Faces,
    before: Logits,
    after: Logits,
    identities: Sequence[str],
    *,
    title: str,
    most: int = 6,
) -> None:
    """Draw faces without and with a frame, the recogniser's first choice under each.

    Args:
        path: A PNG file.
        faces: In [0, 1].
        worn: The same faces wearing the frame.
        before: Logits of the faces as they are.
        after: Logits of the faces with the frame.
        identities: Names of the classes.
        title: What stands above.
        most: Most faces to draw.
    """
    count = min(most, len(faces))
    shown = torch.cat([faces[:count], worn[:count]])
    captions = first_choices(torch.cat([before[:count], after[:count]]), identities)
    draw_captioned(path, shown, captions, columns=count, title=title)


def draw_history(path: Path, history: Sequence[dict[str, float]], stop: float) -> None:
    """Draw an attack's history: four panels, or as many as there are figures of."""
    panels = (
        ("discriminator", "discriminator objective, mean log D(G(z))"),
        ("recognizer", "recogniser objective (lower is better for the attacker)"),
        ("loss", "discriminator loss"),
        ("probability", "mean class probability"),
    )
    told = [panel for panel in panels if all(panel[0] in row for row in history)]
    rows, columns = (2, 2) if len(told) > 1 else (1, 1)
    figure = Figure(figsize=(4.5 * columns, 2.75 * rows), layout="constrained")
    for axis, (key, label) in zip(
        figure.subplots(rows, columns, squeeze=False).flat, told, strict=True
    ):
        axis.plot(range(1, len(history) + 1), [row[key] for row in history], color="#30638e")
        axis.set_title(label, fontsize=9)
        axis.set_xlabel("iteration", fontsize=8)
        axis.grid(alpha=0.3)
    axis.axhline(stop, color="#d1495b", linewidth=1, linestyle="--")
    axis.set_ylim(-0.02, 1.02)
    save_figure(figure, path)


def _one_panel(width: float = 6.5, height: float = 3.8) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    axis = figure.subplots()
    axis.grid(alpha=0.3)
    return figure, axis


def draw_losses(path: Path, rows: Sequence[dict[str, float]], names: Sequence[str]) -> None:
    """Draw figures logged per epoch, one line each."""
    figure, axis = _one_panel()
    for name in names:
        there = [row for row in rows if name in row]
        axis.plot([row["epoch"] for row in there], [row[name] for row in there], label=name)
    axis.set_xlabel("epoch")
    axis.legend()
    save_figure(figure, path)


def draw_confusion(
    path: Path, matrix: Int64[Tensor, "classes classes"], identities: Sequence[str]
) -> None:
    """Draw how often each identity's photos were named as each identity.

    Args:
        path: A PNG file.
        matrix: Counts, the true identity down and the named one across.
        identities: Names of the classes.
    """
    count = len(identities)
    side = min(12.0, 3.2 + 0.3 * count)
    figure = Figure(figsize=(side, side), layout="constrained")
    axis = figure.subplots()
    shares = matrix / matrix.sum(1, keepdim=True).clamp_min(1)
    axis.imshow(shares.numpy(), cmap="Blues", vmin=0, vmax=1)
    axis.set_xlabel("named")
    axis.set_ylabel("is")
    if count <= 40:
        names = [legible(name.replace("_", " ")) for name in identities]
        axis.set_xticks(range(count), names, rotation=90, fontsize=7, parse_math=False)
        axis.set_yticks(range(count), names, fontsize=7, parse_math=False)
        for row, column in matrix.nonzero().tolist():
            shade = "white" if shares[row, column] > 0.5 else "black"
            number = str(int(matrix[row, column]))
            axis.text(column, row, number, ha="center", va="center", color=shade, fontsize=7)
    save_figure(figure, path)


def draw_roc(
    path: Path,
    curve: Mapping[str, Sequence[float]],
    *,
    eer: float,
    axes: tuple[str, str] = ("different pairs accepted", "equal pairs accepted"),
) -> None:
    """Draw a ROC curve, of how many equal pairs are accepted over how many different ones.

    Args:
        path: A PNG file.
        curve: `false_acceptance` and `true_acceptance`, rates in [0, 1].
        eer: Equal error rate, in [0, 1].
        axes: What the two are called.
    """
    figure, axis = _one_panel(4.6, 4.4)
    axis.plot(curve["false_acceptance"], curve["true_acceptance"], color="#30638e")
    axis.plot([0, 1], [1, 0], color="#8884", linewidth=1)
    axis.plot([eer], [1 - eer], "o", color="#d1495b", label=f"equal error rate {eer:.1%}")
    axis.set_xlabel(axes[0])
    axis.set_ylabel(axes[1])
    axis.legend(loc="lower right")
    save_figure(figure, path)
