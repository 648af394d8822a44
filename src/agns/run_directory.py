"""The directory that a run leaves behind."""

import json
import unicodedata
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any

from torch import Tensor

from agns.errors import ConfigError, DataError, WeightsError
from agns.storage import (
    json_text,
    load_tensors,
    machine,
    read_json,
    read_metadata,
    save_tensors,
    versions,
    write_json,
)
from agns.writing import write_text, writing


def _composed(value: object) -> Any:
    """A value as JSON has it, its text in composed Unicode (NFC)."""
    return json.loads(unicodedata.normalize("NFC", json_text(value)))


class RunDirectory:
    """What a run writes: resolved configuration, versions, figures, checkpoint, weights.

    Args:
        path: The directory; made if it is not there.
        config: The resolved configuration, seed included, as plain values; None to read a run
            that is there, whatever its configuration.
        resume: Go on from the checkpoint in it, which must come from the same configuration; a
            directory that is empty, or not there, begins one.
        command: The command line, for the record alone.
        origin: What a resumed run may call otherwise, such as the folder of its photos, which are
            known by content; it stands beside the configuration.

    Raises:
        ConfigError: The directory already holds a run and `resume` is off, holds something else
            though `resume` is on, or holds a run of another configuration.
        DataError: What it says of its configuration is damaged.
    """

    def __init__(
        self,
        path: Path,
        config: Mapping[str, object] | None,
        *,
        resume: bool,
        command: str = "",
        origin: Mapping[str, object] | None = None,
    ) -> None:
        self.check(path, resume=resume)
        self.path = path
        written = path / "config.json"
        if config is None and not written.is_file():
            raise ConfigError(f"there is no run in {path}")
        if config is not None:
            plain = _composed(config)
            beside = origin or {}
            if written.is_file():
                try:
                    before = read_json(written)
                except DataError as error:
                    raise DataError(f"{error}: name another directory, or remove it") from error
                self._compare(_composed(before.get("config")), plain, beside.keys())
            else:
                about = {"versions": versions(), "machine": machine()}
                called = {"command": command} if command else {}
                write_json(written, {"config": {**plain, **beside}, **called, **about})

    @staticmethod
    def check(path: Path, *, resume: bool) -> None:
        """Refuse a directory early, before anything is computed for it.

        Raises:
            ConfigError: It already holds a run and `resume` is off, holds something else though
                `resume` is on, or is a file.
        """
        if path.exists() and not path.is_dir():
            raise ConfigError(f"{path} is a file, not a directory to keep a run in")
        there = (path / "config.json").is_file()
        if resume and not there and path.is_dir() and any(path.iterdir()):
            raise ConfigError(
                f"there is no run to resume in {path}, which holds other files: name the run's "
                "directory, or an empty one to begin"
            )
        if there and not resume:
            raise ConfigError(
                f"{path} already holds a run: name another directory, or go on with --resume"
            )

    def _compare(self, before: object, now: Mapping[str, object], beside: Set[str]) -> None:
        if not isinstance(before, dict):
            raise DataError(
                f"{self.path / 'config.json'} holds no configuration: name another directory"
            )
        for name in sorted((before.keys() | now.keys()) - beside):
            if before.get(name) != now.get(name):
                raise ConfigError(
                    f"the run in {self.path} had {name} = {before.get(name)!r}, "
                    f"not {now.get(name)!r}: resume it with the settings it began with"
                )

    def log(self, row: Mapping[str, float]) -> None:
        """Append one line of figures to `metrics.jsonl`."""
        path = self.path / "metrics.jsonl"
        with writing(path), path.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(row) + "\n")

    def rows(self) -> list[dict[str, float]]:
        """The figures logged so far, less a line that a killed run broke off.

        Raises:
            DataError: Another line is no JSON object.
        """
        path = self.path / "metrics.jsonl"
        if not path.is_file():
            return []
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        rows = []
        for number, line in enumerate(lines, 1):
            if line.endswith("\n"):
                try:
                    row = json.loads(line)
                except ValueError:
                    row = None
                if not isinstance(row, dict):
                    raise DataError(f"line {number} of {path} is damaged: it is no JSON object")
                rows.append(row)
        return rows

    def save_checkpoint(
        self, tensors: Mapping[str, Tensor], counters: Mapping[str, float | int]
    ) -> None:
        """Write everything a resumed run needs, in place of the last checkpoint."""
        save_tensors(
            self.path / "checkpoint.safetensors",
            tensors,
            {"counters": json.dumps({**counters, "rows": len(self.rows())})},
        )

    @staticmethod
    def counted(path: Path) -> dict[str, float]:
        """The counters of a run's checkpoint; none where there is no such file, or not one."""
        file = path / "checkpoint.safetensors"
        if not file.is_file():
            return {}
        try:
            counters: dict[str, float] = json.loads(read_metadata(file)["counters"])
        except (WeightsError, KeyError, ValueError):
            return {}
        return counters

    def load_checkpoint(
        self, *, writing: bool = True
    ) -> tuple[dict[str, Tensor], dict[str, float]] | None:
        """Read the checkpoint back, and drop the figures logged after it; None if there is none.

        Args:
            writing: Off for a process beside the one that writes the run: it drops nothing.

        Raises:
            WeightsError: The checkpoint is not one, or is cut short.
        """
        path = self.path / "checkpoint.safetensors"
        if not path.is_file():
            if writing:
                (self.path / "metrics.jsonl").unlink(missing_ok=True)
            return None
        try:
            tensors, metadata = load_tensors(path)
            counters: dict[str, float] = json.loads(metadata["counters"])
        except (WeightsError, KeyError, ValueError) as error:
            reason = str(error) if isinstance(error, WeightsError) else f"{path} is no run's"
            raise WeightsError(f"{reason} (without it, --resume begins anew)") from error
        if writing:
            kept = self.rows()[: int(counters["rows"])]
            lines = "".join(json.dumps(row) + "\n" for row in kept)
            write_text(self.path / "metrics.jsonl", lines)
        return tensors, counters
