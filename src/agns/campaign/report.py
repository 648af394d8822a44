"""A campaign's report, with what weakens it on top: as HTML, as Markdown, and for programs."""

import json
from collections.abc import Sequence
from pathlib import Path

from agns.campaign.appearance import appearance_table
from agns.campaign.curves import CurvePoint, QueriesSummary
from agns.campaign.plots import draw_appearance, draw_intervals, draw_queries, draw_transfer
from agns.campaign.records import JobRecord
from agns.campaign.results import Results
from agns.campaign.summary import AttackSummary, PointSummary, TransferSummary
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


def success_table(attacks: Sequence[AttackSummary]) -> Table:
    """A row for each recogniser, goal and attack."""
    head = (
        "recogniser", "goal", "attack", "attacks", "subjects", "met the stop value", "published",
        "craft", "held out", "95 % interval", "of those recognised", "benign frames",
        "seconds", "by chance against the first",
    )  # fmt: skip
    rows = [
        (
            one.recognizer, one.goal, one.attack, f"{one.done} of {one.planned}", str(one.subjects),
            f"{one.met_stop_value / one.done:.0%} ({_interval(one.met_interval)})",
            _share(one.published, 0), _share(one.craft_success, 0), _share(one.held_out_success),
            _interval(one.held_out_interval), _share(one.recognized_success, 0),
            _share(one.benign_success, 0), f"{one.seconds:.1f}",
            "-" if one.against_first is None else f"p = {one.against_first:.3f}",
        )
        for one in attacks
    ]  # fmt: skip
    return Table(head=head, rows=rows, texts=3)


def point_table(points: Sequence[PointSummary]) -> Table:
    """A row for each recogniser, goal, attack and false-accept rate."""
    head = (
        "recogniser", "goal", "attack", "false accepts", "subjects", "held out", "95 % interval",
        "of those recognised", "benign frames", "no frame",
    )  # fmt: skip
    rows = [
        (
            one.recognizer, one.goal, one.attack, f"{one.false_accept_rate:g}", str(one.subjects),
            _share(one.held_out_success), _interval(one.held_out_interval),
            _share(one.recognized_success, 0), _share(one.benign_success), _share(one.bare_success),
        )
        for one in points
    ]  # fmt: skip
    return Table(head=head, rows=rows, texts=3)


def queries_table(points: Sequence[QueriesSummary]) -> Table:
    """A row for each recogniser, goal, attack and number of queries."""
    head = (
        "recogniser", "goal", "attack", "queries", "subjects", "held out", "95 % interval",
        "benign frames",
    )  # fmt: skip
    rows = [
        (
            one.recognizer, one.goal, one.attack, str(one.queries), str(one.subjects),
            _share(one.held_out_success), _interval(one.held_out_interval),
            _share(one.benign_success),
        )
        for one in points
    ]  # fmt: skip
    return Table(head=head, rows=rows, texts=3)


def curve_table(points: Sequence[CurvePoint]) -> Table:
    """A row for each universal attack, group and number of frames."""
    head = (
        "recogniser", "attack", "seed", "frames", "worn by", "picked", "95 % interval",
        "subjects that dodge", "benign, picked", "any", "benign, any",
    )  # fmt: skip
    rows = [
        (
            one.recognizer, one.attack, str(one.seed), str(one.frames),
            f"{one.subjects} {one.worn_by}", _share(one.picked), _interval(one.picked_interval),
            _share(one.subjects_dodging), _share(one.benign_picked), _share(one.any),
            _share(one.benign_any),
        )
        for one in points
    ]  # fmt: skip
    return Table(head=head, rows=rows, texts=2)


def transfer_table(transfers: Sequence[TransferSummary]) -> Table:
    """A row for each goal, attack and pair of recognisers."""
    head = (
        "goal", "attack", "made against", "scored on", "subjects", "success", "95 % interval",
        "photographed", "benign frames", "no frame",
    )  # fmt: skip
    rows = [
        (
            one.goal, one.attack, one.made_against, one.scored_on, str(one.subjects),
            _share(one.digital), _interval(one.digital_interval), _share(one.photographed),
            _share(one.benign), _share(one.bare),
        )
        for one in transfers
    ]  # fmt: skip
    return Table(head=head, rows=rows, texts=4)


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


def _share(share: float | None, digits: int = 1) -> str:
    return "-" if share is None else f"{share:.{digits}%}"


def _interval(interval: tuple[float, float] | None) -> str:
    return "-" if interval is None else f"{interval[0]:.0%} to {interval[1]:.0%}"


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
