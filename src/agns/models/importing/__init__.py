"""Weights of other systems, brought into ours: the kind of a source is told from its content."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from agns.errors import AgnsError, ConfigError, WeightsError
from agns.file_kinds import file_kind
from agns.models.importing import keras, keras_files, openface, tensorflow, torchvision
from agns.models.importing.imported import Imported
from agns.models.importing.matlab import is_mat, read_matlab
from agns.storage import read_metadata

ImportedArchitecture: TypeAlias = Literal[
    "vgg10", "vgg143", "of10", "of143", "vgg", "of",
    "vgg16", "openface", "generator", "discriminator",
]  # fmt: skip
"""`vgg16` and `openface` are backbones alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One layout in which weights are found."""

    name: str
    """In words, for messages."""

    recognises: Callable[[Path], bool]
    """Whether a path is laid out so, from its content; reads no more than it must."""

    read: Callable[[Path, str, Sequence[str] | None], Imported]
    """Builds the network: path, architecture, names of the classes in the order of the logits.
    Raises WeightsError with the tensor and the shapes where something does not fit."""


SOURCES: tuple[Source, ...] = (
    Source(name=openface.KIND, recognises=openface.recognises, read=openface.read),
    Source(name=torchvision.KIND, recognises=torchvision.recognises, read=torchvision.read),
    Source(name="MATLAB file (.mat)", recognises=is_mat, read=read_matlab),
    Source(name=keras.KIND, recognises=keras_files.recognises, read=keras.read),
    Source(name=tensorflow.KIND, recognises=tensorflow.recognises, read=tensorflow.read),
)
"""Tried in this order."""


def import_weights(source: Path, arch: str, identities: Sequence[str] | None = None) -> Imported:
    """Read weights that another system wrote.

    Args:
        source: A file, or a folder.
        arch: One of `ImportedArchitecture`.
        identities: Names of the classes in the order of the logits, where the source holds none.

    Raises:
        ConfigError: There is no such source or architecture, or the source is agns's own.
        WeightsError: The source is of no known kind, is damaged, or does not fit.
    """
    if arch not in get_args(ImportedArchitecture):
        names = ", ".join(get_args(ImportedArchitecture))
        raise ConfigError(f"there is no network {arch!r} to import: choose one of {names}")
    if not source.exists() and not source.with_name(f"{source.name}.index").is_file():
        raise ConfigError(f"there is no weight file {source}")
    if _is_own(source):
        raise ConfigError(f"{source} is a weight file of agns already: use it as it is")
    for kind in SOURCES:
        if kind.recognises(source):
            return kind.read(source, arch, identities)
    known = "; ".join(kind.name for kind in SOURCES)
    held = file_kind(source) if source.is_file() else None
    if held is not None and held.advice:
        raise WeightsError(f"{source} is {held}")
    what = "none" if held is None else f"{held.words}, and none"
    raise WeightsError(f"{source} is {what} of the kinds that can be imported: {known}")


def _is_own(source: Path) -> bool:
    try:
        return read_metadata(source).get("format", "").startswith("agns-")
    except AgnsError:
        return False
