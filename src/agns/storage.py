"""JSON and safetensors in and out, atomically, and what is on record of a machine."""

import contextlib
import dataclasses
import enum
import hashlib
import json
import os
import platform
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from agns.errors import ConfigError, DataError, WeightsError
from agns.file_kinds import IMPORTABLE, SAFETENSORS, file_kind
from agns.writing import is_text, replacing, write_text


def write_json(path: Path, content: object, *, indent: int = 2) -> None:
    """Write JSON atomically, `indent` spaces a level; dataclasses are objects, paths strings."""
    write_text(path, json_text(content, indent=indent, allow_nan=False) + "\n")


def json_text(content: object, *, indent: int | None = None, allow_nan: bool = True) -> str:
    """JSON in one string; dataclasses are objects, paths strings."""
    return json.dumps(
        content, indent=indent, default=_plain, ensure_ascii=False, allow_nan=allow_nan
    )


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, enum.Enum):
        return value.value
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


def file_digest(path: Path) -> str:
    """The SHA-256 of a file's bytes, in 64 hex digits, however large the file is.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
        imported = "`agns models import` brings in weights of other systems"
        advice = kind.advice or (imported if kind in IMPORTABLE else "name the file of weights")
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


def under(tensors: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """The tensors whose names begin with `name` and a dot, without that beginning."""
    beginning = f"{name}."
    return {
        key.removeprefix(beginning): tensor
        for key, tensor in tensors.items()
        if key.startswith(beginning)
    }
