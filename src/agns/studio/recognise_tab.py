"""The tab Recognise: whom a recogniser sees in photos, and where on the face it looks."""

from collections.abc import Sequence
from typing import Any

import gradio as gr
import torch

from agns.attack.goals import Impersonate, resolve_goal
from agns.cli.recognize import likeliest
from agns.data.simulation.synthetic import draw_photo, identity_name
from agns.errors import AgnsError
from agns.evaluation.occlusion import occlusion_map
from agns.evaluation.report import Table
from agns.images import from_pixels
from agns.models.gallery import Gallery
from agns.models.record import recorded_crop
from agns.models.victim import Victim
from agns.studio import markup
from agns.studio.recognizer_choice import RecognizerChoice
from agns.studio.uploads import MOST_PHOTOS, Face, read_faces
from agns.studio.workspace import Workspace

TOP = 5
_DRAWN = ((0, 90), (3, 91), (7, 92))
"""Identity and photo of those that are drawn for whoever has none at hand."""


def recognise_tab(workspace: Workspace, recognizer: RecognizerChoice) -> None:
    """Put the tab's parts on the page that is being made."""
    faces = gr.State([])
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=300):
            files = photos_input("Photos", "recognise-photos")
            refused = gr.HTML(elem_classes="studio")
            drawn = gr.Button("Take three drawn faces")
            look = gr.Checkbox(
                value=False, label="Show where it looks",
                info="A grey square covers one part of the face after the other: where it lowers "
                "the probability, the recogniser looks.",
            )  # fmt: skip
        with gr.Column(scale=4, min_width=300):
            view = gr.HTML(
                markup.words("Choose photos of faces, or take drawn ones."),
                elem_classes="studio", elem_id="recognise-view",
            )  # fmt: skip

    def shown(choice: str, uploaded: str | None, kept: Sequence[Face], where: Any) -> str:
        try:
            victim = workspace.open(workspace.source(choice, uploaded)).recognizer
            return "".join(_face(victim, face, look=bool(where)) for face in kept)
        except AgnsError as error:
            return markup.refusal(str(error))

    asked = [recognizer.choice, recognizer.uploaded, faces, look]
    taken = take_photos(workspace, recognizer, files, faces, refused)
    taken.then(shown, asked, view)
    drawn.click(lambda: [drawn_face(*one) for one in _DRAWN], None, faces).then(shown, asked, view)
    for changed in (look.input, recognizer.choice.change):
        changed(shown, asked, view)


def photos_input(label: str, place: str) -> gr.File:
    """An input for photos."""
    return gr.File(
        label=f"{label}: up to {MOST_PHOTOS}",
        file_count="multiple", height=190, elem_id=place,
    )  # fmt: skip


def take_photos(
    workspace: Workspace,
    recognizer: RecognizerChoice,
    files: gr.File,
    faces: gr.State,
    refused: gr.HTML,
) -> Any:
    """Read photos once they are uploaded, keep their faces, and remove the files.

    Returns:
        The event, which others may follow.
    """

    def take(paths: Sequence[str] | None, choice: str, uploaded: str | None) -> tuple[Any, ...]:
        try:
            crop = recorded_crop(workspace.open(workspace.source(choice, uploaded)).metadata)
            kept, sentences = read_faces(paths or (), crop=crop)
        except AgnsError as error:
            return None, gr.skip(), markup.refusal(str(error))
        told = "".join(markup.refusal(one) for one in sentences)
        return None, kept if kept else gr.skip(), told

    return files.upload(
        take, [files, recognizer.choice, recognizer.uploaded], [files, faces, refused]
    )


def drawn_face(identity: int, photo: int) -> Face:
    """A face for whoever has none at hand."""
    pixels, landmarks = draw_photo(0, identity, photo)
    image = from_pixels(torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None])[0]
    points = torch.from_numpy(landmarks.copy()).float()
    return Face(name=f"{identity_name(identity)}, drawn", image=image, landmarks=points)


@torch.no_grad()
def _face(victim: Victim, face: Face, *, look: bool) -> str:
    logits = victim(face.image[None])[0]
    choices = likeliest(victim, logits, TOP)
    name = markup.escaped(face.name.replace("_", " "))
    marks = "" if face.landmarks is None else dots(face.landmarks.tolist())
    how = "aligned already" if face.landmarks is None else "aligned, with its 68 landmarks"
    parts = [
        markup.picture(face.image, f"The face of {face.name}", caption=f"{name}, {how}",
                       over=marks)
    ]  # fmt: skip
    if look:
        parts.append(_where(victim, face, choices[0][0]))
    verdict = markup.bars(choices, marked=choices[0][0])
    if isinstance(victim, Gallery):
        verdict += _distances(victim, face)
    parts.append(f"<div>{verdict}</div>")
    return markup.row(parts)


def dots(points: Sequence[Sequence[float]]) -> str:
    """Points as SVG."""
    return "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="1.4" fill="#fff" stroke="#0f766e" '
        'stroke-width="0.8"/>'
        for x, y in points
    )


def _where(victim: Victim, face: Face, first: str) -> str:
    """The face, red where covering it lowers the probability of whoever comes first."""
    if first not in victim.identities:
        return markup.words("Nobody comes first: there is nothing to look for.")
    goal = resolve_goal(Impersonate(first), victim)
    falls = occlusion_map(victim, face.image, goal)
    most = float(falls.max())
    grey = face.image.mean(0, keepdim=True).expand(3, -1, -1)
    strength = (falls / max(most, 1e-6)).clamp(0, 1) * 0.75
    shown = torch.lerp(grey, torch.tensor([0.85, 0.2, 0.1])[:, None, None], strength)
    who = first.replace("_", " ")
    words = f"Where the recogniser looks for {who}: covering it costs up to {most:.3f} of p"
    return markup.picture(shown, words, caption=markup.escaped(words))


def _distances(gallery: Gallery, face: Face) -> str:
    """How far the nearest person is, beside each operating point's threshold."""
    distances = gallery.distances(face.image[None])[0]
    nearest = int(distances.argmin())
    near, who = float(distances[nearest]), gallery.identities[nearest].replace("_", " ")
    rows = [
        (f"{point.false_accept_rate:g}", f"{point.threshold:.3f}",
         "accepted" if near < point.threshold else "refused")
        for point in gallery.points
    ]  # fmt: skip
    said = markup.words(f"{who} is nearest, at a distance of {near:.3f}.")
    if not rows:
        return said
    head = ("false accepts", "distance below", who)
    return said + Table(head=head, rows=rows, texts=0).as_html()
