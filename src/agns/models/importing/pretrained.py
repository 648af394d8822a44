"""Published weights by name: downloaded into the cache, and brought into ours."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx2

from agns.data.assets import ASSETS, fetch
from agns.data.cache import cache_directory
from agns.errors import ConfigError, WeightsError
from agns.models.importing import check_arch, import_weights, torchvision
from agns.models.importing.imported import Imported
from agns.storage import read_metadata
from agns.types import Progress, silent

PRETRAINED: Mapping[str, str] = {"imagenet": "vgg16-imagenet"}
"""The download, a key of `ASSETS`, that stands behind each name."""

FORMAT = "1"
"""Raises with every change of what an import makes of a download, so that older ones are not
read."""


def import_pretrained(
    name: str,
    arch: str,
    identities: Sequence[str] | None = None,
    *,
    progress: Progress = silent,
    transport: httpx2.BaseTransport | None = None,
) -> Imported:
    """Download published weights, unless the cache has them, and build a network of them.

    Args:
        name: A key of `PRETRAINED`.
        arch: `vgg16` for the backbone, `vgg` for the recogniser of ImageNet's 1000 classes.
        identities: Names of the classes, or None for numbers.
        progress: Told in megabytes.
        transport: As `fetch` takes it.

    Raises:
        ConfigError: There are no such weights, or they do not become such a network.
        DataError: They cannot be downloaded.
        WeightsError: What was downloaded does not fit.
    """
    if name not in PRETRAINED:
        raise ConfigError(f"there are no weights {name!r}: choose one of {', '.join(PRETRAINED)}")
    # Before half a gigabyte is on its way.
    check_arch(arch, torchvision, name)
    path = fetch(PRETRAINED[name], progress=progress, transport=transport)
    return import_weights(path, arch, identities)


def imagenet_backbone(
    *, progress: Progress = silent, transport: httpx2.BaseTransport | None = None
) -> Path:
    """VGG-16 trained on ImageNet as a backbone file in the cache, made there at first.

    Args:
        progress: Told in megabytes of the download.
        transport: As `fetch` takes it.

    Raises:
        ConfigError: The cache cannot be written to.
        DataError: The weights cannot be downloaded.
        WeightsError: What was downloaded does not fit.
    """
    name = PRETRAINED["imagenet"]
    path = cache_directory() / "assets" / f"{name}-{ASSETS[name].sha256[:8]}-{FORMAT}.safetensors"
    if not _is_whole(path):
        imported = import_pretrained("imagenet", "vgg16", progress=progress, transport=transport)
        imported.save(path, name)
    return path


def _is_whole(path: Path) -> bool:
    """Whether a file's header reads, and the file is as long as its header says."""
    if not path.is_file():
        return False
    try:
        read_metadata(path)
    except WeightsError:
        return False
    return True
