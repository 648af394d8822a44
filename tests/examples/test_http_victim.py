"""A victim over HTTP, against a server on this machine."""

import socketserver
import threading
import urllib.request
from collections.abc import Callable, Iterator
from urllib.error import HTTPError

import pytest
import torch
from tests.attack.conftest import build_victim, draw_coarse_photos

import agns
from agns.attack.square import Square
from agns.errors import AttackError
from agns.models.recognizer import Recognizer
from agns.models.victim import freeze
from http_victim import HttpVictim, from_environment, serve


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return freeze(build_victim(torch.Generator().manual_seed(0)))


@pytest.fixture(scope="module")
def url(recognizer: Recognizer) -> Iterator[str]:
    server = serve(recognizer)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def photos(generator: torch.Generator) -> torch.Tensor:
    return (draw_coarse_photos(generator)[:2] * 255).round() / 255


def test_it_gives_what_the_recogniser_gives(
    url: str, recognizer: Recognizer, photos: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGNS_VICTIM_URL", url)
    victim = from_environment()
    assert isinstance(victim, agns.Victim)
    assert victim.identities == recognizer.identities
    torch.testing.assert_close(victim(photos), recognizer(photos), atol=1e-5, rtol=0)


def test_attacks_that_ask_can_be_made_on_it_and_others_say_why_not(
    url: str, photos: torch.Tensor
) -> None:
    victim, goal = HttpVictim(url), agns.Dodge("Bob", stop=1e-6)
    found = Square(queries=20, first_photos=1).run(victim, photos, goal)
    assert found.queries is not None
    assert 18 < found.queries <= 20
    with pytest.raises(AttackError, match="gives no gradient, which this attack follows"):
        agns.PGD(steps=1).run(victim, photos, goal)


@pytest.fixture
def answering() -> Iterator[Callable[[bytes], str]]:
    """Serves whatever bytes, and gives the address."""
    servers = []

    def serve_bytes(content: bytes) -> str:
        class Raw(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                self.request.recv(1 << 16)
                self.request.sendall(content)

        server = socketserver.TCPServer(("127.0.0.1", 0), Raw)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield serve_bytes
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


OK = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b"


@pytest.mark.parametrize(
    "body",
    [
        b'["a", "b"]', b"[null, 1]", b"[[1], 2]", b"[1" + 400 * b"0" + b", 2]", b"[1]",
        b"[" * 200_000, b"{}", b"no JSON", b"",
    ],
)  # fmt: skip
def test_answers_that_are_no_scores_are_told(
    body: bytes, answering: Callable[[bytes], str], photos: torch.Tensor
) -> None:
    victim = HttpVictim(answering(OK % (len(body), body)))
    victim.identities = ("Ann", "Bob")
    with pytest.raises(agns.AgnsError, match=r"^http://127\.0\.0\.1:\d+ (gave|did not answer)"):
        victim(photos)


@pytest.mark.parametrize(
    "content",
    [
        b"", b"nonsense\r\n\r\n", b"HTTP/1.1 500 No\r\n\r\n", OK % (9, b"[1"),
        b"HTTP/1.1 200 OK\r\nX: " + 70_000 * b"a" + b"\r\n\r\n[1, 2]",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)  # fmt: skip
def test_replies_that_are_no_http_are_told(
    content: bytes, answering: Callable[[bytes], str], photos: torch.Tensor
) -> None:
    victim = HttpVictim(answering(content))
    victim.identities = ("Ann", "Bob")
    with pytest.raises(agns.AgnsError, match="did not answer as it should"):
        victim(photos)


def test_what_is_no_face_or_no_answer_is_told(url: str, photos: torch.Tensor) -> None:
    with pytest.raises(HTTPError, match="400") as refused:
        urllib.request.urlopen(urllib.request.Request(url, b"no picture"), timeout=5)
    refused.value.close()
    with pytest.raises(agns.AgnsError, match="should be http or https, got 'ftp://a'"):
        HttpVictim("ftp://a")
    victim = HttpVictim(url)
    victim.identities = ("Ann",)
    with pytest.raises(agns.AgnsError, match="gave 3 scores, not one for each identity"):
        victim(photos)
    with pytest.raises(agns.AgnsError, match="did not answer as it should"):
        HttpVictim("http://127.0.0.1:9").identities  # noqa: B018
