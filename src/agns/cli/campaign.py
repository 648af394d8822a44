"""`agns campaign`: many attacks by a plan, and their tables."""

import functools
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agns.cli.cluster import DaskOption, DaskResourcesOption, check_dask, work_on_dask
from agns.cli.console import bar, prepare, say, show
from agns.cli.opening import in_turn, known_identities, open_for_campaign, open_on_worker
from agns.cli.options import DeviceOption

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agns.evaluation.campaign.cells import Cell
    from agns.evaluation.campaign.plan import Plan
    from agns.evaluation.campaign.rows import Standing

app = typer.Typer(help="Run many attacks by a plan, and put them in tables.", no_args_is_help=True)

LEDGER = "campaign.sqlite"

OutArgument = Annotated[
    Path, typer.Argument(metavar="DIR", help="The campaign's directory.", show_default=False)
]


@app.command("run")
def run(
    plan: Annotated[Path, typer.Argument(metavar="PLAN", help="A YAML file.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Directory of the campaign.")],
    workers: Annotated[
        int, typer.Option(help="Processes that share the attacks and the cores.", min=1)
    ] = 1,
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
    process that was killed had in work is done by another.
    """
    from agns.cli.rehearsal import rehearse
    from agns.evaluation.campaign.cells import cells_of
    from agns.evaluation.campaign.ledger import Ledger
    from agns.evaluation.campaign.plan import plan_as_json
    from agns.evaluation.campaign.plan_file import read_plan
    from agns.storage import versions
    from agns.training.precision import choose_device

    prepare()
    check_dask(dask, dask_resources, workers)
    read = read_plan(plan)
    if dask in (None, "local"):
        # Before anything is written; workers elsewhere may have what this machine has not.
        choose_device(device)
    known = {victim.name: known_identities(victim) for victim in read.recognizers}
    cells = cells_of(read, known)
    if dry_run:
        rehearse(read, cells, device)
        return
    ledger = Ledger(out / LEDGER)
    ledger.begin(plan_as_json(read), cells, versions())
    ledger.reopen(failed=retry_failed, elsewhere=reopen)
    ledger.close()
    _examine(read, out, cells, known, device)
    if dask is not None:
        opened = functools.partial(open_on_worker, plan=read, device=device)
        work_on_dask(
            read, out / LEDGER, dask, opened,
            workers=min(workers, len(cells)), resources=dask_resources, tell=_tell,
        )  # fmt: skip
    else:
        if workers > 1:
            _share(read, out, min(workers, len(cells)), device)
        # What is left: everything, or what others had in work when they were killed.
        _work(read, out, device)
    if read.transfer:
        _transfer(read, out, known, device)
    report(out)


@app.command("report")
def report(out: OutArgument) -> None:
    """Put the results so far in tables: `report.html`, `report.md` and `report.json`."""
    from agns.evaluation.campaign.curves import curve_row
    from agns.evaluation.campaign.findings import read_findings
    from agns.evaluation.campaign.markdown import as_markdown
    from agns.evaluation.campaign.report import report_campaign
    from agns.storage import write_json, write_text

    findings = read_findings(out / LEDGER)
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
    from agns.evaluation.campaign.findings import read_findings

    if not 0 < level < 1:
        raise ConfigError(f"level must lie in (0, 1), got {level}")
    first, second = (read_findings(out / LEDGER) for out in (before, after))
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
    if any(one.is_worse(level=level) for one in found):
        raise typer.Exit(1)


def _share(plan: "Plan", out: Path, count: int, device: str) -> None:
    """Let several processes work through a campaign, and wait for them.

    Where `device` leaves it open which GPU, they take them in turn.
    """
    import multiprocessing
    import os

    from agns.data.workers import interrupts_held_back

    threads = max(1, (os.cpu_count() or 1) // count)
    spawn = multiprocessing.get_context("spawn")
    processes = [
        spawn.Process(
            target=_work_alone,
            args=(plan, out, threads, in_turn(device, number)),
            daemon=True,
        )
        for number in range(count)
    ]
    with interrupts_held_back():
        for process in processes:
            process.start()
    for process in processes:
        process.join()


def _work_alone(plan: "Plan", out: Path, threads: int, device: str) -> None:
    from agns.data.workers import begin_quietly

    begin_quietly(threads)
    prepare()
    _work(plan, out, device, watched=False)


def _work(plan: "Plan", out: Path, device: str, *, watched: bool = True) -> None:
    from agns.evaluation.campaign.ledger import Ledger
    from agns.evaluation.campaign.running import work_through

    ledger = Ledger(out / LEDGER)
    watch = {"watch": lambda cells: bar(_titles(cells))} if watched else {}
    opened = functools.partial(open_for_campaign, plan=plan, device=device)
    work_through(plan, ledger, out, opened, tell=_tell, **watch)
    ledger.close()


def _examine(
    plan: "Plan",
    out: Path,
    cells: "Sequence[Cell]",
    known: "Mapping[str, Sequence[str]]",
    device: str,
) -> None:
    """Look for signs that a victim's figures cannot be trusted, once, and keep its digest."""
    from agns.errors import ConfigError
    from agns.evaluation.campaign.cells import UNIVERSAL
    from agns.evaluation.campaign.ledger import Ledger
    from agns.evaluation.campaign.running import examine_victim

    ledger = Ledger(out / LEDGER)
    for victim in plan.recognizers:
        weights = "shipped" if victim.file is None else _digest(victim.file)
        entered = ledger.weights_of(victim.name)
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
    ledger.close()


def _digest(path: Path) -> str:
    import hashlib

    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _transfer(plan: "Plan", out: Path, known: "Mapping[str, Sequence[str]]", device: str) -> None:
    from agns.evaluation.campaign.ledger import Ledger
    from agns.evaluation.campaign.transfer import transfer_through

    ledger = Ledger(out / LEDGER)
    with bar("Scoring on the other recognisers") as progress:
        opened = functools.partial(open_for_campaign, plan=plan, device=device)
        transfer_through(plan, ledger, out, opened, known, progress=progress)
    ledger.close()


def _titles(cells: "Sequence[Cell]") -> str:
    first = cells[0]
    if len(cells) == 1:
        return first.title
    return f"{len(cells)} at once {first.goal}, {first.attack}"


def _tell(cell: "Cell", standing: "Standing") -> None:
    say(
        f"{standing.ended} of {standing.cells}: {cell.recognizer}, {cell.title}; "
        f"{standing.minutes_left:.0f} min left"
    )
