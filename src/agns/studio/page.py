"""The page: its head, and the tabs."""

import gradio as gr

from agns.studio.attack_tab import attack_tab
from agns.studio.campaigns_tab import campaigns_tab
from agns.studio.eyeglasses_tab import eyeglasses_tab
from agns.studio.physical_tab import physical_tab
from agns.studio.recognise_tab import recognise_tab
from agns.studio.recognizer_choice import RecognizerChoice
from agns.studio.workspace import Workspace

HEAD = """<h1>agns studio</h1>
<p class="lead">How far can eyeglasses fool a face recogniser that you are allowed to test?</p>"""


def build_page(workspace: Workspace) -> gr.Blocks:
    """The page with its five tabs; nothing in it comes from another machine."""
    with gr.Blocks(
        title="agns studio", analytics_enabled=False, delete_cache=(600, 3600)
    ) as blocks:
        gr.HTML(HEAD, elem_classes="studio")
        recognizer = RecognizerChoice(workspace)
        with gr.Tabs(overflow_behavior="wrap"):
            with gr.Tab("Recognise"):
                recognise_tab(workspace, recognizer)
            with gr.Tab("Eyeglasses") as eyeglasses:
                eyeglasses_tab(workspace, recognizer, eyeglasses)
            with gr.Tab("Attack", id="attack"):
                attack_tab(workspace, recognizer, blocks)
            with gr.Tab("Physical") as physical:
                physical_tab(workspace, recognizer, physical)
            with gr.Tab("Campaigns") as campaigns:
                campaigns_tab(workspace, campaigns)
    return blocks
