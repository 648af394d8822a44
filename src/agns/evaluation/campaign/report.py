"""A campaign's report: one HTML file with what weakens it on top."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from agns.evaluation.campaign.ledger import Row
from agns.evaluation.campaign.tables import Line
from agns.evaluation.figures import save_figure
from agns.evaluation.report import Picture, Section, Table, write_report

FEW_SUBJECTS = 5


def find_doubts(lines: Sequence[Line], rows: Sequence[Row]) -> list[str]:
    """Say in words what makes a campaign's figures weaker than they look.

    Args:
        lines: Its table.
        rows: Its ledger's.
    """
    doubts = []
    if left := sum(row.state in ("open", "claimed") for row in rows):
        doubts.append(f"{left} of {len(rows)} attacks have not been run: there is more to come.")
    if failed := sum(row.state == "failed" for row in rows):
        doubts.append(f"{failed} of {len(rows)} attacks could not be made; the reasons are below.")
    for one in lines:
        craft, held, benign = one.craft_success, one.held_out_success, one.benign_success
        found = []
        if one.subjects < FEW_SUBJECTS:
            found.append(f"only {one.subjects} subjects, so that the interval says little")
        if held > 0 and benign >= held / 2:
            found.append(
                f"benign frames succeed on {benign:.0%}, against {held:.0%}: the success is not "
                "the attack's own alone"
            )
        if craft - held > 0.2:
            found.append(
                f"{craft:.0%} on the craft photos, but {held:.0%} on others: the frames fit the "
                "photos they were made on"
            )
        if one.met_stop_value < one.done / 2:
            found.append(
                f"{one.done - one.met_stop_value} of {one.done} attacks ended before they reached "
                "the stop value"
            )
        where = f"{one.recognizer}, {one.goal}, {one.attack}"
        doubts += [f"{where}: {sentence}." for sentence in found]
    return doubts


def draw_intervals(path: Path, lines: Sequence[Line]) -> None:
    """Draw each line's held-out success with its interval, beside benign frames.

    Args:
        path: A PNG file.
        lines: The table.
    """
    figure = Figure(figsize=(7.6, 0.9 + 0.32 * len(lines)), layout="constrained")
    axis = figure.subplots()
    places = range(len(lines), 0, -1)
    for place, one in zip(places, lines, strict=True):
        axis.plot(one.held_out_interval, (place, place), color="#d1495b", linewidth=2)
    axis.plot(
        [one.held_out_success for one in lines], places, "o", color="#d1495b", markersize=5,
        label="held-out photos, 95 % over subjects",
    )  # fmt: skip
    axis.plot(
        [one.benign_success for one in lines], places, "|", color="#30638e", markersize=9,
        label="benign frames",
    )  # fmt: skip
    axis.set_yticks(
        list(places), [f"{one.recognizer}, {one.goal}, {one.attack}" for one in lines], fontsize=8
    )
    axis.set_xlim(-0.02, 1.02)
    axis.set_xlabel("success", fontsize=8)
    axis.grid(alpha=0.3, axis="x")
    axis.legend(fontsize=7, loc="best")
    save_figure(figure, path)


def report_campaign(
    out: Path,
    lines: Sequence[Line],
    rows: Sequence[Row],
    plan: Mapping[str, object],
    versions: Mapping[str, str],
) -> None:
    """Write `report.html`, and its picture of intervals.

    Args:
        out: The campaign's directory, with the artefacts of its cells.
        lines: The table.
        rows: The ledger's.
        plan: With its defaults.
        versions: That the campaign was begun with.
    """
    pictures = []
    if lines:
        draw_intervals(out / "intervals.png", lines)
        pictures.append(Picture(path=out / "intervals.png", caption="Success, with intervals."))
    said = Counter(
        sentence for row in rows if row.result is not None for sentence in row.result["warnings"]
    )
    write_report(
        out / "report.html",
        "A campaign of attacks",
        [
            Section(
                title="What weakens these figures",
                words=[] if lines else ["There are no results yet."],
                warnings=find_doubts(lines, rows)
                + [f"{sentence} ({count} attacks)" for sentence, count in said.most_common(8)],
            ),
            Section(title="Success", table=_table(lines), pictures=pictures),
            Section(title="Before and after", pictures=_faces(out, rows)),
            *_failures(rows),
            Section(title="Plan", fine_print=json.dumps(plan, indent=2, ensure_ascii=False)),
            Section(
                title="Versions", fine_print="\n".join(f"{k} = {v}" for k, v in versions.items())
            ),
        ],
    )  # fmt: skip


def _table(lines: Sequence[Line]) -> Table:
    return Table(
        head=(
            "recogniser", "goal", "attack", "subjects", "met the stop value", "craft",
            "held out", "95 % interval", "of those recognised", "benign frames", "D score",
            "seconds", "against the first",
        ),
        rows=[
            (
                one.recognizer, one.goal, one.attack, str(one.subjects),
                f"{one.met_stop_value} of {one.done}", f"{one.craft_success:.0%}",
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


def _failures(rows: Sequence[Row]) -> list[Section]:
    failed = [row for row in rows if row.state == "failed"]
    if not failed:
        return []
    told = [
        (row.cell.recognizer, row.cell.goal, row.cell.subject, row.cell.attack, row.sentence or "")
        for row in failed
    ]
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
            aim = "dodges" if cell.target is None else f"as {cell.target}"
            caption = f"{cell.recognizer}: {cell.subject} {aim}, {cell.attack}"
            pictures.append(Picture(path=path, caption=caption))
    return pictures
