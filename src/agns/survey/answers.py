"""The files of answers that people saved, held against the key."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from agns.errors import ConfigError, DataError
from agns.storage import read_json
from agns.survey.questions import FORM

LARGEST = 4 * 2**20
"""Bytes of a file that is read: a thousand times what a person answers in an hour."""

_PARTICIPANT = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """What each picture of a survey is."""

    survey: str
    worn: bool

    kinds: Mapping[str, str]
    """By the picture's name."""

    sources: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What one person said."""

    participant: str
    """A random number."""

    marked_real: Mapping[str, bool]
    """By the picture's name: whether it was taken for real; those left out are not there."""


def _read(path: Path, survey: str | None) -> dict[str, object]:
    """The content of a file of a survey: of this one, where one is named."""
    if path.is_file() and path.stat().st_size > LARGEST:
        raise DataError(f"{path} has more than {LARGEST // 2**20} MiB: it is no file of a survey")
    content = read_json(path)
    if content.get("form") != FORM or not isinstance(content.get("survey"), str):
        raise DataError(f"{path} is no file of a survey, or of one by another version of agns")
    if survey is not None and content["survey"] != survey:
        raise DataError(f"{path} answers survey {content['survey']}, and the key is of {survey}")
    return content


def _rows(path: Path, listed: object, *names: str) -> list[dict[str, str]]:
    """A list of objects that have text under each name, and another picture each.

    Raises:
        DataError: It is something else.
    """
    rows = listed if isinstance(listed, list) else []
    good = all(
        isinstance(row, dict) and all(isinstance(row.get(name), str) for name in names)
        for row in rows
    )
    if not rows or not good:
        raise DataError(f"{path} is damaged: its list of frames is empty, or is none")
    if len({row["frame"] for row in rows}) < len(rows):
        raise DataError(f"{path} is damaged: it lists a frame twice")
    return rows


def read_key(path: Path) -> Key:
    """Read a survey's key.

    Raises:
        ConfigError: There is no such file.
        DataError: It is no key.
    """
    if not path.is_file():
        raise ConfigError(f"there is no key {path}")
    content = _read(path, None)
    rows = _rows(path, content.get("frames"), "frame", "kind", "source")
    return Key(
        survey=str(content["survey"]),
        worn=bool(content.get("worn")),
        kinds={row["frame"]: row["kind"] for row in rows},
        sources={row["frame"]: row["source"] for row in rows},
    )


def read_answers(paths: Sequence[Path], key: Key) -> list[Answers]:
    """Read what people said, one file each, in the order of the files.

    Args:
        paths: Files, or folders whose `.json` files are read, less keys among them.
        key: Of the survey that they answer.

    Raises:
        ConfigError: There are no files, or one is missing.
        DataError: A file is damaged, answers another survey, or is by a person whose answers
            another file has.
    """
    files: list[Path] = []
    for path in paths:
        if not path.exists():
            raise ConfigError(f"there is no file of answers {path}")
        found = sorted(path.glob("*.json")) if path.is_dir() else [path]
        files += [one for one in found if one == path or not one.name.endswith(".key.json")]
    if not files:
        raise ConfigError(f"there are no answers in {', '.join(map(str, paths))}")
    by_person: dict[str, Path] = {}
    people = []
    for file in files:
        one = _read_one(file, key)
        if one.participant in by_person:
            raise DataError(
                f"{by_person[one.participant]} and {file} are by the same person, "
                f"{one.participant}: keep one of them"
            )
        by_person[one.participant] = file
        people.append(one)
    return people


def _read_one(path: Path, key: Key) -> Answers:
    content = _read(path, key.survey)
    participant = content.get("participant")
    if not isinstance(participant, str) or not _PARTICIPANT.fullmatch(participant):
        raise DataError(f"{path} is damaged: it does not say by whom it is")
    rows = _rows(path, content.get("answers"), "frame", "answer")
    for row in rows:
        if row["frame"] not in key.kinds or row["answer"] not in ("real", "algorithm"):
            raise DataError(
                f"{path} is damaged: it answers {row['answer'][:20]!r} of frame "
                f"{row['frame'][:20]!r}, which the survey does not know"
            )
    said = {row["frame"]: row["answer"] == "real" for row in rows}
    return Answers(participant=participant, marked_real=said)
