"""The tab Campaigns: reports to read, two campaigns side by side, and the attacks of the folder."""

import urllib.parse
from typing import Any

import gradio as gr

from agns.campaign.comparison import compare
from agns.campaign.records import read_attack_score
from agns.campaign.results import read_results
from agns.cli.campaign import comparison_table, comparison_warnings
from agns.errors import AgnsError
from agns.evaluation.metrics import success_cells
from agns.evaluation.report import Table
from agns.storage import read_json
from agns.studio import markup
from agns.studio.campaigns import find_campaign, list_campaigns, report_of
from agns.studio.run_view import title_of
from agns.studio.workspace import Workspace

MOST_LISTED = 40
"""Attacks in the table, the latest first."""


def campaigns_tab(workspace: Workspace, tab: gr.Tab) -> None:
    """Put the tab's parts on the page that is being made."""
    with gr.Row():
        first = gr.Dropdown([], label="Campaign", info="Of the folder that --runs names.",
                            min_width=260)  # fmt: skip
        second = gr.Dropdown([], label="A later one, to compare", min_width=260,
                             info="Of the same plan, with another recogniser.")  # fmt: skip
    view = gr.HTML(elem_classes="studio", elem_id="campaigns-view")
    attacks = gr.HTML(elem_classes="studio", elem_id="campaigns-attacks")

    def listed() -> tuple[Any, ...]:
        names = list_campaigns(workspace.root)
        told = (
            "Choose a campaign to read its report."
            if names
            else f"There are no campaigns in {workspace.root}: agns campaign run PLAN --out "
            f"{workspace.root}/NAME makes one."
        )
        return (
            gr.Dropdown(choices=names, value=None), gr.Dropdown(choices=names, value=None),
            markup.words(told), _attacks(workspace),
        )  # fmt: skip

    def show(name: str | None, other: str | None) -> str:
        try:
            parts = [_compared(workspace, name, other)] if name and other else []
            return "".join([*parts, _report(workspace, name)]) if name else ""
        except AgnsError as error:
            return markup.refusal(str(error))

    tab.select(listed, None, [first, second, view, attacks])
    for changed in (first, second):
        changed.input(show, [first, second], view)


def _report(workspace: Workspace, name: str) -> str:
    report_of(find_campaign(workspace.root, name))
    address = f"campaigns/{urllib.parse.quote(name, safe='')}/report.html"
    shown = markup.escaped(name)
    return (
        f'{markup.heading(f"The report of {name}")}<p><a href="{address}" target="_blank">'
        f"Open it in a window of its own</a></p>"
        f'<iframe src="{address}" title="The report of {shown}"></iframe>'
    )


def _compared(workspace: Workspace, name: str, other: str) -> str:
    before, after = (read_results(find_campaign(workspace.root, one)) for one in (name, other))
    found = compare(before, after)
    return (
        markup.heading(f"{name} and then {other}")
        + markup.warnings([one.capitalize() for one in comparison_warnings(before, after, found)])
        + comparison_table(found).as_html()
    )


def _attacks(workspace: Workspace) -> str:
    """The attacks that were begun on the page, as a table."""
    rows: list[tuple[str, ...]] = []
    for run in workspace.runs.all()[:MOST_LISTED]:
        try:
            state, _ = run.ended()
            cells = ("", "", "")
            if state == "done":
                score = read_attack_score(read_json(run.result / "result.json"), run.name)
                cells = success_cells(score.held_out)[:3]
            rows.append((title_of(run), state, *cells))
        except AgnsError as error:
            rows.append((run.name, str(error), "", "", ""))
    if not rows:
        return ""
    head = ("attack", "state", "held out", "success", "95 % interval")
    return markup.heading("Attacks begun on this page") + Table(head=head, rows=rows, texts=2
                                                                ).as_html()  # fmt: skip
