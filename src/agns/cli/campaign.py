"""`agns campaign`: many attacks by a plan, and their tables."""

import functools
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agns.cli.attack import open_apparatus
from agns.cli.cluster import DaskOption, DaskResourcesOption, check_dask, work_on_dask
from agns.cli.console import bar, prepare, say, show
from agns.cli.options import FaceOptions, open_subject, open_victim, recorded_crop

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agns.data.faces import FaceSet
    from agns.evaluation.campaign.cells import Cell
    from agns.evaluation.campaign.plan import Plan, Victim
    from agns.evaluation.campaign.rows import Standing
    from agns.evaluation.campaign.running import Opened

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

    prepare()
    check_dask(dask, dask_resources, workers)
    read = read_plan(plan)
    known = {victim.name: known_identities(victim) for victim in read.recognizers}
    cells = cells_of(read, known)
    if dry_run:
        rehearse(read, cells)
        return
    ledger = Ledger(out / LEDGER)
    ledger.begin(plan_as_json(read), cells, versions())
    ledger.reopen(failed=retry_failed, elsewhere=reopen)
    ledger.close()
    _examine(read, out, cells)
    if dask is not None:
        work_on_dask(
            read, out / LEDGER, dask, functools.partial(open_for_campaign, plan=read),
            workers=min(workers, len(cells)), resources=dask_resources, tell=_tell,
        )  # fmt: skip
    else:
        if workers > 1:
            _share(read, out, min(workers, len(cells)))
        # What is left: everything, or what others had in work when they were killed.
        _work(read, out)
    if read.transfer:
        _transfer(read, out, known)
    report(out)


@app.command("report")
def report(out: OutArgument) -> None:
    """Put the results so far in tables: `report.html`, `report.md` and `report.json`."""
    from agns.evaluation.campaign.findings import read_findings
    from agns.evaluation.campaign.markdown import as_markdown
    from agns.evaluation.campaign.report import report_campaign
    from agns.storage import write_json, write_text

    findings = read_findings(out / LEDGER)
    write_text(out / "report.md", as_markdown(findings))
    report_campaign(out, findings)
    # For programs, of which each attack's whole result is: spaces would be a third of the file.
    write_json(out / "report.json", findings.as_json(), indent=0)
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
    if missing := sum(one.missing for one in found):
        say(f"Warning: {missing} attacks have a result in one campaign alone, and do not count.")
    if any(one.is_worse(level=level) for one in found):
        raise typer.Exit(1)


def _share(plan: "Plan", out: Path, count: int) -> None:
    """Let several processes work through a campaign, and wait for them."""
    import multiprocessing
    import os

    from agns.data.workers import interrupts_held_back

    threads = max(1, (os.cpu_count() or 1) // count)
    spawn = multiprocessing.get_context("spawn")
    processes = [
        spawn.Process(target=_work_alone, args=(plan, out, threads), daemon=True)
        for _ in range(count)
    ]
    with interrupts_held_back():
        for process in processes:
            process.start()
    for process in processes:
        process.join()


def _work_alone(plan: "Plan", out: Path, threads: int) -> None:
    from agns.data.workers import begin_quietly

    begin_quietly(threads)
    prepare()
    _work(plan, out, watched=False)


def _work(plan: "Plan", out: Path, *, watched: bool = True) -> None:
    from agns.evaluation.campaign.ledger import Ledger
    from agns.evaluation.campaign.running import work_through

    ledger = Ledger(out / LEDGER)
    watch = {"watch": lambda cell: bar(_title(cell))} if watched else {}
    work_through(
        plan, ledger, out, lambda victim: open_for_campaign(victim, plan), tell=_tell, **watch
    )
    ledger.close()


def _examine(plan: "Plan", out: Path, cells: "Sequence[Cell]") -> None:
    """Look for signs that a victim's figures cannot be trusted, once, and keep its digest."""
    from agns.errors import ConfigError
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
            subjects = {cell.subject: None for cell in cells if cell.recognizer == victim.name}
            with bar(f"Examining {victim.name}") as progress:
                doubts = examine_victim(open_for_campaign(victim, plan), list(subjects))
                progress(1, 1, {})
            ledger.enter_victim(victim.name, weights, doubts)
    ledger.close()


def _digest(path: Path) -> str:
    import hashlib

    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _transfer(plan: "Plan", out: Path, known: "Mapping[str, Sequence[str]]") -> None:
    from agns.evaluation.campaign.ledger import Ledger
    from agns.evaluation.campaign.transfer import transfer_through

    ledger = Ledger(out / LEDGER)
    with bar("Scoring on the other recognisers") as progress:
        opened = functools.partial(open_for_campaign, plan=plan)
        transfer_through(plan, ledger, out, opened, known, progress=progress)
    ledger.close()


def _title(cell: "Cell") -> str:
    aim = "dodges" if cell.target is None else f"as {cell.target}"
    return f"{cell.subject} {aim}, {cell.attack}"


def _tell(cell: "Cell", standing: "Standing") -> None:
    say(
        f"{standing.ended} of {standing.cells}: {cell.recognizer}, {_title(cell)}; "
        f"{standing.minutes_left:.0f} min left"
    )


def known_identities(victim: "Victim") -> tuple[str, ...]:
    """The identities that a victim knows and that have photos."""
    from agns.data.selection import list_identities

    identities = open_victim(victim.file).recognizer.identities
    if victim.faces is None:
        return identities
    listed = list_identities(victim.faces)
    return tuple(name for name in identities if name in listed)


def open_for_campaign(victim: "Victim", plan: "Plan") -> "Opened":
    """A victim with what attacks on it need, and a subject's photos by the subject's name."""
    opened = open_victim(victim.file)
    options = FaceOptions(root=victim.faces, center_crop=recorded_crop(opened.metadata))

    # Attacks of one subject come together.
    @functools.lru_cache(maxsize=1)
    def photos(subject: str) -> "FaceSet":
        return open_subject(options, subject, opened.recognizer.identities)

    return open_apparatus(opened, None, None, None, count=plan.frames), photos
