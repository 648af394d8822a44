"""A campaign in parts: each runs a fixed share of the cells, and has a ledger of its own.

On a disk that machines share, SQLite is safe with one that writes. So a part writes its own file,
and reads those of others.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from agns.campaign.cells import Cell
from agns.campaign.ledger import Begun
from agns.campaign.plan import same_plan
from agns.campaign.reading import reading
from agns.campaign.rows import Row, TransferRow
from agns.campaign.runs import Run, runs_in
from agns.data.known_photos import PhotoRow
from agns.errors import ConfigError, DataError

LEDGER = "campaign.sqlite"
"""Of what runs without parts, or after them."""

_NAME = re.compile(r"part-([0-9]+)-of-([0-9]+)\.sqlite")
_STATES = ("done", "failed", "claimed", "open", "elsewhere")
"""Of a cell that several ledgers list, the first of these counts."""


MOST = 100_000
"""Parts of a campaign at most; Slurm's arrays are smaller."""


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


def share_of(cells: Sequence[Cell], part: Part) -> list[Cell]:
    """A part's cells, which follow from the order of all alone.

    Cells of each recogniser, goal and attack are dealt out, each to the part that has least of
    these, then of all, then of the attack, then of the recogniser.

    Args:
        cells: All of the plan.
        part: Which.
    """
    kinds: dict[tuple[str, ...], list[Cell]] = {}
    for cell in cells:
        kinds.setdefault((cell.recognizer, cell.goal, cell.attack), []).append(cell)
    shares: list[set[Cell]] = [set() for _ in range(part.of)]
    total, attacks, recognizers = [0] * part.of, Counter[object](), Counter[object]()
    for own in kinds.values():
        dealt = [0] * part.of
        attack, recognizer = own[0].attack, own[0].recognizer
        for cell in own:
            least = min(
                range(part.of),
                key=lambda one: (
                    dealt[one], total[one], attacks[attack, one], recognizers[recognizer, one], one
                ),
            )  # fmt: skip
            shares[least].add(cell)
            dealt[least] += 1
            total[least] += 1
            attacks[attack, least] += 1
            recognizers[recognizer, least] += 1
    return [cell for cell in cells if cell in shares[part.number - 1]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What one ledger of a campaign holds."""

    path: Path
    plan: Mapping[str, object]
    versions: Mapping[str, str]
    rows: Sequence[Row]
    """All cells of the plan; those of other parts are `elsewhere`."""
    transfers: Sequence[TransferRow]
    weights: Mapping[str, str]
    """A digest of each victim that was examined, by its name."""
    doubts: Mapping[str, Sequence[str]]
    runs: Sequence[Run]
    """That have not ended in good order."""
    photos: Begun
    """Which photos it was begun with."""


def read_ledgers(out: Path, *, but: str = "") -> list[Told]:
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
    told = []
    for path in (out / LEDGER, *parts):
        if path.name == but or not path.is_file():
            continue
        with reading(path) as ledger:
            try:
                plan, versions = ledger.about()
            except ConfigError:
                # It is about to be begun.
                continue
            told.append(
                Told(
                    path=path,
                    plan=plan,
                    versions=versions,
                    rows=ledger.rows(),
                    transfers=ledger.transfers(),
                    weights=ledger.weights(),
                    doubts=ledger.doubts(),
                    runs=runs_in(ledger.file),
                    photos=ledger.photos(),
                )
            )
    for other in told[1:]:
        check_alike(told[0], other)
    return told


def check_alike(first: Told, other: Told) -> None:
    """Refuse ledgers that are not of one campaign.

    Raises:
        DataError: Their plans, cells or recognisers differ.
    """
    differ = None
    if not same_plan(first.plan, other.plan):
        differ = "are of two plans"
    elif [row.cell for row in first.rows] != [row.cell for row in other.rows]:
        differ = "list other attacks for the same plan, so that their recognisers or faces differ"
    for name in first.weights.keys() & other.weights.keys():
        if first.weights[name] != other.weights[name]:
            differ = f"are of two recognisers that are both called {name}"
    for key in first.photos.keys() & other.photos.keys():
        if _pictures(first.photos[key]) != _pictures(other.photos[key]):
            differ = f"were begun with other photos of {key[1] or 'the identities'}"
    if differ is not None:
        raise DataError(f"{first.path} and {other.path.name} {differ}: move one of them away")


def _pictures(rows: Sequence[PhotoRow]) -> list[str]:
    return sorted(row.picture for row in rows)


def join_rows(told: Sequence[Told]) -> list[Row]:
    """Each cell of the plan once, in its order: what became of it, whichever ledger says so."""
    by_cell: dict[Cell, Row] = {}
    for one in told:
        for row in one.rows:
            known = by_cell.get(row.cell)
            if known is None or _STATES.index(row.state) < _STATES.index(known.state):
                by_cell[row.cell] = row
    return [
        Row(cell=row.cell, state="open", seconds=None, result=None, sentence=None)
        if row.state == "elsewhere"
        else row
        for row in by_cell.values()
    ]


def join_transfers(told: Sequence[Told], rows: Sequence[Row]) -> list[TransferRow]:
    """Each frame's score on each other victim once, in the order of the plan.

    Args:
        told: The ledgers.
        rows: Joined.
    """
    found: dict[tuple[Cell, str], TransferRow] = {}
    for one in told:
        for row in one.transfers:
            known = found.get((row.cell, row.victim))
            if known is None or (known.score is None and row.score is not None):
                found[row.cell, row.victim] = row
    victims = list(dict.fromkeys(row.cell.recognizer for row in rows))
    places = {row.cell: place for place, row in enumerate(rows)}
    return sorted(found.values(), key=lambda row: (places[row.cell], victims.index(row.victim)))


def check_beside(
    own: str, others: Sequence[Told], plan: Mapping[str, object], cells: Sequence[Cell]
) -> None:
    """Refuse to begin or go on beside ledgers that do not fit.

    Args:
        own: The name of the ledger to begin or go on with.
        others: The other ones of the directory.
        plan: The plan, with its defaults.
        cells: Of the plan.

    Raises:
        ConfigError: They are of another plan, of other cells, or of a division into another number
            of parts.
    """
    for other in others:
        where = other.path.parent
        if not same_plan(other.plan, plan):
            raise ConfigError(
                f"{where} holds a campaign of another plan ({other.path.name}): name another "
                "directory, or give the plan that it was begun with"
            )
        if [row.cell for row in other.rows] != list(cells):
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


def check_idle(others: Sequence[Told], here: Run) -> None:
    """Refuse to run what may be in work.

    Args:
        others: Ledgers whose cells this run may take.
        here: This run.

    Raises:
        ConfigError: A run of one of them has not ended, or nobody can tell.
    """
    for other in others:
        for run in other.runs:
            if run.may_go_on(here):
                raise ConfigError(run.refusal(other.path))
