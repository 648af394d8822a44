"""Atomic writes, safetensors in and out, and the directory a run leaves behind."""

import contextlib
import dataclasses
import json
import os
import platform
import sys
import unicodedata
from collections.abc import Iterator, Mapping, Set
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from agns.errors import ConfigError, DataError, WeightsError
from agns.file_kinds import SAFETENSORS, file_kind
from agns.writing import is_text, writing
from agns.writing import replacing as replacing
from agns.writing import write_text as write_text


def write_json(path: Path, content: object, *, indent: int = 2) -> None:
    """Write JSON atomically, `indent` spaces a level; dataclasses are objects, paths strings."""
    text = json.dumps(content, indent=indent, default=_plain, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def read_json(path: Path) -> dict[str, object]:
    """Read a JSON object.

    Raises:
        DataError: The file is missing, or is not a JSON object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(content, dict):
        raise DataError(f"{path} should hold a JSON object, not a {type(content).__name__}")
    return content


def save_tensors(
    path: Path,
    tensors: Mapping[str, Tensor],
    metadata: Mapping[str, str],
    *,
    half: bool = False,
) -> None:
    """Write tensors and their metadata as safetensors, atomically.

    Args:
        path: A safetensors file.
        tensors: By name; of any layout and device.
        metadata: Text kept beside them.
        half: Round float32 to float16, which loading turns back: half the size, 11 bits.
    """
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    if half:
        plain = {
            name: tensor.half() if tensor.dtype == torch.float32 else tensor
            for name, tensor in plain.items()
        }
    with replacing(path) as temporary:
        safetensors.torch.save_file(plain, temporary, dict(metadata))
        # It keeps its files to the owner; weights are for whoever may read their folder.
        temporary.chmod(0o644)


@contextlib.contextmanager
def named_in_utf8(path: Path) -> Iterator[str]:
    """Give a name for a file to libraries that take UTF-8 alone, which Linux does not ask for."""
    if is_text(str(path)):
        yield str(path)
    else:
        with path.open("rb") as file:
            yield f"/dev/fd/{file.fileno()}"


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[str]:
    if not path.is_file():
        raise ConfigError(f"there is no weight file {path}")
    try:
        with named_in_utf8(path) as name:
            yield name
    except (OSError, safetensors.SafetensorError) as error:
        raise WeightsError(_unreadable(path, error)) from error


def _unreadable(path: Path, error: Exception) -> str:
    """Why a file does not read as safetensors, in words."""
    try:
        kind = file_kind(path)
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            size = file.seek(0, os.SEEK_END)
    except OSError as failure:
        return f"{path} cannot be read: {failure.strerror or failure}"
    if size < 8 and kind is None:
        return f"{path} is not a readable safetensors file: it is cut short at {size} bytes"
    if kind is None:
        return f"{path} is not a safetensors file: its beginning is of no known kind"
    if kind != SAFETENSORS:
        advice = kind.advice or "`agns models import` brings in weights of other systems"
        return f"{path} is {kind.words}, not a safetensors file: {advice}"
    if size < 8 + length or "not fully covered" in str(error):
        return f"{path} is not a readable safetensors file: it is cut short at {size} bytes"
    return f"{path} is not a readable safetensors file: {error}"


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read tensors and metadata from a safetensors file.

    Raises:
        ConfigError: There is no such file.
        WeightsError: The file is not safetensors, or is cut short.
    """
    with _reading(path) as name, safetensors.safe_open(name, framework="pt") as opened:
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}
        return tensors, dict(opened.metadata() or {})


def read_metadata(path: Path) -> dict[str, str]:
    """Read what a safetensors file says beside its tensors, and not these; as `load_tensors`."""
    with _reading(path) as name, safetensors.safe_open(name, framework="pt") as opened:
        return dict(opened.metadata() or {})


def versions() -> dict[str, str]:
    """Versions of what decides a run's figures."""
    from importlib.metadata import version

    names = ("agns", "torch", "lightning-fabric", "numpy", "pillow", "safetensors")
    return {
        "python": platform.python_version(),
        "platform": f"{sys.platform}-{platform.machine()}",
        **{name: version(name) for name in names},
    }


def machine() -> dict[str, object]:
    """What times depend on: the processor's name, its cores, and the GPU if there is one."""
    name = platform.processor() or platform.machine()
    listed = Path("/proc/cpuinfo")
    if listed.is_file():
        lines = listed.read_text(encoding="utf-8", errors="replace").splitlines()
        models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        name = models[0] if models else name
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {"processor": name, "cores": os.cpu_count(), "gpu": gpu}


def _composed(value: object) -> Any:
    """A value as JSON has it, its text in composed Unicode (NFC)."""
    text = json.dumps(value, default=_plain, ensure_ascii=False)
    return json.loads(unicodedata.normalize("NFC", text))


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


def under(tensors: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """The tensors whose names begin with `name` and a dot, without that beginning."""
    beginning = f"{name}."
    return {
        key.removeprefix(beginning): tensor
        for key, tensor in tensors.items()
        if key.startswith(beginning)
    }
