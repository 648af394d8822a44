"""Weights of other systems, brought into ours: the kind of a source is told from its content."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol, TypeAlias, get_args, runtime_checkable

from agns.errors import AgnsError, ConfigError, WeightsError
from agns.file_kinds import file_kind
from agns.models.importing import keras, matlab, openface, tensorflow, torchvision
from agns.models.importing.imported import BACKBONES, GAN, Imported
from agns.storage import read_metadata

ImportedArchitecture: TypeAlias = Literal[
    "vgg10", "vgg143", "of10", "of143", "vgg", "of",
    "vgg16", "openface", "generator", "discriminator",
]  # fmt: skip
"""`vgg16` and `openface` are backbones alone."""


@runtime_checkable
class Source(Protocol):
    """One layout in which weights are found: a module each."""

    @property
    def KIND(self) -> str:
        """In words, for messages."""

    @property
    def ARCHS(self) -> tuple[str, ...]:
        """What it may hold."""

    def recognises(self, path: Path) -> bool:
        """Whether a path is laid out so, from its content; reads no more than it must."""

    def read(self, path: Path, arch: str, identities: Sequence[str] | None) -> Imported:
        """Build the network, `arch` of `ARCHS`; names are in the order of the logits.

        Raises:
            ConfigError: The names are another number than the classes.
            WeightsError: The source is damaged, or does not fit.
        """


SOURCES: tuple[Source, ...] = (openface, torchvision, matlab, keras, tensorflow)
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
    if identities is not None and arch in (*BACKBONES, *GAN):
        raise ConfigError(f"{arch} has no classes to be named")
    if not source.exists() and not source.with_name(f"{source.name}.index").is_file():
        raise ConfigError(f"there is no weight file {source}")
    if _is_own(source):
        raise ConfigError(f"{source} is a weight file of agns already: use it as it is")
    for kind in SOURCES:
        if kind.recognises(source):
            check_arch(arch, kind, str(source))
            return kind.read(source, arch, identities)
    known = "; ".join(kind.KIND for kind in SOURCES)
    held = file_kind(source) if source.is_file() else None
    if held is not None and held.advice:
        raise WeightsError(f"{source} is {held}")
    what = "none" if held is None else f"{held.words}, and none"
    raise WeightsError(f"{source} is {what} of the kinds that can be imported: {known}")


def check_arch(arch: str, kind: Source, source: str) -> None:
    """Refuse what a kind of source does not hold.

    Raises:
        ConfigError: It is another architecture.
    """
    if arch not in kind.ARCHS:
        choice = " or ".join(kind.ARCHS)
        raise ConfigError(f"{source} is read as {kind.KIND}: take --arch {choice}, not {arch}")


def _is_own(source: Path) -> bool:
    try:
        return read_metadata(source).get("format", "").startswith("agns-")
    except AgnsError:
        return False
