"""An attack's report at a terminal."""

from pathlib import Path
from typing import TYPE_CHECKING

from agns.cli.console import say, show

if TYPE_CHECKING:
    from agns.evaluation.attack_report import AttackReport


def show_report(report: "AttackReport", out: Path) -> None:
    """Print a report as a table, what weakens it, and where its files are."""
    from agns.evaluation.metrics import success_cells

    say(
        f"Stopped after {report.iterations} iterations, {report.seconds:.1f} s: "
        f"{report.stopped_because}. The best frame's mean probability on the craft photos is "
        f"{report.craft.mean_probability:.3f}; the stop value is {report.stop_value:g}."
    )
    rows = [
        ("craft", report.craft),
        ("held out", report.held_out),
        (
            "held out, marked frame" if report.physical else "held out, no frame",
            report.held_out_without_frame,
        ),
    ]
    rows += [
        (f"held out, {name.replace('_', ' ')}", control)
        for name, control in report.controls.items()
    ]
    head = ("", ">photos", ">success", ">95 % interval", ">mean p", ">of those recognised")
    show(head, [(name, *success_cells(success)) for name, success in rows])
    columns = ("looks like eyeglasses?", ">this frame", ">benign, middle 90 %")
    looks = [
        (
            name.replace("_", " "),
            f"{getattr(report.stealth, name):.3f}",
            f"{spread.low:.3f} to {spread.high:.3f}",
        )
        for name, spread in report.benign_stealth.items()
        # Whose frames are not to be printed need not know how they would print.
        if name != "non_printability" or report.config.get("printability")
    ]
    show(columns, looks)
    for warning in report.warnings:
        say(f"Warning: {warning}")
    say(f"Wrote {out / 'result.json'}, before_after.png, history.png and frame.png beside it.")
