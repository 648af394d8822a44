"""The tab Eyeglasses: what the generator draws, moved along its directions, and tried on."""

import functools
from collections.abc import Sequence

import gradio as gr
import torch

from agns.accessory.placement import FIXED
from agns.attack.attack import shipped_nets
from agns.cli.attack_tables import looks_table
from agns.cli.recognize import likeliest
from agns.errors import AgnsError
from agns.images import from_pixels
from agns.models.dcgan import sample_latents
from agns.models.directions import main_directions
from agns.models.victim import Victim
from agns.studio import markup
from agns.studio.recognise_tab import drawn_face, photos_input, take_photos
from agns.studio.recognizer_choice import RecognizerChoice
from agns.studio.uploads import Face
from agns.studio.workspace import Workspace
from agns.types import Frames, Image

FRAMES = 16
"""Generated ones on the page, and as many real ones."""

SLIDERS = 6
REACH = 2.0
"""How far a slider goes along its direction, either way: latents lie in [-1, 1]."""


def eyeglasses_tab(workspace: Workspace, recognizer: RecognizerChoice, tab: gr.Tab) -> None:
    """Put the tab's parts on the page that is being made."""
    faces = gr.State([])
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=300):
            seed = gr.Number(0, precision=0, label="Seed", info="Of the generated frames.",
                             minimum=0)  # fmt: skip
            number = gr.Slider(
                1, FRAMES, 1, step=1, label="Frame", info="Which of the generated ones."
            )
            with gr.Group():
                sliders = [
                    gr.Slider(
                        -REACH, REACH, 0, step=0.1, label=f"Direction {place + 1}",
                        info="Changes frames most." if place == 0 else None,
                    )
                    for place in range(SLIDERS)
                ]  # fmt: skip
            back = gr.Button("Directions back to 0")
            files = photos_input("A face to try it on", "eyeglasses-photos")
            refused = gr.HTML(elem_classes="studio")
        with gr.Column(scale=4, min_width=300):
            tried = gr.HTML(elem_classes="studio", elem_id="eyeglasses-view")
            wall = gr.HTML(elem_classes="studio", elem_id="eyeglasses-wall")
    asked = [recognizer.choice, recognizer.uploaded, seed, number, faces, *sliders]

    def show(choice: str, uploaded: str | None, seed: float | None, number: float,
             kept: Sequence[Face], *moved: float) -> str:  # fmt: skip
        try:
            frame = _moved(_seed(seed), int(number) - 1, moved)
            victim = workspace.open(workspace.source(choice, uploaded)).recognizer
            face = kept[0] if kept else drawn_face(0, 90)
            return _tried(workspace, victim, face, frame)
        except AgnsError as error:
            return markup.refusal(str(error))

    def walls(seed: float | None) -> str:
        return _walls(workspace, _seed(seed))

    for slider in (number, *sliders):
        slider.change(show, asked, tried, trigger_mode="always_last", show_progress="hidden")
    seed.change(walls, seed, wall).then(show, asked, tried)
    recognizer.choice.change(show, asked, tried)
    back.click(lambda: [0] * SLIDERS, None, sliders)
    take_photos(workspace, recognizer, files, faces, refused).then(show, asked, tried)
    # Not before somebody looks: real frames may have to be drawn.
    tab.select(show, asked, tried).then(walls, seed, wall)


def _seed(value: float | None) -> int:
    return int(value) if value is not None and 0 <= value < 2**63 else 0


def _moved(seed: int, place: int, moved: Sequence[float]) -> Image:
    """A generated frame, moved along the generator's directions."""
    generator, _ = shipped_nets()
    latents = sample_latents(FRAMES, rng=torch.Generator().manual_seed(seed))
    directions = _directions()
    latent = latents[place] + torch.tensor(moved, dtype=torch.float32) @ directions
    with torch.no_grad():
        frame: Image = generator(latent.clamp(-1, 1)[None])[0]
    return frame


@functools.cache
def _directions() -> torch.Tensor:
    return main_directions(shipped_nets()[0], count=SLIDERS)


@torch.no_grad()
def _tried(workspace: Workspace, victim: Victim, face: Face, frame: Image) -> str:
    """The face without and with a frame, who is seen in it, and what the judges say."""
    worn = FIXED.wear(face.image[None], frame[None], torch.tensor([0]))[0]
    before, after = (likeliest(victim, victim(one[None])[0], 3) for one in (face.image, worn))
    first = before[0][0]
    stealth = looks_table(workspace.scale.measure(frame), workspace.scale.ranges, printed=True)
    parts = [
        "<div>" + markup.picture(face.image, f"The face of {face.name}", caption="Without")
        + markup.bars(before, marked=first) + "</div>",
        "<div>" + markup.picture(worn, "The same face wearing the frame", caption="Wearing it")
        + markup.bars(after, marked=first) + "</div>",
        "<div>" + markup.frame(frame, "The frame", caption="The frame") + "</div>",
    ]  # fmt: skip
    return markup.row(parts) + stealth.as_html()


def _walls(workspace: Workspace, seed: int) -> str:
    generator, _ = shipped_nets()
    with torch.no_grad():
        drawn = generator(sample_latents(FRAMES, rng=torch.Generator().manual_seed(seed)))
    real = from_pixels(workspace.real[:FRAMES])
    told = "The score is the discriminator's belief that a frame is real, from 0 to 1."
    return (
        markup.heading("Generated") + markup.words(told) + _wall(workspace, drawn, "Frame")
        + markup.heading("Real") + _wall(workspace, real, "Real frame")
    )  # fmt: skip


def _wall(workspace: Workspace, frames: Frames, name: str) -> str:
    scores = workspace.scale.scores(frames).tolist()
    return markup.row(
        [
            markup.frame(frame, f"{name} {place}", caption=f"{place}: {score:.2f}")
            for place, (frame, score) in enumerate(zip(frames, scores, strict=True), 1)
        ],
        kind="wall",
    )
