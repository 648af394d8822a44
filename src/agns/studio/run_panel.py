"""A run on a page: what is seen of it, and what follows it."""

from typing import Any

import gradio as gr

from agns.errors import AgnsError
from agns.studio import markup
from agns.studio.run_view import show_run
from agns.studio.workspace import Workspace

NOTHING = markup.words("Begin an attack, or choose one that was begun before.")

REMEMBER = """(run) => {
  history.replaceState(null, "", run ? "?run=" + encodeURIComponent(run) : location.pathname);
  return run;
}"""
"""Keeps the run in the page's address, so that loading the page again finds it."""

QUIET: dict[str, Any] = {"show_progress": "hidden", "concurrency_limit": None}
"""For what only reads some files."""


class RunPanel:
    """A run on the page: what is seen of it, and what follows it.

    Args:
        workspace: Whose runs.
        stop: The button that interrupts it.
    """

    def __init__(self, workspace: Workspace, stop: gr.Button, *, view_id: str) -> None:
        self._runs = workspace.runs
        self.name = gr.Textbox("", visible=False)
        self.refused = gr.HTML(elem_classes="studio", elem_id=f"{view_id}-refused")
        self.view = gr.HTML(NOTHING, elem_classes="studio", elem_id=view_id)
        self._timer = gr.Timer(1, active=False)
        self.outputs = [self.name, self.view, self._timer, stop]
        self._timer.tick(self.show, self.name, self.outputs, **QUIET)
        stop.click(self._stop, self.name, None, **QUIET)

    def show(self, name: str | None) -> tuple[Any, ...]:
        """The state of `outputs` for a run, or for none."""
        try:
            html, goes_on = (
                show_run(self._runs, self._runs.find(name)) if name else (NOTHING, False)
            )
        except AgnsError as error:
            name, html, goes_on = "", markup.refusal(str(error)), False
        return name or "", html, gr.Timer(active=goes_on), gr.Button(interactive=goes_on)

    def begun(self, name: str) -> tuple[Any, ...]:
        """The state of `refused` and `outputs` for a run that has just begun."""
        return "", *self.show(name)

    def refuse(self, error: AgnsError) -> tuple[Any, ...]:
        """The same where something was refused: the run that is shown goes on."""
        return markup.refusal(str(error)), *[gr.skip()] * len(self.outputs)

    def _stop(self, name: str) -> None:
        if name:
            self._runs.stop(self._runs.find(name))
