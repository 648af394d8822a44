"""Networks in files of other systems, described by a YAML file beside them.

Such a file tells neither whom its network knows nor how it takes faces. The description does, in
the words of `Classifier` and `Embedder`, for Python, the command line and plans alike.
"""

import hashlib
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from agns.errors import AgnsError, ConfigError, WeightsError, why
from agns.file_kinds import EXPORTED, ONNX, TFLITE, TORCH_SCRIPT, file_kind
from agns.models.checkpoint import weights_digest
from agns.models.embedder import Embedder
from agns.models.importing.exported_network import read_exported
from agns.models.importing.foreign_network import ForeignNetwork
from agns.models.importing.onnx_network import read_onnx
from agns.models.importing.tflite_network import read_tflite
from agns.models.importing.torch_script import read_torch_script
from agns.models.preprocessing import MOST_PIXELS
from agns.models.victim import Classifier
from agns.object_reference import call_reference, names_code
from agns.storage import file_digest
from agns.types import CANVAS
from agns.yaml_file import YamlFile, read_yaml

SUFFIXES = (".yaml", ".yml")
"""How descriptions are called."""

DESCRIBED = (ONNX, TFLITE, EXPORTED, TORCH_SCRIPT)
"""Kinds of files that need one."""

_MOST_NAMES = 10_000_000
"""Bytes of a file of names."""

_Figure: TypeAlias = Annotated[float, Field(allow_inf_nan=False)]
_Colour: TypeAlias = _Figure | Annotated[tuple[_Figure, ...], Field(min_length=3, max_length=3)]
_Row: TypeAlias = Annotated[tuple[_Figure, ...], Field(min_length=3, max_length=3)]


class Description(BaseModel):
    """What a description holds."""

    model_config = ConfigDict(strict=True, extra="forbid", title="a description")

    network: Annotated[str, Field(min_length=1)]
    """Its file, from where the description lies, or `package.module:function` that makes it."""

    name: str = ""
    """What results call it; the description's own name if empty."""

    sha256: Annotated[str, Field(pattern="^[0-9a-fA-F]{64}$")] | None = None
    """The file's, where it is to be that file alone."""

    trusted: bool = False
    """Whether code may run: a TorchScript program, or the function."""

    identities: Annotated[tuple[str, ...], Field(min_length=2)] | str | None = None
    """Names of the classes in the order of the logits, or a text file with a name a line."""

    embedding: bool = False
    """Whether it embeds faces, in place of telling identities."""

    metric: Literal["euclidean", "cosine"] = "euclidean"
    """How embeddings are compared."""

    unit: bool = False
    """Whether they are scaled to length 1 first."""

    size: Annotated[int, Field(ge=1, le=MOST_PIXELS)] | None = None
    """Height and width in pixels; None for what the file says, and else 224."""

    low: _Figure = 0.0
    high: _Figure = 1.0
    mean: _Colour = 0.0
    deviation: _Colour = 1.0
    bgr: bool = False
    chip: Annotated[tuple[_Row, ...], Field(min_length=2, max_length=2)] | str | None = None
    """These as for `agns.models.preprocessing.Preprocessing`."""


def runs_code(source: str) -> bool:
    """Whether an embedding's source runs code: it is a function, or its description trusts one."""
    if names_code(source):
        return True
    path = Path(source)
    if path.suffix not in SUFFIXES or not path.is_file():
        return False
    return read_yaml(path, "description", words=(), homes=()).values.get("trusted") is True


def read_description(path: Path, *, runs_code: bool = True) -> Classifier | Embedder:
    """Read a description, and the network that it names.

    Args:
        path: The file.
        runs_code: Whether the function that it names may run, or the program that it trusts: not
            where another file led to it.

    Returns:
        In evaluation mode; `record` holds the file's digest and how it was checked, and `digest`
        over all that was read.

    Raises:
        ConfigError: There is no such file, something in it cannot be used (the sentence names the
            line), or the network does not fit it.
        WeightsError: The network's file cannot be read.
    """
    words = ("network", "name", "sha256", "identities", "identities[]", "chip")
    file = read_yaml(path, "description", words=words, homes=("network",))
    told = Description(**file.given(Description, file.values, ()))
    if told.embedding == (told.identities is not None):
        raise file.wrong((), "a description needs either identities or embedding: true")
    if not told.embedding and (lone := {"metric", "unit"} & told.model_fields_set):
        raise file.wrong((min(lone),), f"{min(lone)}: it is for embeddings")
    with file.told(("network",)):
        network, record = _network(path, told, runs_code=runs_code)
    if isinstance(network, ForeignNetwork):
        record["checked"] = network.checked
        side = network.size[0]
        if network.size != (side, side) or told.size not in (None, side):
            wanted = "x".join(map(str, network.size))
            raise file.wrong(("size",), f"size: {told.network} takes pictures of {wanted}")
        told = told.model_copy(update={"size": side})
    try:
        made = _made(file, told, network)
    except ConfigError as error:
        # Such sentences name what they are about.
        said = [word for word in re.findall(r"\w+", str(error)) if word in told.model_fields_set]
        with file.told(tuple(said[:1])):
            raise
    _try(path, made)
    names = made.identities if isinstance(made, Classifier) else ()
    # Weights may lie in other files than the network's, and names beside the description.
    parts = [file_digest(path), record.get("sha256"), weights_digest(made), names]
    record["digest"] = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    made.record = {key: value for key, value in record.items() if value}
    return made


def ask_description(path: Path, *, embedding: bool = False) -> ConfigError | None:
    """What to raise for a bare file of another system; None for any other file."""
    kind = file_kind(path) if path.is_file() else None
    if kind not in DESCRIBED:
        return None
    assert kind is not None
    task = "embedding: true" if embedding else "identities: names.txt"
    return ConfigError(
        f"{path} is {kind.words}, which does not say how it takes faces: name a description in its "
        f"place, say {path.with_suffix('.yaml').name} with `network: {path.name}`, `{task}`, "
        "`low: -1` and `high: 1` on a line each (docs/how-to/foreign-networks.md)"
    )


def _network(
    path: Path, told: Description, *, runs_code: bool
) -> tuple[nn.Module, dict[str, object]]:
    """The network, and what is on record of it."""
    if not runs_code and (told.trusted or names_code(told.network)):
        raise ConfigError(
            "network: where trusted is true or a function is named, code may run, to which "
            "no other file leads: read the gallery by agns.Gallery.read(path, lambda _: embedder)"
        )
    if names_code(told.network):
        if not told.trusted:
            raise ConfigError(
                f"network: {told.network} is code, which runs as you: if you know who wrote it, "
                "add trusted: true"
            )
        made = call_reference(told.network)
        if not isinstance(made, nn.Module):
            raise ConfigError(f"network: {told.network} makes a {type(made).__name__}, no module")
        if told.sha256 is not None:
            raise ConfigError("sha256: it is a file's, and the network is a function's")
        return made.eval(), {"network": told.network}
    source = path.parent / told.network
    try:
        if not source.is_file():
            raise ConfigError(f"network: there is no file {source}")
        digest, kind = file_digest(source), file_kind(source)
    except OSError as error:
        raise ConfigError(f"network: {source} cannot be read: {error.strerror}") from error
    if told.sha256 is not None and digest != told.sha256.lower():
        raise WeightsError(f"{source} is another file than the one described: SHA-256 {digest}")
    readers: dict[object, Callable[[], nn.Module]] = {
        TFLITE: lambda: read_tflite(source),
        ONNX: lambda: read_onnx(source, told.size),
        EXPORTED: lambda: read_exported(source, told.size),
        TORCH_SCRIPT: lambda: read_torch_script(source, trusted=told.trusted),
    }
    if kind not in readers:
        known = ", ".join(one.words for one in DESCRIBED)
        what = "of no known kind" if kind is None else str(kind)
        raise WeightsError(f"{source} is {what}; a description is of {known}, or of a function")
    return readers[kind](), {"network": source.name, "sha256": digest}


def _made(file: YamlFile, told: Description, network: nn.Module) -> Classifier | Embedder:
    size = CANVAS if told.size is None else told.size
    if told.embedding:
        return Embedder(
            network, name=told.name or file.path.stem, metric=told.metric, unit=told.unit,
            size=size, low=told.low, high=told.high, mean=told.mean, deviation=told.deviation,
            bgr=told.bgr, chip=told.chip,
        ).eval()  # fmt: skip
    identities = told.identities
    if isinstance(identities, str):
        identities = _names(file.path.parent / identities)
    assert identities is not None
    return Classifier(
        network, identities, size=size, low=told.low, high=told.high, mean=told.mean,
        deviation=told.deviation, bgr=told.bgr, chip=told.chip,
    ).eval()  # fmt: skip


def _names(path: Path) -> tuple[str, ...]:
    """A file's lines, but for empty ones."""
    try:
        if not path.is_file() and path.exists():
            raise ConfigError(f"identities: {path} is no file")
        if path.stat().st_size > _MOST_NAMES:
            raise ConfigError(f"identities: {path} is too large for a list of names")
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise ConfigError(f"identities: {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"identities: {path} is not text") from error
    except ValueError as error:  # As of a name with a NUL.
        raise ConfigError(f"identities: {str(path)!r} is no name of a file") from error
    return tuple(line.strip() for line in lines if line.strip())


def _try(path: Path, made: Classifier | Embedder) -> None:
    """See that the network takes what the description says, and answers as it says.

    Raises:
        ConfigError: It does not.
    """
    faces = torch.rand(2, 3, CANVAS, CANVAS, generator=torch.Generator().manual_seed(0))
    try:
        with torch.no_grad():
            largest = float(made(faces).abs().max())
    except AgnsError as error:
        raise ConfigError(f"{path}: {error}") from error
    except Exception as error:  # Another's network may raise anything.
        raise ConfigError(f"{path}: the network does not take such faces: {why(error)}") from error
    if not math.isfinite(largest):
        raise ConfigError(f"{path}: the network answers with numbers that are not finite")
