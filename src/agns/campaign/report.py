"""A campaign's report, with what weakens it on top: as HTML, as Markdown, and for programs."""

import json
from collections.abc import Sequence
from pathlib import Path

from agns.campaign.appearance import appearance_table
from agns.campaign.plots import draw_appearance, draw_intervals, draw_queries, draw_transfer
from agns.campaign.records import JobRecord
from agns.campaign.report_tables import (
    curve_table,
    curves_at_points_table,
    point_table,
    queries_table,
    success_table,
    transfer_table,
)
from agns.campaign.results import Results
from agns.campaign.symmetry import symmetry_table
from agns.evaluation.judges import USUAL
from agns.evaluation.report import Picture, Section, Table, as_markdown, write_report
from agns.evaluation.score import AttackScore
from agns.evaluation.universal_report import UniversalReport
from agns.storage import write_json
from agns.writing import write_text


def report_campaign(out: Path, results: Results) -> None:
    """Write `report.html` with its pictures, `report.md` and `report.json`.

    Args:
        out: The campaign's directory, with the artefacts of its jobs.
        results: What is in its ledgers.
    """
    sections = report_sections(out, results)
    write_report(out / "report.html", "A campaign of attacks", sections)
    write_text(out / "report.md", as_markdown(sections))
    # For programs, of which each attack's whole result is: spaces would be a third of the file.
    write_json(out / "report.json", results.as_json(), indent=0)


def report_sections(out: Path, results: Results) -> list[Section]:
    """The parts of a report; pictures are drawn into the campaign's directory."""
    there = bool(results.attacks or results.curves)
    versions = "\n".join(f"{name} = {version}" for name, version in results.versions.items())
    sections = [
        Section(
            title="What weakens these numbers",
            words=[] if there else ["There are no results yet."],
            warnings=results.weaknesses,
        )
    ]
    if results.attacks:
        sections += _success(out, results)
    if results.points:
        sections.append(
            Section(
                title="At operating points",
                words=[
                    "The same frames, held out, at each threshold of the galleries, named by its "
                    "false-accept rate. Of benign frames and of none, success when dodging is a "
                    "false reject, when impersonating a false accept as the target."
                ],
                table=point_table(results.points),
            )
        )
    if results.by_queries:
        draw_queries(out / "queries.png", results.by_queries)
        caption = "Success over queries, with intervals; dashed where the victim is not asked."
        sections.append(
            Section(
                title="Success against queries",
                words=[
                    "A query is one face. After so many, the best frame that an attack had found "
                    "is scored on held-out photos; queries of scoring do not count."
                ],
                table=queries_table(results.by_queries),
                pictures=[Picture(path=out / "queries.png", caption=caption)],
            )
        )
    if results.curves:
        sections.append(
            Section(
                title="Frames for many subjects",
                words=[
                    "Success among held-out photos recognised without a frame. Picked: each "
                    "subject wears the frame that did best on other photos; any: at least one "
                    "works, a bound."
                ],
                table=curve_table(results.curves),
                pictures=_universal_pictures(out, results.records),
            )
        )
    if results.curves_at_points:
        sections.append(
            Section(
                title="Frames for many subjects, at operating points",
                words=[
                    "The same frames at each threshold of the galleries, named by its false-accept "
                    "rate: the fewest to pick from, and the most. Of no frame, all photos count."
                ],
                table=curves_at_points_table(results.curves_at_points),
            )
        )
    if results.transfers:
        draw_transfer(out / "transfer.png", results.attacks, results.transfers)
        caption = "Success of frames by the recogniser they were made against and scored on."
        sections.append(
            Section(
                title="Frames on other recognisers",
                words=[
                    "Photos that the other recogniser was trained on, or the frame was made on, "
                    "do not count. Photographed: worn before a simulated camera."
                ],
                table=transfer_table(results.transfers),
                pictures=[Picture(path=out / "transfer.png", caption=caption)],
            )
        )
    if results.symmetry:
        sections.append(
            Section(
                title="By class",
                words=[
                    "Robust: held-out photos on which dodging failed. Favoured: whom others are "
                    "taken for. Asymmetry: how much more often one is taken for another than the "
                    "reverse, the largest over pairs tried both ways (Sy-FAR); by chance: what "
                    "the largest of these comes to in the mean if both ways are equally easy."
                ],
                table=symmetry_table(results.symmetry),
            )
        )
    sections.append(Section(title="Before and after", pictures=_faces(out, results.records)))
    if (failures := _failure_table(results)).rows:
        sections.append(Section(title="Without a result", table=failures))
    plan = json.dumps(results.plan, indent=2, ensure_ascii=False)
    return [
        *sections,
        Section(title="Plan", fine_print=plan),
        Section(title="Versions", fine_print=versions),
    ]


def _success(out: Path, results: Results) -> list[Section]:
    intervals = out / "intervals.png"
    draw_intervals(intervals, results.attacks)
    return [
        Section(
            title="Success",
            words=[
                "Met the stop value: the best frame's mean probability over the attack's own "
                "photos did. Published numbers are of attacks on their own photos too; their "
                "criterion may be another. All else is on photos that the attack had not."
            ],
            table=success_table(results.attacks),
            pictures=[Picture(path=intervals, caption="Success, with intervals.")],
        ),
        *_appearance(out, results),
    ]


def _appearance(out: Path, results: Results) -> list[Section]:
    if not results.appearance:
        return []
    path = out / "appearance.png"
    draw_appearance(path, results.attacks, results.appearance)
    return [
        Section(
            title="Do the frames look like eyeglasses?",
            words=[
                "Judges that no attack has seen. Natural: the sealed judge lets the frame pass, "
                f"and no more than {USUAL:.1%} of real frames look more usual by patches, as a "
                "whole, or by total variation; the worst of these three is told beside. Told "
                "apart: what a classifier fitted to these frames and to real ones gets right, "
                "50 % by chance. D score: the discriminator's belief, as the papers have it; "
                "attacks are made against it, and it does not see what they do to a frame."
            ],
            table=appearance_table(results.appearance),
            pictures=[
                Picture(
                    path=path,
                    caption="Higher is worse for the recogniser; further right, more frames pass "
                    "the judges, and fewer real frames look more usual. A line joins what is best.",
                )
            ],
        )
    ]


def _failure_table(results: Results) -> Table:
    failed = [one for one in results.records if one.state == "failed"]
    unscored = [one for one in results.transferred if one.score is None]
    named = [(one.job.recognizer, one.job, one.sentence) for one in failed]
    named += [(f"{one.job.recognizer} on {one.victim}", one.job, one.sentence) for one in unscored]
    rows = [
        (name, job.goal, job.subject, job.attack, str(job.seed), sentence or "")
        for name, job, sentence in named
    ]
    head = ("recogniser", "goal", "subject", "attack", "seed", "why")
    return Table(head=head, rows=rows, texts=6)


def _universal_pictures(out: Path, records: Sequence[JobRecord]) -> list[Picture]:
    return [
        Picture(path=path, caption=f"{job.recognizer}, {job.attack}, seed {job.seed}")
        for job in (one.job for one in records if isinstance(one.result, UniversalReport))
        for path in (job.folder(out) / "reach.png", job.folder(out) / "frames.png")
        if path.is_file()
    ]


def _faces(out: Path, records: Sequence[JobRecord]) -> list[Picture]:
    """The sheet of the first attack of each kind whose artefacts are there."""
    found: dict[tuple[str, str, str], Picture] = {}
    for job in (one.job for one in records if isinstance(one.result, AttackScore)):
        path = job.folder(out) / "before_after.png"
        if path.is_file():
            picture = Picture(path=path, caption=f"{job.recognizer}: {job.title}")
            found.setdefault((job.recognizer, job.goal, job.attack), picture)
    return list(found.values())
