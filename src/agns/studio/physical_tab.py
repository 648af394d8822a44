"""The tab Physical: photos of a worn marked frame, its marks, and frames laid over it."""

import os
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import torch

from agns.accessory.frame import crop
from agns.accessory.marks import marked_frame
from agns.accessory.printability import assumed_palette
from agns.attack.attack import shipped_nets
from agns.cli.recognize import likeliest
from agns.errors import AgnsError, ConfigError
from agns.evaluation.print_sheet import PrintSheet, write_print_sheet
from agns.images import read_image
from agns.models.dcgan import sample_latents
from agns.models.victim import Victim
from agns.studio import markup
from agns.studio.attack_request import AttackRequest
from agns.studio.attack_tab import check, listed, people
from agns.studio.marked_faces import (
    LARGER,
    MarkedFace,
    drawn_wearer,
    mark,
    picture_of,
    write_photos,
)
from agns.studio.recognise_tab import photos_input
from agns.studio.recognizer_choice import RecognizerChoice
from agns.studio.run_panel import QUIET, RunPanel
from agns.studio.uploads import read_faces
from agns.studio.workspace import Workspace
from agns.types import CANVAS, Image

MARKED = "The marked frame itself"
GENERATED = [f"Generated frame {number}" for number in range(1, 9)]


def physical_tab(workspace: Workspace, recognizer: RecognizerChoice, tab: gr.Tab) -> None:
    """Put the tab's parts on the page that is being made."""
    faces = gr.State([])
    chosen = [recognizer.choice, recognizer.uploaded]
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=300):
            files = photos_input("Photos of the worn marked frame", "physical-photos")
            refused = gr.HTML(elem_classes="studio", elem_id="physical-refused")
            drawn = gr.Button("Take four drawn photos")
            photo = gr.Dropdown([], label="Photo", type="index", interactive=True)
            which = gr.Radio([*range(1, 8)], value=1, label="Mark to move", type="index")
            with gr.Row():
                x = gr.Number(label="x", info="Pixels from the left.", min_width=100)
                y = gr.Number(label="y", info="Pixels from the top.", min_width=100)
            frame = gr.Dropdown(GENERATED, value=GENERATED[0], label="Frame to lay over it",
                                interactive=True)  # fmt: skip
        with gr.Column(scale=4, min_width=300):
            picture = gr.Image(
                label="Click where the chosen mark is", visible=False,
                interactive=False, height=460, elem_id="physical-photo", buttons=[],
            )  # fmt: skip
            view = gr.HTML(
                markup.words("Upload photos of somebody who wears the marked frame."),
                elem_classes="studio", elem_id="physical-view",
            )  # fmt: skip
    seen = [picture, x, y, view]
    asked = [*chosen, faces, photo, which, frame]

    def show(choice: str, uploaded: str | None, kept: Sequence[MarkedFace], place: int | None,
             number: int, name: str) -> tuple[Any, ...]:  # fmt: skip
        if not kept:
            return gr.skip(), gr.skip(), gr.skip(), gr.skip()
        face = kept[place or 0]
        at = face.marks[number].tolist()
        try:
            victim = workspace.open(workspace.source(choice, uploaded)).recognizer
            html = _worn(victim, face, _frame(workspace, name))
        except AgnsError as error:
            html = markup.refusal(str(error))
        return (
            gr.Image(picture_of(face, number), visible=True),
            round(at[0], 1),
            round(at[1], 1),
            html,
        )

    def take(paths: Sequence[str] | None) -> tuple[Any, ...]:
        try:
            kept, sentences = read_faces(paths or (), crop=None)
        except AgnsError as error:
            return None, gr.skip(), gr.skip(), markup.refusal(str(error))
        told = "".join(markup.refusal(one) for one in sentences)
        return (None, *_taken([mark(face) for face in kept]), told)

    def move(kept: Sequence[MarkedFace], place: int | None, number: int, left: float | None,
             top: float | None) -> Any:  # fmt: skip
        if not kept or left is None or top is None:
            return gr.skip()
        inside = min(max(left, 0.0), CANVAS - 1.0), min(max(top, 0.0), CANVAS - 1.0)
        place = place or 0
        return [*kept[:place], kept[place].moved(number, *inside), *kept[place + 1 :]]

    def click(
        event: gr.SelectData, kept: Sequence[MarkedFace], place: int | None, number: int
    ) -> Any:
        return move(kept, place, number, *(value / LARGER - 0.5 for value in event.index))

    files.upload(take, files, [files, faces, photo, refused]).then(show, asked, seen)
    drawn.click(lambda: _taken(drawn_wearer()), None, [faces, photo]).then(show, asked, seen)
    for changed in (photo.input, which.input, frame.input, recognizer.choice.change):
        changed(show, asked, seen, show_progress="hidden")
    for number in (x, y):
        number.submit(move, [faces, photo, which, x, y], faces).then(show, asked, seen)
    picture.select(click, [faces, photo, which], faces).then(show, asked, seen)
    tab.select(lambda: gr.Dropdown(choices=_frames(workspace)), None, frame, **QUIET)
    _attack(workspace, recognizer, faces)
    _sheet(workspace, frame)


def _taken(faces: Sequence[MarkedFace]) -> tuple[Any, Any]:
    """New photos, and the input that chooses one."""
    names = [face.name for face in faces]
    return [*faces], gr.Dropdown(choices=names, value=names[0] if names else None)


def _frames(workspace: Workspace) -> list[str | tuple[str, str]]:
    """The frames that there are: generated ones, and those of attacks."""
    ended = [run for run in workspace.runs.all() if (run.result / "frame.png").is_file()]
    return [*GENERATED, *listed(ended)]


def _frame(workspace: Workspace, name: str) -> Image:
    """A frame by its name in the list."""
    if name == MARKED:
        return crop(marked_frame()[0])[0]
    if name not in GENERATED:
        return read_image(workspace.runs.find(name).result / "frame.png")
    latents = sample_latents(len(GENERATED), rng=torch.Generator().manual_seed(0))
    with torch.no_grad():
        generated: Image = shipped_nets()[0](latents)[GENERATED.index(name)]
    return generated


@torch.no_grad()
def _worn(victim: Victim, face: MarkedFace, frame: Image) -> str:
    """The frame warped over the worn one, and who is seen without and with it."""
    worn = face.placement.wear(face.image[None], frame[None], torch.tensor([0]))[0].clamp(0, 1)
    before, after = (likeliest(victim, victim(one[None])[0], 3) for one in (face.image, worn))
    first = before[0][0]
    how = "found" if face.found else "put by hand"
    told = markup.warnings([f"{face.sentence}: put them by hand"]) if face.sentence else ""
    return told + markup.row([
        "<div>" + markup.picture(face.image, "The photo", caption=f"The photo; marks {how}")
        + markup.bars(before, marked=first) + "</div>",
        "<div>" + markup.picture(worn, "The frame over the worn one", caption="The frame over it")
        + markup.bars(after, marked=first) + "</div>",
        "<div>" + markup.frame(frame, "The frame") + "</div>",
    ])  # fmt: skip


def _attack(workspace: Workspace, recognizer: RecognizerChoice, faces: gr.State) -> None:
    """What attacks on these photos: the method AGN, as it is before a camera."""
    known = list(workspace.open(None).recognizer.identities)
    with gr.Accordion("Attack on these photos", open=False), gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=300):
            subject = gr.Dropdown(
                known, value=known[0], label="Who it is", allow_custom_value=True, interactive=True
            )
            target = gr.Dropdown(
                known, value=None, label="Whom to be taken for", info="Empty to dodge.",
                allow_custom_value=True, interactive=True,
            )  # fmt: skip
            seed = gr.Number(0, precision=0, label="Seed", interactive=True)
            epochs = gr.Number(1, precision=0, label="Passes over the real eyeglasses",
                               interactive=True)  # fmt: skip
            with gr.Row():
                begin = gr.Button("Attack", variant="primary", min_width=120)
                stop = gr.Button("Stop", interactive=False, min_width=120)
        with gr.Column(scale=4, min_width=300):
            panel = RunPanel(workspace, stop, view_id="physical-run")

    def ask(
        choice: str, uploaded: str | None, kept: Sequence[MarkedFace], who: str,
        whom: str | None, seed: float | None, epochs: float | None,
    ) -> tuple[Any, ...]:  # fmt: skip
        try:
            if len(kept) < 2:
                raise ConfigError("a physical attack needs two photos at least, one to score on")
            source = workspace.source(choice, uploaded)
            by_hand = [face.marks.tolist() for face in kept]
            request = AttackRequest(
                goal="impersonate" if whom else "dodge", subject=who or "", target=whom or None,
                settings={"epochs": int(epochs)} if epochs and epochs != 1 else {},
                seed=int(seed or 0), recognizer=source, glasses=workspace.glasses_folder,
                photos="photos", marks=None if all(face.found for face in kept) else by_hand,
            )  # fmt: skip
            for face in kept:
                _ = face.placement
            check(request, workspace.open(source).recognizer, ())
            workspace.runs.check_room()
            folder = workspace.runs.new_folder()
            photos = (folder / "photos").resolve()
            write_photos(kept, photos)
            request = replace(request, photos=str(photos))
            return panel.begun(workspace.begin(request, folder=folder).name)
        except AgnsError as error:
            return panel.refuse(error)

    begin.click(
        ask, [recognizer.choice, recognizer.uploaded, faces, subject, target, seed, epochs],
        [panel.refused, *panel.outputs], **QUIET,
    )  # fmt: skip
    recognizer.choice.change(
        lambda *chosen: people(workspace, *chosen, pictured=True),
        [recognizer.choice, recognizer.uploaded], [subject, target], **QUIET,
    )  # fmt: skip


def _sheet(workspace: Workspace, frame: gr.Dropdown) -> None:
    """What makes a PDF to print."""
    with gr.Accordion("Print a frame", open=False):
        with gr.Row():
            width = gr.Number(140, label="Width", info="Millimetres across the frame.",
                              min_width=160, interactive=True)  # fmt: skip
            paper = gr.Radio(["a4", "letter"], value="a4", label="Paper", min_width=160)
            marked = gr.Checkbox(value=False, label="The grey frame with the seven marks",
                                 info="To be worn in photos.", min_width=240)  # fmt: skip
        make = gr.Button("Make the sheet")
        refused = gr.HTML(elem_classes="studio")
        sheet = gr.File(label="The sheet", interactive=False, visible=False, height=90,
                        elem_id="physical-sheet")  # fmt: skip

    def write(name: str, width: float | None, paper: Any, marked: Any) -> tuple[Any, str]:
        try:
            content = PrintSheet(
                frame=_frame(workspace, MARKED if marked else name),
                name="the marked frame" if marked else name, digest=None,
                palette=assumed_palette(), width=float(width or 0), paper=paper,
                marks=bool(marked),
            )  # fmt: skip
            # Where uploads are, too: it goes with them.
            folder = tempfile.mkdtemp(dir=os.environ.get("GRADIO_TEMP_DIR"))
            path = Path(folder) / "frame.pdf"
            write_print_sheet(path, content)
        except AgnsError as error:
            return gr.File(visible=False), markup.refusal(str(error))
        return gr.File(value=str(path), visible=True), ""

    make.click(write, [frame, width, paper, marked], [sheet, refused])
