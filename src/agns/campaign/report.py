"""A campaign's report: one HTML file with what weakens it on top."""

import json
from collections.abc import Sequence
from pathlib import Path

from agns.campaign.cells import UNIVERSAL
from agns.campaign.curves import CURVE_HEAD, curve_row
from agns.campaign.findings import Findings
from agns.campaign.pictures import draw_intervals, draw_stealth, draw_transfer
from agns.campaign.rows import Row
from agns.campaign.tables import Line
from agns.evaluation.report import Picture, Section, Table, write_report


def report_campaign(out: Path, findings: Findings) -> None:
    """Write `report.html` and its pictures.

    Args:
        out: The campaign's directory, with the artefacts of its cells.
        findings: What is in its ledger.
    """
    lines, rows = findings.lines, findings.rows
    versions = "\n".join(f"{name} = {version}" for name, version in findings.versions.items())
    write_report(
        out / "report.html",
        "A campaign of attacks",
        [
            Section(
                title="What weakens these figures",
                words=[] if lines or findings.curves else ["There are no results yet."],
                warnings=findings.weaknesses,
            ),
            *_success(out, findings),
            *_curves(out, findings),
            *_transfers(out, findings),
            Section(title="Before and after", pictures=_faces(out, rows)),
            *_failures(findings),
            Section(
                title="Plan", fine_print=json.dumps(findings.plan, indent=2, ensure_ascii=False)
            ),
            Section(title="Versions", fine_print=versions),
        ],
    )


def _success(out: Path, findings: Findings) -> list[Section]:
    if not findings.lines:
        return []
    draw_intervals(out / "intervals.png", findings.lines)
    draw_stealth(out / "stealth.png", findings.lines)
    return [
        Section(
            title="Success",
            words=[
                "Met the stop value: the best frame's mean probability over the attack's own "
                "photos did. Published figures are of attacks on their own photos too; their "
                "criterion may be another. All else is on photos that the attack had not."
            ],
            table=_table(findings.lines),
            pictures=[Picture(path=out / "intervals.png", caption="Success, with intervals.")],
        ),
        Section(
            title="Success against stealth",
            words=["Further right, frames look more like eyeglasses; a line joins what is best."],
            pictures=[
                Picture(path=out / "stealth.png", caption="Medians over attacks; higher is worse "
                        "for the recogniser.")
            ],
        ),
    ]  # fmt: skip


def _curves(out: Path, findings: Findings) -> list[Section]:
    if not findings.curves:
        return []
    made = [row for row in findings.rows if row.cell.goal == UNIVERSAL and row.result is not None]
    return [
        Section(
            title="Frames for many subjects",
            words=[
                "Success among held-out photos recognised without a frame. Picked: each subject "
                "wears the frame that did best on other photos; any: at least one works, a bound."
            ],
            table=Table(head=CURVE_HEAD, rows=[curve_row(one) for one in findings.curves]),
            pictures=[
                Picture(
                    path=out / "cells" / row.cell.key / name,
                    caption=f"{row.cell.recognizer}, {row.cell.attack}, seed {row.cell.seed}",
                )
                for row in made
                for name in ("reach.png", "frames.png")
                if (out / "cells" / row.cell.key / name).is_file()
            ],
        )
    ]


def _transfers(out: Path, findings: Findings) -> list[Section]:
    if not findings.transfers:
        return []
    draw_transfer(out / "transfer.png", findings.lines, findings.transfers)
    head = (
        "made against", "scored on", "goal", "attack", "subjects", "success", "95 % interval",
        "photographed", "benign frames", "no frame",
    )  # fmt: skip
    rows = [
        (
            one.made_against, one.scored_on, one.goal, one.attack, str(one.subjects),
            f"{one.digital:.1%}",
            f"{one.digital_interval[0]:.0%} to {one.digital_interval[1]:.0%}",
            f"{one.photographed:.1%}", f"{one.benign:.1%}", f"{one.bare:.1%}",
        )
        for one in findings.transfers
    ]  # fmt: skip
    caption = "Success of frames by the recogniser they were made against and scored on."
    return [
        Section(
            title="Frames on other recognisers",
            words=[
                "Photos that the other recogniser was trained on, or the frame was made on, do not "
                "count. Photographed: worn before a simulated camera."
            ],
            table=Table(head=head, rows=rows),
            pictures=[Picture(path=out / "transfer.png", caption=caption)],
        )
    ]


def _table(lines: Sequence[Line]) -> Table:
    return Table(
        head=(
            "recogniser", "goal", "attack", "subjects", "met the stop value", "published", "craft",
            "held out", "95 % interval", "of those recognised", "benign frames", "D score",
            "seconds", "against the first",
        ),
        rows=[
            (
                one.recognizer, one.goal, one.attack, str(one.subjects),
                f"{one.met_stop_value / one.done:.0%} of {one.done}",
                "-" if one.published is None else f"{one.published:.0%}",
                f"{one.craft_success:.0%}",
                f"{one.held_out_success:.1%}",
                f"{one.held_out_interval[0]:.0%} to {one.held_out_interval[1]:.0%}",
                "-" if one.recognized_success is None else f"{one.recognized_success:.0%}",
                f"{one.benign_success:.0%}", f"{one.discriminator_score:.3f}",
                f"{one.seconds:.1f}",
                "-" if one.against_first is None else f"p = {one.against_first:.3f}",
            )
            for one in lines
        ],
    )  # fmt: skip


def _failures(findings: Findings) -> list[Section]:
    failed = findings.failures
    if not failed and not findings.unscored:
        return []
    told = [
        (row.cell.recognizer, row.cell.goal, row.cell.subject, row.cell.attack, row.sentence or "")
        for row in failed
    ]
    told += [
        (f"{row.cell.recognizer} on {row.victim}", row.cell.goal, row.cell.subject,
         row.cell.attack, row.sentence or "")
        for row in findings.unscored
    ]  # fmt: skip
    head = ("recogniser", "goal", "subject", "attack", "why")
    return [Section(title="Without a result", table=Table(head=head, rows=told))]


def _faces(out: Path, rows: Sequence[Row]) -> list[Picture]:
    """The sheet of the first attack of each kind whose artefacts are there."""
    seen: set[tuple[str, str, str]] = set()
    pictures = []
    for row in rows:
        cell = row.cell
        kind = (cell.recognizer, cell.goal, cell.attack)
        path = out / "cells" / cell.key / "before_after.png"
        if row.result is not None and kind not in seen and path.is_file():
            seen.add(kind)
            caption = f"{cell.recognizer}: {cell.title}"
            pictures.append(Picture(path=path, caption=caption))
    return pictures
