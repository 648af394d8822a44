"""Downloads from a server on this machine, which fails in the ways that servers do."""

import contextlib
import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx2
import pytest

from agns.data.assets import ASSETS, Asset, fetch
from agns.errors import ConfigError, DataError

CONTENT = bytes(range(256)) * 12_000
HALF = len(CONTENT) // 2


@dataclass
class Behaviour:
    """What the server does with its next requests, the last for ever."""

    steps: list[str] = field(default_factory=lambda: ["whole"])
    ranges: list[str | None] = field(default_factory=list)
    """The Range header of each request so far."""

    def next(self) -> str:
        return self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]


@dataclass
class Shelf:
    """A server, the asset it has, and the cache to fetch it into."""

    behaviour: Behaviour
    asset: Asset
    directory: Path
    pauses: list[float] = field(default_factory=list)

    def fetch(self, *steps: str, **changes: object) -> Path:
        self.behaviour.steps[:] = steps
        assets = {"thing": replace(self.asset, **changes)}
        return fetch("thing", self.directory, assets=assets, pause=self.pauses.append)

    @property
    def part(self) -> Path:
        return self.directory / "thing.bin.part"


class Handler(BaseHTTPRequestHandler):
    behaviour: Behaviour

    def log_message(self, *_: object) -> None:
        pass

    def answer(self, status: int, body: bytes, length: int | None, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()
        # Who refuses an answer hangs up on it.
        with contextlib.suppress(ConnectionError):
            self.wfile.write(body)

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.behaviour.ranges.append(asked)
        start = 0 if asked is None else int(asked.removeprefix("bytes=").removesuffix("-"))
        rest, size = CONTENT[start:], len(CONTENT)
        match self.behaviour.next().split():
            case ["whole"] if start:
                scope = f"bytes {start}-{size - 1}/{size}"
                self.answer(206, rest, len(rest), Content_Range=scope)
            case ["whole"] | ["no-range"]:
                self.answer(200, CONTENT, size)
            case ["half"]:
                self.answer(206 if start else 200, CONTENT[:HALF], size)
            case ["wrong-range"]:
                self.answer(206, CONTENT, size, Content_Range=f"bytes 0-{size - 1}/{size}")
            case ["nothing"]:
                pass
            case ["endless"]:
                self.answer(200, CONTENT + b"more", None)
            case ["longer"]:
                self.answer(200, CONTENT, size + 1)
            case ["page"]:
                self.answer(200, b"<p>Sign in</p>", None, Content_Type="text/html; charset=utf-8")
            case ["disguised"]:
                self.answer(200, b"\n<!DOCTYPE html>".ljust(size), size)
            case ["other"]:
                self.answer(200, b"0" * size, size)
            case ["to", target]:
                self.answer(302, b"", 0, Location=target)
            case [status]:
                self.answer(int(status), b"", 0)


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shelf]:
    monkeypatch.setenv("no_proxy", "*")
    behaviour = Behaviour()
    handler = type("Bound", (Handler,), {"behaviour": behaviour})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        asset = Asset(
            url=f"http://127.0.0.1:{server.server_port}/files/thing.bin",
            size=len(CONTENT),
            sha256=hashlib.sha256(CONTENT).hexdigest(),
            licence="none",
        )
        yield Shelf(behaviour, asset, tmp_path / "cache")
        server.shutdown()
        thread.join()


def test_a_download_is_kept_under_its_own_name(shelf: Shelf) -> None:
    path = shelf.fetch("whole")
    assert path == shelf.directory / "thing.bin"
    assert path.read_bytes() == CONTENT
    assert [each.name for each in shelf.directory.iterdir()] == ["thing.bin"]


def test_what_the_cache_has_is_not_downloaded_again(shelf: Shelf) -> None:
    assert shelf.fetch("whole") == shelf.fetch("500")
    assert len(shelf.behaviour.ranges) == 1


def test_a_damaged_file_in_the_cache_is_replaced(shelf: Shelf) -> None:
    path = shelf.fetch("whole")
    path.write_bytes(b"0" + CONTENT[1:])
    assert shelf.fetch("whole").read_bytes() == CONTENT


def test_a_download_that_breaks_off_is_gone_on_with(shelf: Shelf) -> None:
    assert shelf.fetch("half", "nothing", "503", "whole").read_bytes() == CONTENT
    assert shelf.behaviour.ranges == [None, *[f"bytes={HALF}-"] * 3]
    assert shelf.pauses == [1, 2, 4]


def test_a_part_of_an_earlier_run_is_gone_on_with(shelf: Shelf) -> None:
    shelf.directory.mkdir()
    shelf.part.write_bytes(CONTENT[:1000])
    assert shelf.fetch("whole").read_bytes() == CONTENT
    assert shelf.behaviour.ranges == ["bytes=1000-"]


@pytest.mark.parametrize("steps", [["no-range"], ["416", "whole"]])
def test_a_server_that_cannot_go_on_starts_again(shelf: Shelf, steps: list[str]) -> None:
    shelf.directory.mkdir()
    shelf.part.write_bytes(b"0" * 1000)
    assert shelf.fetch(*steps).read_bytes() == CONTENT
    assert shelf.behaviour.ranges[0] == "bytes=1000-"


@pytest.mark.parametrize("part", [b"0" * 1000, CONTENT[:-1] + b"0", CONTENT + b"0"])
def test_a_part_that_does_not_belong_is_thrown_away(shelf: Shelf, part: bytes) -> None:
    shelf.directory.mkdir()
    shelf.part.write_bytes(part)
    assert shelf.fetch("whole").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        ("503", "the server answers 503 Service Unavailable"),
        ("nothing", "Server disconnected without sending a response."),
    ],
)
def test_a_network_that_fails_for_good_is_given_up_in_the_end(
    shelf: Shelf, step: str, reason: str
) -> None:
    with pytest.raises(DataError, match=f"cannot be downloaded: {reason} \\(what came is kept"):
        shelf.fetch(step)
    assert len(shelf.behaviour.ranges) == 5
    assert shelf.pauses == [1, 2, 4, 8]


def test_a_server_that_is_not_there_is_told(shelf: Shelf) -> None:
    with pytest.raises(DataError, match="Connection refused"):
        shelf.fetch(url="http://127.0.0.1:9/thing.bin")


@pytest.mark.parametrize(
    ("step", "sentence"),
    [
        ("404", "cannot be downloaded: the server answers 404 Not Found"),
        ("page", "gives a web page in place of the file: a proxy or a sign-in page may stand in"),
        ("disguised", "gives a web page in place of the file"),
        ("endless", f"sends more than the {len(CONTENT)} bytes expected"),
        ("longer", f"announces {len(CONTENT) + 1} bytes, expected {len(CONTENT)}"),
        ("other", "came with the SHA-256 [0-9a-f]{64}, expected [0-9a-f]{64}: the file was"),
        ("to ftp://127.0.0.1/thing.bin", "leads to ftp://127.0.0.1/thing.bin, which is neither"),
        ("to file:///etc/hostname", "leads to file://.*/etc/hostname, which is neither"),
    ],
)
def test_what_is_not_the_file_is_refused_at_once(shelf: Shelf, step: str, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence) as caught:
        shelf.fetch(step)
    assert "\n" not in str(caught.value)
    assert len(shelf.behaviour.ranges) == 1
    assert not (shelf.directory / "thing.bin").exists()
    assert not shelf.part.exists()


def test_a_part_other_than_the_one_asked_for_is_refused(shelf: Shelf) -> None:
    shelf.directory.mkdir()
    shelf.part.write_bytes(CONTENT[:1000])
    with pytest.raises(DataError, match=r"sends bytes 0-\d+/\d+, asked for bytes 1000-"):
        shelf.fetch("wrong-range")


def test_redirects_within_http_are_followed(shelf: Shelf) -> None:
    assert shelf.fetch(f"to {shelf.asset.url}", "whole").read_bytes() == CONTENT


def test_other_schemes_are_never_asked(shelf: Shelf, tmp_path: Path) -> None:
    (tmp_path / "thing.bin").write_bytes(CONTENT)
    for url in ((tmp_path / "thing.bin").as_uri(), "ftp://127.0.0.1/thing.bin"):
        with pytest.raises(DataError, match="which is neither http nor https"):
            shelf.fetch(url=url)


def test_progress_is_told_in_megabytes(shelf: Shelf) -> None:
    seen: list[tuple[int, int, list[str]]] = []
    fetch(
        "thing",
        shelf.directory,
        assets={"thing": shelf.asset},
        progress=lambda done, total, figures: seen.append((done, total, list(figures))),
    )
    assert seen[-1] == (4, 4, ["MB/s"])
    assert [done for done, _, _ in seen] == sorted(done for done, _, _ in seen)


def test_a_transport_of_ones_own_is_used(shelf: Shelf) -> None:
    asked: list[str] = []

    def unplugged(request: httpx2.Request) -> httpx2.Response:
        asked.append(str(request.url))
        raise httpx2.ConnectError("the cable is out")

    with pytest.raises(DataError, match="cannot be downloaded: the cable is out"):
        fetch(
            "thing", shelf.directory, assets={"thing": shelf.asset},
            transport=httpx2.MockTransport(unplugged), pause=shelf.pauses.append,
        )  # fmt: skip
    assert asked == [shelf.asset.url] * 5


def test_a_cache_that_cannot_be_written_to_is_told_with_a_way_out(shelf: Shelf) -> None:
    shelf.directory.write_text("a file in its place")
    with pytest.raises(ConfigError, match=r"downloads cannot be kept in .*\(set AGNS_CACHE"):
        shelf.fetch("whole")


def test_a_name_that_is_not_in_the_list_is_refused() -> None:
    with pytest.raises(
        ConfigError, match="no download 'faces': choose one of face-landmarker, vgg"
    ):
        fetch("faces")


@pytest.mark.parametrize("name", ASSETS)
def test_every_asset_is_described_in_full(name: str) -> None:
    asset = ASSETS[name]
    assert asset.url.startswith("https://")
    assert len(bytes.fromhex(asset.sha256)) == 32
    assert asset.size > 0
    assert asset.licence
