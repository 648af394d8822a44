"""Published weights by name: fetched once, brought in once."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import httpx2
import pytest
import torch

from agns.data.assets import ASSETS, Asset
from agns.errors import ConfigError
from agns.models.backbone import Backbone
from agns.models.importing import import_weights, pretrained
from agns.models.importing.imported import Imported
from agns.models.recognizer import build_recognizer

CONTENT = b"weights"


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was sent and read, in order; OpenFace stands for VGG-16, which is large."""
    asked: list[str] = []
    monkeypatch.setenv("AGNS_CACHE", str(tmp_path / "cache"))
    asset = Asset(
        url="https://example.org/vgg16.pth",
        size=len(CONTENT),
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        licence="none",
    )
    monkeypatch.setitem(ASSETS, "vgg16-imagenet", asset)

    def read(source: Path, arch: str, identities: Sequence[str] | None) -> Imported:
        assert source.read_bytes() == CONTENT
        asked.append(arch)
        return Imported(network=Backbone("of"), kind="a test's")

    monkeypatch.setattr(pretrained, "import_weights", read)
    return asked


def transport(asked: list[str]) -> httpx2.MockTransport:
    def send(request: httpx2.Request) -> httpx2.Response:
        asked.append(str(request.url))
        return httpx2.Response(200, content=CONTENT)

    return httpx2.MockTransport(send)


def test_the_backbone_is_made_once(asked: list[str]) -> None:
    path = pretrained.imagenet_backbone(transport=transport(asked))
    assert asked == ["https://example.org/vgg16.pth", "vgg16"]
    assert Backbone.read(path).record["imported"] == {
        "source": "vgg16-imagenet",
        "kind": "a test's",
    }
    assert pretrained.imagenet_backbone(transport=transport(asked)) == path
    assert len(asked) == 2


def test_a_backbone_that_was_cut_short_is_made_again_from_the_download(asked: list[str]) -> None:
    path = pretrained.imagenet_backbone(transport=transport(asked))
    path.write_bytes(path.read_bytes()[:-1])
    pretrained.imagenet_backbone(transport=transport(asked))
    Backbone.read(path)
    assert asked == ["https://example.org/vgg16.pth", "vgg16", "vgg16"]


@pytest.mark.parametrize(
    ("name", "arch", "sentence"),
    [
        ("imagenet", "of10", "imagenet is read as torchvision's VGG-16 .*: take --arch vgg16 or"),
        ("faces", "vgg16", "there are no weights 'faces': choose one of imagenet"),
    ],
)
def test_misuse_is_told_before_anything_is_sent(
    asked: list[str], name: str, arch: str, sentence: str
) -> None:
    with pytest.raises(ConfigError, match=sentence):
        pretrained.import_pretrained(name, arch, transport=transport(asked))
    assert asked == []


def test_a_file_of_our_own_needs_no_import(tmp_path: Path, generator: torch.Generator) -> None:
    path = tmp_path / "recognizer.safetensors"
    build_recognizer("of", ("Ann", "Bob"), rng=generator).write(path)
    with pytest.raises(ConfigError, match="is a weight file of agns already: use it as it is"):
        import_weights(path, "of")
