"""A campaign in parts: each runs a fixed share of the jobs, and has a ledger of its own.

On a disk that machines share, SQLite is safe with one that writes. So a part writes its own file,
and reads those of others.
"""

import contextlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from agns.campaign.jobs import Job, jobs_of
from agns.campaign.ledger import Begun
from agns.campaign.plan import Plan, same_plan
from agns.campaign.reading import reading
from agns.campaign.records import JobRecord, TransferRecord
from agns.campaign.runs import Run, runs_in
from agns.errors import ConfigError, DataError

LEDGER = "campaign.sqlite"
"""Of what runs without parts, or after them."""

_NAME = re.compile(r"part-([0-9]+)-of-([0-9]+)\.sqlite")
MOST = 100_000
"""Parts of a campaign at most; Slurm's arrays are smaller."""
_STATES = ("done", "failed", "claimed", "open", "elsewhere")
"""Of a job that several ledgers list, the first of these counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One of several shares of a campaign."""

    number: int
    """From 1."""
    of: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.of:
            raise ConfigError(
                f"a part is K/N, as 3/8, with K from 1 to N, got {self.number}/{self.of}"
            )
        if self.of > MOST:
            raise ConfigError(f"a campaign has {MOST} parts at most, got {self.of}")

    def __str__(self) -> str:
        return f"part {self.number} of {self.of}"

    @property
    def ledger(self) -> str:
        """The name of its file; `LEDGER` if there is but one part."""
        return LEDGER if self.of == 1 else f"part-{self.number}-of-{self.of}.sqlite"


def read_part(text: str) -> Part:
    """Read K/N.

    Raises:
        ConfigError: It is not that.
    """
    found = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text.strip(), re.ASCII)
    if found is None:
        raise ConfigError(f"a part is K/N, as 3/8, with K from 1 to N, got {text!r}")
    return Part(number=int(found[1]), of=int(found[2]))


def part_of_array(environment: Mapping[str, str]) -> Part | None:
    """The part that falls to a task of a Slurm job array; None outside of one.

    Raises:
        ConfigError: The variables do not fit each other, as those of `--array=1,2,7` do not.
    """
    if "SLURM_ARRAY_TASK_ID" not in environment:
        return None
    names = [f"SLURM_ARRAY_TASK_{name}" for name in ("ID", "COUNT", "MIN", "MAX", "STEP")]
    told = {name: environment[name] for name in names if name in environment}
    try:
        task, count = (int(told[name]) for name in names[:2])
        least, step = int(told.get(names[2], 1)), int(told.get(names[4], 1))
        most = int(told.get(names[3], least + (count - 1) * step))
    except (KeyError, ValueError):
        task, count, least, most, step = 0, 0, 1, 0, 1
    place, rest = divmod(task - least, max(1, step))
    if rest or step < 1 or not 0 <= place < count or most != least + (count - 1) * step:
        values = ", ".join(f"{name}={value}" for name, value in told.items())
        raise ConfigError(
            f"which part of the campaign this task of the array is to run does not follow from "
            f"{values}: say it with --part K/N"
        )
    return Part(number=place + 1, of=count)


def share_of(jobs: Sequence[Job], part: Part) -> list[Job]:
    """A part's jobs, which follow from the order of all alone.

    Jobs of each recogniser, goal and attack are dealt out, each to the part that has least of
    these, then of all, then of the attack, then of the recogniser.

    Args:
        jobs: All of the plan.
        part: Which.
    """
    kinds: dict[tuple[str, ...], list[Job]] = {}
    for job in jobs:
        kinds.setdefault((job.recognizer, job.goal, job.attack), []).append(job)
    own, dealt = set(), Counter[tuple[object, ...]]()
    for kind, some in kinds.items():
        recognizer, _, attack = kind
        counted: tuple[tuple[object, ...], ...] = (kind, (), ("a", attack), ("r", recognizer))
        for job in some:
            least = min(range(part.of), key=lambda at: [dealt[at, one] for one in counted])
            dealt.update((least, one) for one in counted)
            if least == part.number - 1:
                own.add(job)
    return [job for job in jobs if job in own]


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerContent:
    """What one ledger of a campaign holds."""

    path: Path
    plan: Mapping[str, object]
    versions: Mapping[str, str]
    records: Sequence[JobRecord]
    """All jobs of the plan; those of other parts are `elsewhere`."""
    transfers: Sequence[TransferRecord]
    weights: Mapping[str, str]
    """A digest of each victim that was examined, by its name."""
    warnings: Mapping[str, Sequence[str]]
    """What speaks against each of them."""
    runs: Sequence[Run]
    """That have not ended in good order."""
    photos: Begun
    """Which photos it was begun with."""

    @property
    def jobs(self) -> list[Job]:
        """All jobs of the plan."""
        return [one.job for one in self.records]


def read_ledgers(out: Path, *, but: str = "") -> list[LedgerContent]:
    """Read a campaign's ledgers, that without parts first; never writes.

    Args:
        out: The campaign's directory.
        but: The name of one to leave out.

    Raises:
        DataError: One cannot be read, or they are not of one campaign.
    """
    parts = sorted(
        (path for path in out.glob("part-*.sqlite") if _NAME.fullmatch(path.name)),
        key=lambda path: [int(number) for number in _NAME.findall(path.name)[0][::-1]],
    )
    found = []
    for path in (out / LEDGER, *parts):
        if path.name != but and path.is_file():
            with reading(path) as ledger, contextlib.suppress(ConfigError):
                # One that is about to be begun tells nothing yet.
                plan, versions = ledger.about()
                found.append(
                    LedgerContent(
                        path=path, plan=plan, versions=versions, records=ledger.records(),
                        transfers=ledger.transfers(), weights=ledger.weights(),
                        warnings=ledger.warnings(), runs=runs_in(ledger.file),
                        photos=ledger.photos(),
                    )
                )  # fmt: skip
    for other in found[1:]:
        _check_alike(found[0], other)
    return found


def _check_alike(first: LedgerContent, other: LedgerContent) -> None:
    """Refuse ledgers that are not of one campaign."""
    differ = None
    if not same_plan(first.plan, other.plan):
        differ = "are of two plans"
    elif first.jobs != other.jobs:
        differ = "list other attacks for the same plan, so that their recognisers or faces differ"
    for name in first.weights.keys() & other.weights.keys():
        if first.weights[name] != other.weights[name]:
            differ = f"are of two recognisers that are both called {name}"
    for key in first.photos.keys() & other.photos.keys():
        pictures = [sorted(row.picture for row in one.photos[key]) for one in (first, other)]
        if pictures[0] != pictures[1]:
            differ = f"were begun with other photos of {key[1] or 'the identities'}"
    if differ is not None:
        raise DataError(f"{first.path} and {other.path.name} {differ}: move one of them away")


def jobs_in(out: Path, plan: Plan, known: Mapping[str, Sequence[str]]) -> tuple[Job, ...]:
    """A plan's jobs; in a directory that an earlier version began, those that it drew.

    Arguments and errors are those of `jobs_of` and `read_ledgers`.
    """
    jobs, former = jobs_of(plan, known), jobs_of(plan, known, by_victim=True)
    # Most plans draw nobody.
    if jobs != former and any(one.jobs == list(former) for one in read_ledgers(out)):
        return former
    return jobs


def join_records(ledgers: Sequence[LedgerContent]) -> list[JobRecord]:
    """Each job of the plan once, in its order: what became of it, whichever ledger says so."""
    by_job: dict[Job, list[JobRecord]] = {}
    for one in ledgers:
        for record in one.records:
            by_job.setdefault(record.job, []).append(record)
    told = [min(some, key=lambda one: _STATES.index(one.state)) for some in by_job.values()]
    return [
        JobRecord(job=one.job, state="open") if one.state == "elsewhere" else one for one in told
    ]


def join_transfers(
    ledgers: Sequence[LedgerContent], records: Sequence[JobRecord]
) -> list[TransferRecord]:
    """Each frame's score on each other victim once, in the order of the plan.

    Args:
        ledgers: What they hold.
        records: Joined.
    """
    found: dict[tuple[Job, str], TransferRecord] = {}
    for one in (record for ledger in ledgers for record in ledger.transfers):
        known = found.get((one.job, one.victim))
        if known is None or (known.score is None and one.score is not None):
            found[one.job, one.victim] = one
    victims = list(dict.fromkeys(one.job.recognizer for one in records))
    places = {one.job: place for place, one in enumerate(records)}
    return sorted(found.values(), key=lambda one: (places[one.job], victims.index(one.victim)))


def check_beside(
    own: str, others: Sequence[LedgerContent], plan: Mapping[str, object], jobs: Sequence[Job]
) -> None:
    """Refuse to begin or go on beside ledgers that do not fit.

    Args:
        own: The name of the ledger to begin or go on with.
        others: The other ones of the directory.
        plan: The plan, with its defaults.
        jobs: Of the plan.

    Raises:
        ConfigError: They are of another plan, of other jobs, or of a division into another number
            of parts.
    """
    for other in others:
        where = other.path.parent
        if not same_plan(other.plan, plan):
            raise ConfigError(
                f"{where} holds a campaign of another plan ({other.path.name}): name another "
                "directory, or give the plan that it was begun with"
            )
        if other.jobs != list(jobs):
            raise ConfigError(
                f"{other.path} lists other attacks for this plan: give the recognisers and faces "
                "that it was begun with, or name another directory"
            )
        mine, its = _NAME.fullmatch(own), _NAME.fullmatch(other.path.name)
        if mine and its and mine[2] != its[2]:
            raise ConfigError(
                f"{where} is divided into {its[2]} parts, not {mine[2]}: give --part K/{its[2]}, "
                "or run what is left in one, with --part 1/1"
            )
