"""`agns campaign`: many attacks by a plan, and their tables."""

import functools
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agns.cli.cluster import DaskOption, DaskResourcesOption, check_dask, work_on_dask
from agns.cli.console import bar, prepare, say, show
from agns.cli.given import Command
from agns.cli.opening import (
    begin_photos,
    known_identities,
    open_for_campaign,
    open_on_worker,
)
from agns.cli.options import DeviceOption
from agns.cli.parts import PartOption, chosen_part, ledger_of
from agns.cli.working import share, tell, work
from agns.object_reference import names_code

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agns.evaluation.campaign.cells import Cell
    from agns.evaluation.campaign.ledger import Ledger
    from agns.evaluation.campaign.plan import Plan, PlanVictim

app = typer.Typer(help="Run many attacks by a plan, and put them in tables.", no_args_is_help=True)

OutArgument = Annotated[
    Path, typer.Argument(metavar="DIR", help="The campaign's directory.", show_default=False)
]


@app.command("run", cls=Command)
def run(
    plan: Annotated[Path, typer.Argument(metavar="PLAN", help="A YAML file.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Directory of the campaign.")],
    workers: Annotated[
        int, typer.Option(help="Processes that share the attacks and the cores.", min=1)
    ] = 1,
    part: PartOption = None,
    dask: DaskOption = None,
    dask_resources: DaskResourcesOption = None,
    device: DeviceOption = "auto",
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try attacks again that could not be made.")
    ] = False,
    reopen: Annotated[
        bool,
        typer.Option(
            "--reopen",
            help="Run again what other machines had in work; only when none works on it any more.",
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would run, and run nothing.")
    ] = False,
) -> None:
    """Run every attack of a plan that has no result yet.

    The same command goes on after Ctrl-C, a crash or a power cut, and to the same figures (with as
    many threads: their number moves the last digits). Two of them may work on one directory. What a
    process that was killed had in work is done by another. Machines that share the directory each
    take a --part, then; tables put all parts together.
    """
    import dataclasses

    from agns.cli.rehearsal import rehearse
    from agns.evaluation.campaign.cells import cells_of
    from agns.evaluation.campaign.parts import share_of
    from agns.evaluation.campaign.plan_file import read_plan
    from agns.training.precision import choose_device

    prepare()
    check_dask(dask, dask_resources)
    own = chosen_part(part)
    read = read_plan(plan)
    if dask in (None, "local"):
        # Before anything is written; workers elsewhere may have what this machine has not.
        choose_device(device)
    known = {victim.name: known_identities(victim) for victim in read.recognizers}
    cells = cells_of(read, known)
    taken = share_of(cells, own)
    names = {cell.recognizer for cell in taken}
    # A part needs no other recognisers than its own, unless it scores on all.
    needed = [one for one in read.recognizers if one.name in names or (taken and read.transfer)]
    if dry_run:
        rehearse(dataclasses.replace(read, recognizers=tuple(needed)), taken, device)
        return
    with ledger_of(own, read, cells, out, retry_failed=retry_failed, reopen=reopen) as ledger:
        begun = begin_photos(read, taken, known, ledger.photos())
        ledger.enter_photos(begun)
        _examine(read, needed, ledger, cells, known, device)
        if dask is not None and taken:
            opened = functools.partial(open_on_worker, plan=read, device=device, begun=begun)
            work_on_dask(
                read, ledger.path, dask, opened,
                workers=min(workers, len(taken)), resources=dask_resources, tell=tell,
            )  # fmt: skip
        elif taken:
            if workers > 1:
                share(read, ledger.path, min(workers, len(taken)), device)
            # What is left: everything, or what others had in work when they were killed.
            work(read, ledger.path, device)
        if read.transfer and taken:
            _transfer(read, ledger, known, device, whole=own.of == 1)
        standing = ledger.standing()
    if own.of == 1:
        report(out)
    else:
        # Written by each part, tables of all would be written by many at once.
        say(
            f"{own}: {standing.ended} of {standing.cells} attacks ended; `agns campaign report "
            f"{out}` puts all parts in tables"
        )


@app.command("report")
def report(out: OutArgument) -> None:
    """Put the results so far in tables: `report.html`, `report.md` and `report.json`."""
    from agns.evaluation.campaign.curves import curve_row
    from agns.evaluation.campaign.findings import read_findings
    from agns.evaluation.campaign.markdown import as_markdown
    from agns.evaluation.campaign.report import report_campaign
    from agns.storage import write_json
    from agns.writing import write_text

    findings = read_findings(out)
    write_text(out / "report.md", as_markdown(findings))
    report_campaign(out, findings)
    # For programs, of which each attack's whole result is: spaces would be a third of the file.
    write_json(out / "report.json", findings.as_json(), indent=0)
    if findings.lines:
        show(
            ("recogniser", "goal", "attack", ">attacks", ">met", ">held out", ">95 %"),
            [
                (
                    one.recognizer, one.goal, one.attack, str(one.done), str(one.met_stop_value),
                    f"{one.held_out_success:.1%}",
                    f"{one.held_out_interval[0]:.0%} to {one.held_out_interval[1]:.0%}",
                )
                for one in findings.lines
            ],
        )  # fmt: skip
    if findings.curves:
        say("Frames for many subjects, one picked by each on other photos:")
        rows = [curve_row(one) for one in findings.curves]
        show(
            ("recogniser, attack, seed", ">frames", "worn by", ">picked", ">95 %", ">benign"),
            # What else there is would not fit a terminal.
            [(", ".join(row[:3]), *row[3:7], row[8]) for row in rows],
        )
    for name, doubts in findings.doubts.items():
        for doubt in doubts:
            say(f"Warning: {name}: {doubt}.")
    states = Counter(row.state for row in findings.rows)
    say(
        f"{states['done']} of {len(findings.rows)} attacks have results, {states['failed']} "
        f"failed; wrote {out / 'report.html'}, report.md and report.json beside it"
    )


@app.command("compare")
def compare(
    before: Annotated[Path, typer.Argument(metavar="A", help="Directory of a campaign.")],
    after: Annotated[Path, typer.Argument(metavar="B", help="Directory of a later one.")],
    level: Annotated[
        float, typer.Option(help="Probability below which a difference is no chance.")
    ] = 0.05,
) -> None:
    """Compare two campaigns attack by attack; exit code 1 when a recogniser got worse.

    It got worse where attacks on it succeed more often than before on held-out photos, paired
    over subjects, and not by chance, in all comparisons together. Five subjects or fewer cannot
    show that at the usual level, and the two plans must give their attacks the same settings.
    """
    from agns.errors import ConfigError
    from agns.evaluation.campaign.cells import UNIVERSAL
    from agns.evaluation.campaign.comparison import compare as compare_findings
    from agns.evaluation.campaign.comparison import with_other_photos
    from agns.evaluation.campaign.findings import read_findings

    if not 0 < level < 1:
        raise ConfigError(f"level must lie in (0, 1), got {level}")
    first, second = (read_findings(out) for out in (before, after))
    found = compare_findings(first, second)
    show(
        ("recogniser", "goal", "attack", ">subjects", ">before", ">after", ">by chance", ""),
        [
            (
                one.recognizer, one.goal, one.attack, str(one.subjects), f"{one.before:.1%}",
                f"{one.after:.1%}", f"{one.by_chance:.3f}",
                "worse" if one.is_worse(level=level)
                else "" if one.can_tell(level=level) else "too few to tell",
            )
            for one in found
        ],
    )  # fmt: skip
    if any(row.cell.goal == UNIVERSAL for one in (first, second) for row in one.rows):
        say("Warning: frames for many are not compared.")
    if missing := sum(one.missing for one in found):
        say(f"Warning: {missing} attacks have a result in one campaign alone, and do not count.")
    if others := with_other_photos(first, second):
        say(
            f"Warning: the campaigns were begun with other photos of {len(others)} subjects, such "
            f"as {others[0] or 'everybody'}: differences may come from these."
        )
    if any(one.is_worse(level=level) for one in found):
        raise typer.Exit(1)


def _examine(
    plan: "Plan",
    victims: "Sequence[PlanVictim]",
    ledger: "Ledger",
    cells: "Sequence[Cell]",
    known: "Mapping[str, Sequence[str]]",
    device: str,
) -> None:
    """Look for signs that a victim's figures cannot be trusted, once, and keep its digest."""
    from agns.errors import ConfigError
    from agns.evaluation.campaign.cells import UNIVERSAL
    from agns.evaluation.campaign.running import examine_victim
    from agns.models.sharing import locate_weights
    from agns.storage import file_digest

    out = ledger.path.parent
    for victim in victims:
        if victim.file is None:
            weights = "shipped"
        elif names_code(victim.file):
            # What the user's own code makes, nobody can tell before it runs.
            weights = str(victim.file)
        else:
            weights = file_digest(locate_weights(victim.file))
        entered = ledger.weights().get(victim.name)
        if entered not in (None, weights):
            raise ConfigError(
                f"{victim.file} is not the recogniser any more that {out} was begun with: name "
                "another directory"
            )
        if entered is None:
            own = [cell for cell in cells if cell.recognizer == victim.name]
            subjects = {cell.subject: None for cell in own if cell.goal != UNIVERSAL}
            with bar(f"Examining {victim.name}") as progress:
                opened = open_for_campaign(victim, plan, device)
                doubts = examine_victim(opened, list(subjects) or known[victim.name])
                progress(1, 1, {})
            ledger.enter_victim(victim.name, weights, doubts)


def _transfer(
    plan: "Plan",
    ledger: "Ledger",
    known: "Mapping[str, Sequence[str]]",
    device: str,
    *,
    whole: bool,
) -> None:
    """Score frames on the other recognisers: the ledger's own, or those of all parts."""
    from agns.evaluation.campaign.parts import join_rows, join_transfers, read_ledgers
    from agns.evaluation.campaign.transfer import transfer_through

    out, rows, transfers = ledger.path.parent, ledger.rows(), ledger.transfers()
    if whole:
        told = read_ledgers(out)
        rows = join_rows(told)
        transfers = join_transfers(told, rows)
    opened = functools.partial(open_for_campaign, plan=plan, device=device, begun=ledger.photos())
    with bar("Scoring on the other recognisers") as progress:
        transfer_through(
            plan, ledger, out, opened, known, rows=rows, transfers=transfers, progress=progress
        )
