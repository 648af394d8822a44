"""What files are, told from their content."""

import io
import pickle
import zipfile
from pathlib import Path

import pytest
import safetensors.torch
import torch

from agns.errors import WeightsError
from agns.file_kinds import file_kind
from agns.storage import load_tensors


def torch_file() -> bytes:
    stream = io.BytesIO()
    torch.save({"w": torch.zeros(9)}, stream)
    return stream.getvalue()


def archive(name: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as packed:
        packed.writestr(name, b"")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "an empty file"),
        (bytes(99), "a file of zeros"),
        (b"  <!DOCTYPE html><html>", "a web page"),
        (b"\xef\xbb\xbf\n<HTML lang=de>", "a web page"),
        (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "a server's answer"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "a pointer of Git LFS"),
        (b"../.git/annex/objects/xW/fJ/SHA256E-s1", "a pointer of git-annex"),
        (b'{"weight_map": {}}', "an index of weights"),
        (b'{"error": "not found"}', "JSON text"),
        ("z\u00fcrich".encode() * 1000, "a text file"),
        (b"\x89PNG\r\n\x1a\n0000", "a PNG picture"),
        (b"\x89HDF\r\n\x1a\n0000", "an HDF5 file"),
        (b"\x1f\x8b\x08\x00", "a packed archive"),
        (archive("notes.txt"), "a packed archive"),
        (archive("model.weights.h5"), "a .keras model"),
        (archive("a.npy"), "a NumPy file"),
        (torch_file(), "a file of torch.save"),
        (torch_file()[:-50], "a file of torch.save that is cut short"),
        (pickle.dumps({"w": 1}), "a pickle"),
    ],
)
def test_a_file_that_is_no_safetensors_is_told_for_what_it_is(
    tmp_path: Path, content: bytes, words: str
) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=f"is {words}.*, not a safetensors file: ."):
        load_tensors(path)


def test_weights_are_told_from_text_that_begins_alike(tmp_path: Path) -> None:
    safetensors.torch.save_file({"w": torch.zeros(9)}, tmp_path / "file")
    kind = file_kind(tmp_path / "file")
    assert kind is not None
    assert kind.words == "a safetensors file"


@pytest.mark.parametrize("length", [0x0280, 0x0AFF, 0x10000])
def test_weights_whose_headers_length_looks_like_a_signature_are_told(
    tmp_path: Path, length: int
) -> None:
    (tmp_path / "file").write_bytes(length.to_bytes(8, "little") + b"{".ljust(length))
    kind = file_kind(tmp_path / "file")
    assert kind is not None
    assert kind.words == "a safetensors file"


def test_what_is_of_no_known_kind_is_left_untold(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(range(200, 256)))
    assert file_kind(tmp_path / "file") is None
