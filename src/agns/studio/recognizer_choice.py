"""The recogniser that the whole page is about: chosen, or uploaded."""

import os
import tempfile
from pathlib import Path
from typing import Any

import gradio as gr

from agns.errors import AgnsError
from agns.loading import LoadedVictim
from agns.models.victim import task_of
from agns.studio import markup
from agns.studio.uploads import check_weights, removed_after
from agns.studio.workspace import SHIPPED, Workspace

UPLOADED = "The uploaded one"


class RecognizerChoice:
    """The inputs that every tab asks for the recogniser, at the top of the page."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        # Removed with the session that it came in.
        self.uploaded = gr.State(None, time_to_live=24 * 3600, delete_callback=_remove)
        with gr.Row(equal_height=False):
            self.choice = gr.Dropdown(
                workspace.choices, value=SHIPPED, label="Recogniser", scale=5, min_width=260,
            )  # fmt: skip
            upload = gr.UploadButton(
                "Upload a recogniser", file_types=[".safetensors"], scale=1,
                min_width=200, elem_id="upload-recognizer",
            )  # fmt: skip
        # No `info` of the choice: that takes what stands in names for markup.
        self.told = gr.HTML(
            self._describe(SHIPPED, None), elem_classes="studio", elem_id="recognizer-told"
        )
        chosen = [self.choice, self.uploaded]
        upload.upload(self._take, [upload, *chosen], [*chosen, self.told])
        self.choice.input(self._describe, chosen, self.told)

    @staticmethod
    def _described(loaded: LoadedVictim) -> str:
        names = loaded.recognizer.identities
        few = ", ".join(names[:3]).replace("_", " ")
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        task = task_of(loaded.recognizer).replace("-", " ")
        return markup.words(f"It knows {len(names)} people, {few}{more} ({task}).")

    def _describe(self, choice: str, uploaded: str | None) -> str:
        try:
            return self._described(self._workspace.open(self._workspace.source(choice, uploaded)))
        except AgnsError as error:
            return markup.refusal(str(error))

    def _take(self, path: str, choice: str, before: str | None) -> tuple[Any, ...]:
        """Keep an uploaded recogniser for this session, if it is one."""
        # Where uploads are: it goes with the server at the latest.
        kept = Path(tempfile.mkdtemp(dir=os.environ.get("GRADIO_TEMP_DIR"))) / Path(path).name
        try:
            with removed_after([path]) as (file,):
                check_weights(file)
                file.rename(kept)
            told = self._described(self._workspace.open(str(kept)))
        except (AgnsError, OSError) as error:
            _remove(str(kept))
            sentence = str(error).replace(str(kept), kept.name).replace(path, kept.name)
            return gr.skip(), gr.skip(), markup.refusal(sentence) + self._describe(choice, before)
        if before:
            _remove(before)
        choices = [*self._workspace.choices, UPLOADED]
        return gr.Dropdown(choices=choices, value=UPLOADED), str(kept), told


def _remove(path: str | None) -> None:
    if path:
        Path(path).unlink(missing_ok=True)
        Path(path).parent.rmdir()
