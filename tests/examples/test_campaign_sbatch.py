"""The template of a Slurm job array."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

from agns.cli.app import app

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "examples" / "campaign.sbatch"


@pytest.mark.skipif(sys.platform == "win32", reason="needs bash")
def test_bash_reads_the_template() -> None:
    done = subprocess.run(["bash", "-n", TEMPLATE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_template_ends_in_a_command_that_agns_takes_and_the_signal_reaches() -> None:
    last = TEMPLATE.read_text(encoding="utf-8").splitlines()[-1]
    # Without exec, a shell would take the signal.
    assert last.startswith("exec agns campaign run ")
    _, _, *arguments = shlex.split(last)
    command = typer.main.get_command(app)
    context = command.make_context("agns", arguments)
    name, campaign, rest = command.resolve_command(context, arguments)  # type: ignore[attr-defined]
    assert name == "campaign"
    inner = campaign.make_context(name, rest, parent=context)
    name, run, rest = campaign.resolve_command(inner, rest)
    given = run.make_context(name, rest, parent=inner).params
    assert (name, given["part"]) == ("run", None)
    assert (ROOT / given["plan"]).is_file()


def test_the_template_is_requeued_and_asks_for_a_signal_in_time() -> None:
    asked = re.findall(r"^#SBATCH (\S+)$", TEMPLATE.read_text(encoding="utf-8"), re.MULTILINE)
    assert {"--array=1-8", "--requeue", "--signal=B:TERM@120"} <= set(asked)
