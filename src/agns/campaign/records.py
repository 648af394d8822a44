"""What a campaign's ledger tells."""

import functools
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields, replace
from typing import Any, TypeAlias, get_type_hints

from pydantic import ValidationError, create_model

from agns.campaign.jobs import UNIVERSAL, Job
from agns.errors import DataError
from agns.evaluation.metrics import SplitSuccess
from agns.evaluation.score import AttackScore
from agns.evaluation.universal_report import UniversalReport

Result: TypeAlias = AttackScore | UniversalReport
"""What an attack's `result.json` says."""
_IN_MEMORY = ("result", "scored")
"""What of a score is no part of that."""


@dataclass(frozen=True, slots=True)
class JobRecord:
    """What is known of one job."""

    job: Job
    state: str
    """open, claimed, done or failed; or elsewhere, if another ledger of the campaign tells."""
    seconds: float | None = None
    """All that the job took, scoring included."""
    result: Result | None = None
    """Only when done."""
    sentence: str | None = None
    """Why there is no result; only when failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferScore:
    """What one frame does on a recogniser that it was not made against."""

    digital: SplitSuccess
    photographed: SplitSuccess
    """Worn before a simulated camera, each photo in a scene of its own."""
    benign: SplitSuccess
    """Of benign frames on the same photos."""
    bare: SplitSuccess
    """Of the faces as they are."""


@dataclass(frozen=True, slots=True)
class TransferRecord:
    """What one job's frame did to another recogniser."""

    job: Job
    victim: str
    """The other recogniser's name in the plan."""
    score: TransferScore | None = None
    """None where there could be none."""
    sentence: str | None = None
    """Why there is no score."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remaining:
    """How far a campaign has come."""

    ended: int
    """Jobs done or failed."""
    jobs: int
    """All of them."""
    minutes_left: float
    """What the others take if they take as long as these did, in one process."""


def result_as_json(result: Result) -> dict[str, object]:
    """The content of `result.json`."""
    if isinstance(result, AttackScore):
        result = replace(result, result=None, scored=None)
    return {name: value for name, value in asdict(result).items() if name not in _IN_MEMORY}


def read_result(content: Mapping[str, object], job: Job) -> Result:
    """An attack's result from its JSON; keys that other versions wrote are passed over.

    Raises:
        DataError: Something that is needed is missing, or of another type.
    """
    what = f"the result of {job.key}"
    if job.goal != UNIVERSAL:
        return read_attack_score(content, what)
    found: UniversalReport = _read(UniversalReport, content, what)
    return found


def read_attack_score(content: Mapping[str, object], what: str) -> AttackScore:
    """The score of one attack, as `read_result`; errors call it by `what`."""
    found: AttackScore = _read(AttackScore, content, what)
    return found


def read_score(content: Mapping[str, object], job: Job) -> TransferScore:
    """A score on another recogniser, as `read_result`."""
    found: TransferScore = _read(TransferScore, content, f"the score of {job.key}")
    return found


@functools.cache
def _model(kind: type) -> Any:
    """What checks a dataclass's fields, but for those that are in memory alone."""
    hints = get_type_hints(kind)
    given: dict[str, Any] = {
        one.name: (hints[one.name], ... if one.default is MISSING else one.default)
        for one in fields(kind)
        if one.name not in _IN_MEMORY
    }
    return create_model("Fields", **given)


def _read(kind: type, content: Mapping[str, object], what: str) -> Any:
    try:
        found = _model(kind).model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise DataError(f"{what} cannot be read, {where}: {first['msg']}") from error
    return kind(**dict(found))
