"""`agns campaign`: many attacks by a plan, and their tables."""

import functools
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from agns.cli.console import prepare, say, show
from agns.cli.given import Command
from agns.cli.options import DeviceOption

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agns.campaign.comparison import Comparison
    from agns.campaign.results import Results
    from agns.evaluation.report import Table

app = typer.Typer(help="Run many attacks by a plan, and put them in tables.", no_args_is_help=True)

OutArgument = Annotated[
    Path, typer.Argument(metavar="DIR", help="The campaign's directory.", show_default=False)
]


PartOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--part",
        metavar="K/N",
        help="Run one of N shares of the plan, into a ledger of its own; 1/1 for the whole plan.  "
        "[default: the task's of a Slurm job array, else the whole plan]",
        show_default=False,
    ),
]
DaskOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--dask",
        metavar="ADDRESS",
        help="Let the workers of this Dask scheduler run the attacks, such as tcp://10.0.0.5:8786; "
        "local starts a cluster of --workers processes on 127.0.0.1. Face folders must lie at the "
        "same path on every worker. Only for clusters that you trust.",
    ),
]
DaskResourcesOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--dask-resources",
        metavar="NAME=NUMBER",
        help="What an attack takes up of a worker's resources, such as GPU=1; may be given many "
        "times.",
    ),
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

    The same command goes on after Ctrl-C, a crash or a power cut, and to the same numbers (with as
    many threads: how many there are moves the last digits). Two of them may work on one directory.
    What a process that was killed had in work is done by another. Machines that share the directory
    each take a --part, then; tables put all parts together.
    """
    from agns.campaign.parts import jobs_in, share_of
    from agns.campaign.plan_file import naming, read_plan
    from agns.cli import campaign_run as steps
    from agns.cli.loading import begin_photos, known_identities, open_on_worker
    from agns.cli.parts import chosen_part, ledger_of
    from agns.training.precision import choose_device

    prepare()
    steps.check_dask(dask, dask_resources)
    own = chosen_part(part)
    read = read_plan(plan)
    if dask in (None, "local"):
        # Before anything is written; workers elsewhere may have what this machine has not.
        choose_device(device)
    known = {}
    for place, victim in enumerate(read.recognizers):
        with naming(plan, "recognizers", place):
            known[victim.name] = known_identities(victim)
    with naming(plan):
        jobs = jobs_in(out, read, known)
    taken = share_of(jobs, own)
    if dry_run:
        kinds = Counter((job.recognizer, job.goal, job.attack) for job in taken)
        rows = [(*kind, str(count)) for kind, count in kinds.items()]
        show(("recogniser", "goal", "attack", ">attacks"), rows)
        say(f"{len(taken)} attacks in all")
        return
    with ledger_of(own, read, jobs, out, retry_failed=retry_failed, reopen=reopen) as ledger:
        begun = begin_photos(read, taken, known, ledger.photos())
        ledger.enter_photos(begun)
        # A part needs no other recognisers than its own, unless it scores on all.
        names = {job.recognizer for job in taken}
        for victim in read.recognizers:
            if victim.name in names or (taken and read.transfer):
                steps.examine(victim, read, ledger, jobs, known[victim.name], device)
        workers = min(workers, len(taken))
        if dask is not None and taken:
            opened = functools.partial(open_on_worker, plan=read, device=device, begun=begun)
            steps.work_on_dask(
                read, ledger.path, dask, opened,
                workers=workers, resources=dask_resources, tell=steps.tell,
            )  # fmt: skip
        elif taken:
            if workers > 1:
                steps.share(read, ledger.path, workers, device)
            # What is left: everything, or what others had in work when they were killed.
            steps.work(read, ledger.path, device)
        if read.transfer and taken:
            steps.transfer(read, ledger, known, device, whole=own.of == 1)
        remaining = ledger.remaining()
    if own.of == 1:
        report(out)
    else:
        # Written by each part, tables of all would be written by many at once.
        say(
            f"{own}: {remaining.ended} of {remaining.jobs} attacks ended; `agns campaign report "
            f"{out}` puts all parts in tables"
        )


@app.command("report")
def report(out: OutArgument) -> None:
    """Put the results so far in tables: `report.html`, `report.md` and `report.json`."""
    from agns.campaign.report import report_campaign
    from agns.campaign.report_tables import curve_table, success_table
    from agns.campaign.results import read_results

    results = read_results(out)
    report_campaign(out, results)
    # What else there is would not fit a terminal.
    if results.attacks:
        table = success_table(results.attacks).only(
            "recogniser", "goal", "attack", "attacks", "met the stop value", "held out",
            "95 % interval",
        )  # fmt: skip
        show(table.marked_head, table.rows)
    if results.curves:
        say("Frames for many subjects, one picked by each on other photos:")
        table = curve_table(results.curves).only(
            "recogniser", "attack", "seed", "frames", "worn by", "picked", "95 % interval",
            "benign, picked",
        )  # fmt: skip
        show(table.marked_head, table.rows)
    for name, warnings in results.warnings.items():
        for warning in warnings:
            say(f"Warning: {name}: {warning}.")
    states = Counter(one.state for one in results.records)
    say(
        f"{states['done']} of {len(results.records)} attacks have results, {states['failed']} "
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
    from agns.campaign.comparison import compare as compare_findings
    from agns.campaign.results import read_results
    from agns.errors import ConfigError

    if not 0 < level < 1:
        raise ConfigError(f"level must lie in (0, 1), got {level}")
    first, second = (read_results(out) for out in (before, after))
    found = compare_findings(first, second)
    table = comparison_table(found, level=level)
    show(table.marked_head, table.rows)
    for warning in comparison_warnings(first, second, found):
        say(f"Warning: {warning}")
    if any(one.is_worse(level=level) for one in found):
        raise typer.Exit(1)


def comparison_table(found: "Sequence[Comparison]", *, level: float = 0.05) -> "Table":
    """Success before and after, and whether a difference may be chance."""
    from agns.evaluation.report import Table

    head = ("recogniser", "goal", "attack", "subjects", "before", "after", "by chance", "")
    rows = [
        (
            one.recognizer, one.goal, one.attack, str(one.subjects), f"{one.before:.1%}",
            f"{one.after:.1%}", f"{one.by_chance:.3f}",
            "worse" if one.is_worse(level=level)
            else "" if one.can_tell(level=level) else "too few to tell",
        )
        for one in found
    ]  # fmt: skip
    return Table(head=head, rows=rows, texts=3)


def comparison_warnings(
    first: "Results", second: "Results", found: "Sequence[Comparison]"
) -> list[str]:
    """What a reader must know before believing a comparison."""
    from agns.campaign.comparison import with_other_photos
    from agns.campaign.jobs import UNIVERSAL

    warnings = []
    if any(one.job.goal == UNIVERSAL for one in (*first.records, *second.records)):
        warnings.append("frames for many are not compared.")
    if missing := sum(one.missing for one in found):
        warnings.append(f"{missing} attacks have a result in one campaign alone, and do not count.")
    if others := with_other_photos(first, second):
        warnings.append(
            f"the campaigns were begun with other photos of {len(others)} subjects, such as "
            f"{others[0] or 'everybody'}: differences may come from these."
        )
    return warnings
