"""The tab Attack: what is asked, how far it is, and what it is worth."""

from collections.abc import Sequence
from typing import Any

import gradio as gr

from agns.accessory.printability import palette_at
from agns.attack.methods import METHODS, palette_of
from agns.cli.attack import usual_attack
from agns.cli.settings_fields import Field
from agns.data.faces import unknown_identity
from agns.errors import AgnsError, ConfigError
from agns.evaluation.attack_spec import build_goal
from agns.models.victim import Victim
from agns.studio.attack_request import AttackRequest
from agns.studio.recognizer_choice import RecognizerChoice
from agns.studio.run_panel import QUIET, REMEMBER, RunPanel
from agns.studio.run_view import title_of
from agns.studio.runs import Run
from agns.studio.settings_form import component, fields_of, given
from agns.studio.workspace import Workspace


def explained(method: str) -> str:
    """The first paragraph of a method's documentation."""
    text = (type(METHODS[method]).__doc__ or "").split("\n\n")[0]
    return " ".join(text.replace("`", "").split())


def check(request: AttackRequest, victim: Victim, subjects: Sequence[str]) -> None:
    """Refuse what the attack's process would refuse, before there is one.

    Raises:
        AgnsError: As `agns attack` does.
    """
    attack, spec = request.attack(), request.spec()
    if not request.subject:
        raise ConfigError("name who wears the eyeglasses")
    palette_at(palette_of(attack))
    build_goal(spec, victim)
    if not request.physical and spec.subject not in subjects:
        raise unknown_identity(spec.subject, subjects, "these faces")


def listed(runs: Sequence[Run]) -> list[tuple[str, str]]:
    """Runs to choose from, by their titles."""
    found = []
    for run in runs:
        try:
            found.append((title_of(run), run.name))
        except AgnsError:
            # Its request is damaged; what it left is still in its folder.
            continue
    return found


def attack_tab(workspace: Workspace, recognizer: RecognizerChoice, blocks: gr.Blocks) -> None:
    """Put the tab's parts on the page that is being made."""
    known = list(workspace.open(None).recognizer.identities)
    subjects = workspace.subjects(workspace.open(None).recognizer)
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=300):
            goal = gr.Radio(
                [("Dodge", "dodge"), ("Impersonate", "impersonate")],
                value="dodge",
                label="Goal",
                interactive=True,
            )
            subject = gr.Dropdown(
                subjects, value=next(iter(subjects), None), label="Subject",
                info="Who wears the eyeglasses.", allow_custom_value=True, interactive=True,
            )  # fmt: skip
            target = gr.Dropdown(
                known, value=None, label="Target", info="Whom to be taken for.", visible=False,
                allow_custom_value=True, interactive=True,
            )  # fmt: skip
            method = gr.Dropdown(list(METHODS), value="agn", label="Method", info=explained("agn"))
            with gr.Row():
                seed, craft, stop_value = numbers()
            below = gr.Column()
            stop = gr.Button("Stop", interactive=False)
            before = gr.Dropdown(
                listed(workspace.runs.all()), value=None, label="Attacks begun before",
                info="On this page, on another one, or on one that was closed.",
            )  # fmt: skip
        with gr.Column(scale=3, min_width=300):
            panel = RunPanel(workspace, stop, view_id="attack-view")

    def ask(method: str, fields: Sequence[Field], values: Sequence[Any]) -> tuple[Any, ...]:
        choice, uploaded, aim, wearer, whom, *figures = values
        try:
            source = workspace.source(choice, uploaded)
            request = AttackRequest(
                goal=aim, subject=wearer or "",
                target=whom or None if aim == "impersonate" else None, method=method,
                settings=given(fields, figures[3:]), recognizer=source,
                faces=workspace.faces_folder, glasses=workspace.glasses_folder,
                **read_numbers(figures[:3]),
            )  # fmt: skip
            victim = workspace.open(source).recognizer
            check(request, victim, workspace.subjects(victim))
            run = workspace.begin(request)
        except AgnsError as error:
            return *panel.refuse(error), gr.skip()
        return *panel.begun(run.name), _choices(workspace, run.name)

    def settings(method: str) -> None:
        fields = fields_of(usual_attack(method, physical=False))
        with gr.Accordion(f"Settings of {method}: {len(fields)}", open=False):
            parts = [component(field) for field in fields]
        # Not there before what it reads is.
        begin = gr.Button("Start", variant="primary")
        begin.click(
            lambda *values: ask(method, fields, values),
            [recognizer.choice, recognizer.uploaded, goal, subject, target, seed, craft, stop_value,
             *parts],
            [panel.refused, *panel.outputs, before], **QUIET,
        ).then(None, panel.name, None, js=REMEMBER)  # fmt: skip

    with below:
        gr.render(inputs=method)(settings)
    goal.change(lambda aim: gr.Dropdown(visible=aim == "impersonate"), goal, target, **QUIET)
    method.change(lambda name: gr.Dropdown(info=explained(name)), method, method, **QUIET)
    recognizer.choice.change(
        lambda *chosen: people(workspace, *chosen), [recognizer.choice, recognizer.uploaded],
        [subject, target], **QUIET,
    )  # fmt: skip
    before.input(panel.show, before, panel.outputs, **QUIET).then(
        None, panel.name, None, js=REMEMBER
    )

    def found_again(request: gr.Request) -> tuple[Any, ...]:
        """The run that the page's address names."""
        name = str(request.query_params.get("run", ""))
        return *panel.show(name), _choices(workspace, name)

    blocks.load(found_again, None, [*panel.outputs, before], **QUIET)


def numbers() -> tuple[gr.Number, gr.Number, gr.Textbox]:
    """Inputs for the seed, the number of craft photos, and the stop value."""
    return (
        gr.Number(
            0, precision=0, label="Seed", info="Of every draw.", min_width=90, interactive=True
        ),
        gr.Number(
            16, precision=0, label="Craft photos", info="At most.", min_width=90, interactive=True
        ),
        gr.Textbox(
            "",
            label="Stop value",
            placeholder="usual",
            info="Of the probability.",
            min_width=90,
            interactive=True,
        ),
    )


def read_numbers(values: Sequence[Any]) -> dict[str, Any]:
    """What these inputs hold, as `AttackRequest` takes it.

    Raises:
        ConfigError: One is none, or negative.
    """
    seed, craft, stop = values
    if seed is None or not 0 <= seed < 2**63:
        raise ConfigError("the seed is a whole number from 0 on")
    if craft is None:
        raise ConfigError("say how many photos to craft on at most")
    try:
        figure = float(stop) if str(stop or "").strip() else None
    except ValueError:
        raise ConfigError(f"the stop value is a number, got {stop!r}") from None
    return {"seed": int(seed), "craft": int(craft), "stop": figure}


def people(
    workspace: Workspace, choice: str, uploaded: str | None, *, pictured: bool = False
) -> tuple[Any, Any]:
    """Inputs for a subject and a target, with those whom a recogniser and the faces offer.

    With `pictured`, the subject's photos are there already, and whoever is known may be it.
    """
    try:
        victim = workspace.open(workspace.source(choice, uploaded)).recognizer
    except AgnsError:
        return gr.skip(), gr.skip()
    known = list(victim.identities)
    subjects = known if pictured else workspace.subjects(victim)
    return (
        gr.Dropdown(choices=subjects, value=next(iter(subjects), None)),
        gr.Dropdown(choices=known, value=None),
    )


def _choices(workspace: Workspace, value: str | None) -> Any:
    return gr.Dropdown(choices=listed(workspace.runs.all()), value=value or None)
