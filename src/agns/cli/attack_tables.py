"""An attack's score at a terminal."""

from pathlib import Path
from typing import TYPE_CHECKING

from agns.cli.console import say, show

if TYPE_CHECKING:
    from agns.evaluation.score import AttackScore


def show_score(score: "AttackScore", out: Path) -> None:
    """Print a score as a table, what weakens it, and where its files are."""
    from agns.evaluation.metrics import success_cells

    assert score.craft is not None  # Only a score made in Python may lack it.
    asked = "" if score.queries is None else f"{score.queries} queries, "
    say(
        f"Stopped after {score.iterations} iterations, {asked}{score.seconds:.1f} s: "
        f"{score.stopped_because}. The best frame's mean probability on the craft photos is "
        f"{score.craft.mean_probability:.3f}; the stop value is {score.stop_value:g}."
    )
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
    head = ("", ">photos", ">success", ">95 % interval", ">mean p", ">of those recognised")
    show(head, [(name, *success_cells(success)) for name, success in rows])
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
        others = [f">{name.replace('_', ' ')}" for name in score.controls]
        show((">false accepts", ">success", ">95 % interval", *others, ">no frame"), points)
    columns = ("looks like eyeglasses?", ">this frame", ">passes")
    show(columns, _looks(score))
    for warning in score.warnings:
        say(f"Warning: {warning}")
    say(f"Wrote {out / 'result.json'}, before_after.png, history.png and frame.png beside it.")


def _looks(score: "AttackScore") -> list[tuple[str, str, str]]:
    from agns.evaluation.judges import USUAL

    looks = []
    if (seen := score.stealth.appearance) is not None:
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
    wanted = ["non_printability"] if score.config.get("nps_weight") else []
    for name in (*wanted, "discriminator_score"):
        spread = score.benign_stealth[name]
        looks.append(
            (
                name.replace("_", " "),
                f"{getattr(score.stealth, name):.3f}",
                f"benign {spread.low:.3f} to {spread.high:.3f}",
            )
        )
    return looks
