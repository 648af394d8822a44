"""A victim over HTTP, against a server on this machine."""

import threading
import urllib.request
from collections.abc import Iterator
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
