"""Named downloads: each of a known size and SHA-256, kept in the cache once it is whole."""

import importlib.util
import os
import time
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx2

from agns import __version__
from agns.data.cache import cache_directory, writable
from agns.errors import ConfigError, DataError
from agns.storage import file_digest
from agns.types import Progress, silent
from agns.writing import writing

MEGABYTE = 1_000_000
TIMEOUT = 30.0
"""Seconds without a byte after which a server counts as gone."""

ATTEMPTS = 5
"""Failures in a row without a byte in between, before a download is given up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """One file to be had, and what it must be."""

    url: str
    """Of http or https; its last part names the file in the cache."""

    size: int
    """Bytes."""

    sha256: str
    """64 hex digits."""

    licence: str
    """In words, with whose it is."""


ASSETS: dict[str, Asset] = {
    "face-landmarker": Asset(
        url="https://storage.googleapis.com/mediapipe-assets/face_landmarker_v2.task"
        "?generation=1681322464758457",
        size=1_402_487,
        sha256="af23fc7c1ff21d034deaa2b7fc1d56bb670ce69a4cbdc9579b6f1afd680835f4",
        licence="Apache-2.0 (Google MediaPipe)",
    ),
    "vgg16-imagenet": Asset(
        url="https://download.pytorch.org/models/vgg16-397923af.pth",
        size=553_433_881,
        sha256="397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
        licence="BSD-3-Clause (torchvision); trained on ImageNet, which is for research alone",
    ),
}


def fetch(
    name: str,
    directory: Path | None = None,
    *,
    assets: Mapping[str, Asset] = ASSETS,
    progress: Progress = silent,
    transport: httpx2.BaseTransport | None = None,
    pause: Callable[[float], None] = time.sleep,
) -> Path:
    """Download a file, unless the cache has it.

    What a broken download leaves is gone on with, where the server can. A network that fails is
    tried again after 1, 2, 4 and 8 seconds.

    Args:
        name: A key of `assets`.
        directory: Where to keep it; the cache's `assets` by default.
        assets: What can be had.
        progress: Told in megabytes.
        transport: Sends the requests; through the network by default.
        pause: Waits for so many seconds.

    Returns:
        The file, of the size and SHA-256 that the asset names.

    Raises:
        ConfigError: There is no such asset, or the directory cannot be written to.
        DataError: The network fails for good, or gives something else, or the disk is full.
    """
    if name not in assets:
        raise ConfigError(f"there is no download {name!r}: choose one of {', '.join(assets)}")
    asset = assets[name]
    directory = cache_directory() / "assets" if directory is None else directory
    path = directory / urllib.parse.urlsplit(asset.url).path.rpartition("/")[2]
    part = path.with_name(f"{path.name}.part")
    # A compressed answer would have another size, and other bytes.
    headers = {"User-Agent": f"agns/{__version__}", "Accept-Encoding": "identity"}
    with writable(directory, "downloads"):
        directory.mkdir(parents=True, exist_ok=True)
        if _fault(path, asset) is None:
            return path
        with httpx2.Client(
            headers=headers, timeout=TIMEOUT, follow_redirects=True, transport=transport
        ) as client:
            # What a resumed download adds up to may be wrong for its beginning, of another day.
            for resumed in (part.exists(), False):
                _download(client, asset, part, progress, pause)
                fault = _fault(part, asset)
                if fault is None:
                    part.replace(path)
                    return path
                part.unlink()
                if not resumed:
                    break
    raise DataError(f"{asset.url} {fault}: the file was damaged on the way, or is another by now")


def _fault(path: Path, asset: Asset) -> str | None:
    """What is wrong with a file, or None."""
    if not path.is_file():
        return "is not there"
    if (size := path.stat().st_size) != asset.size:
        return f"came with {size} bytes, expected {asset.size}"
    digest = file_digest(path)
    if digest != asset.sha256:
        return f"came with the SHA-256 {digest}, expected {asset.sha256}"
    return None


def _download(
    client: httpx2.Client,
    asset: Asset,
    part: Path,
    progress: Progress,
    pause: Callable[[float], None],
) -> None:
    """Bring the partial file to its full size."""
    failures = 0
    while (there := _size(part)) != asset.size:
        try:
            reason = _go_on(client, asset, part, there, progress)
        except httpx2.UnsupportedProtocol as error:
            url = error.request.url
            raise DataError(
                f"a download leads to {url}, which is neither http nor https"
            ) from error
        except httpx2.HTTPError as error:
            reason = str(error) or type(error).__name__
        if reason is not None:
            failures = 1 if _size(part) > there else failures + 1
            if failures == ATTEMPTS:
                raise DataError(
                    f"{asset.url} cannot be downloaded: {reason} (what came is kept, and gone on "
                    "with next time)"
                )
            pause(2.0 ** (failures - 1))


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _go_on(
    client: httpx2.Client, asset: Asset, part: Path, there: int, progress: Progress
) -> str | None:
    """Send one request for what is lacking; why nothing came of it, if that may pass."""
    if there > asset.size:
        part.unlink()
        there = 0
    asked = {"Range": f"bytes={there}-"} if there else {}
    with client.stream("GET", asset.url, headers=asked) as answer:
        if not answer.is_success:
            reason = f"the server answers {answer.status_code} {answer.reason_phrase}"
            if answer.status_code == 416:
                # What is there lies beyond the server's file.
                part.unlink(missing_ok=True)
            elif answer.status_code not in (408, 429) and answer.status_code < 500:
                raise DataError(f"{answer.url} cannot be downloaded: {reason}")
            return reason
        # A server that does not honour the range sends the whole, from its beginning.
        at = there if answer.status_code == 206 else 0
        _check_answer(asset, answer, at)
        received, started = 0, time.monotonic()
        with writing(part), part.open("ab" if at else "wb") as file:
            for chunk in answer.iter_bytes():
                page = at == 0 and chunk.lstrip()[:5].lower() in (b"<!doc", b"<html")
                if page or at + len(chunk) > asset.size:
                    part.unlink()
                    more = f"{asset.url} sends more than the {asset.size} bytes expected"
                    raise DataError(_page(asset) if page else more)
                file.write(chunk)
                at, received = at + len(chunk), received + len(chunk)
                rate = received / MEGABYTE / max(time.monotonic() - started, 1e-3)
                progress(-(-at // MEGABYTE), -(-asset.size // MEGABYTE), {"MB/s": rate})
            file.flush()
            os.fsync(file.fileno())
    return f"the server stopped after {at} of {asset.size} bytes" if at < asset.size else None


def _check_answer(asset: Asset, answer: httpx2.Response, at: int) -> None:
    """Refuse what cannot be the file, before any of it is kept."""
    if answer.headers.get("Content-Type", "").lower().startswith("text/html"):
        raise DataError(_page(asset))
    scope, wanted = answer.headers.get("Content-Range"), f"bytes {at}-{asset.size - 1}/{asset.size}"
    if answer.status_code == 206 and scope != wanted:
        raise DataError(f"{asset.url} sends {scope or 'a part'}, asked for {wanted}")
    announced = answer.headers.get("Content-Length", "")
    if announced.isdigit() and at + int(announced) != asset.size:
        raise DataError(
            f"{asset.url} announces {at + int(announced)} bytes, expected {asset.size}: "
            "the file is another by now"
        )


def _page(asset: Asset) -> str:
    return (
        f"{asset.url} gives a web page in place of the file: a proxy or a sign-in page may stand "
        "in between"
    )


def packaged_model(name: str) -> Path:
    """A file of the package face-recognition-models, found without importing it.

    Importing needs setuptools' `pkg_resources`, which newer ones no longer have.

    Raises:
        ConfigError: The package is not installed, or lacks the file.
    """
    package = importlib.util.find_spec("face_recognition_models")
    places = package.submodule_search_locations if package is not None else None
    for place in places or ():
        if (path := Path(place) / "models" / name).is_file():
            return path
    raise ConfigError(
        f'{name} of the package face-recognition-models is not installed: pip install "agns[dlib]"'
    )
