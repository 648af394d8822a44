"""An attack's score as tables and sentences, at a terminal."""

from pathlib import Path
from typing import TYPE_CHECKING

from agns.cli.console import say, show

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agns.evaluation.report import Table
    from agns.evaluation.score import AttackScore
    from agns.evaluation.stealth import BenignRange, Stealth


def how_it_ended(score: "AttackScore") -> str:
    """Why an attack ended, and how near it came to its stop value."""
    assert score.craft is not None  # Only a score made in Python may lack it.
    asked = "" if score.queries is None else f"{score.queries} queries, "
    return (
        f"Stopped after {score.iterations} iterations, {asked}{score.seconds:.1f} s: "
        f"{score.stopped_because}. The best frame's mean probability on the craft photos is "
        f"{score.craft.mean_probability:.3f}; the stop value is {score.stop_value:g}."
    )


def score_tables(score: "AttackScore") -> "list[Table]":
    """Success beside the controls', at a gallery's operating points if any, and the frame's looks.

    Success is of the craft photos and of the held-out ones.
    """
    from agns.evaluation.metrics import success_cells
    from agns.evaluation.report import Table

    assert score.craft is not None
    rows = [
        ("craft", score.craft),
        ("held out", score.held_out),
        (
            "held out, marked frame" if score.physical else "held out, no frame",
            score.held_out_without_frame,
        ),
    ]
    rows += [
        (f"held out, {name.replace('_', ' ')}", control) for name, control in score.controls.items()
    ]
    head = ("", "photos", "success", "95 % interval", "mean p", "of those recognised")
    tables = [Table(head=head, rows=[(name, *success_cells(success)) for name, success in rows])]
    if score.operating_points:
        points = [
            (
                f"{point.false_accept_rate:g}",
                *success_cells(point.held_out)[1:3],
                *(success_cells(point.controls[name])[1] for name in score.controls),
                success_cells(point.held_out_without_frame)[1],
            )
            for point in score.operating_points
        ]
        others = [name.replace("_", " ") for name in score.controls]
        points_head = ("false accepts", "success", "95 % interval", *others, "no frame")
        tables.append(Table(head=points_head, rows=points, texts=0))
    printed = bool(score.config.get("nps_weight"))
    return [*tables, looks_table(score.stealth, score.benign_stealth, printed=printed)]


def looks_table(
    stealth: "Stealth", benign: "Mapping[str, BenignRange]", *, printed: bool
) -> "Table":
    """Whether a frame looks like eyeglasses to each judge; with `printed`, on paper too."""
    from agns.evaluation.judges import USUAL
    from agns.evaluation.report import Table

    looks = []
    if (seen := stealth.appearance) is not None:
        if seen.sealed is not None:
            looks.append(("sealed judge, log-odds", f"{seen.sealed:+.1f}", "from 0"))
        looks += [
            (f"real frames more usual, by {name}", f"{share:.1%}", f"to {USUAL:.1%}")
            for name, share in (
                ("patches", seen.patches),
                ("the whole", seen.whole),
                ("total variation", seen.variation),
            )
        ]
    # The discriminator comes last: attacks are made against it. Whose frames are not to be printed
    # need not know how they would print.
    wanted = ["non_printability"] if printed else []
    for name in (*wanted, "discriminator_score"):
        spread = benign[name]
        looks.append(
            (
                name.replace("_", " "),
                f"{getattr(stealth, name):.3f}",
                f"benign {spread.low:.3f} to {spread.high:.3f}",
            )
        )
    return Table(head=("looks like eyeglasses?", "this frame", "passes"), rows=looks)


def show_score(score: "AttackScore", out: Path) -> None:
    """Print a score as a table, what weakens it, and where its files are."""
    say(how_it_ended(score))
    for table in score_tables(score):
        show(table.marked_head, table.rows)
    for warning in score.warnings:
        say(f"Warning: {warning}")
    say(f"Wrote {out / 'result.json'}, before_after.png, history.png and frame.png beside it.")
