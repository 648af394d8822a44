"""What a file is, told from its first bytes whatever its name: for sentences that refuse it."""

import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

from agns.formats import picture_format

ZIP = b"PK\x03\x04"
TORCH_LEGACY = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
"""How `torch.save` began before it wrote zip archives: a pickle of 0x1950A86A20F9469CFC6C."""

HDF5 = b"\x89HDF\r\n\x1a\n"
"""MATLAB's 7.3 files have it behind a header of their own."""

GLIMPSE = 4096
"""Bytes that are looked at."""


@dataclass(frozen=True, slots=True)
class FileKind:
    """One kind of file."""

    words: str
    """With its article, as in "it is a web page"."""

    advice: str = ""
    """What to do about it; empty where that depends on what was expected."""

    def __str__(self) -> str:
        """Both in one, as in "a web page: download the file itself"."""
        return f"{self.words}: {self.advice}" if self.advice else self.words


EMPTY = FileKind("an empty file", "download or write it anew")
BLANK = FileKind("a file of zeros, as a crash leaves it", "download or write it anew")
PAGE = FileKind("a web page", "download the file itself, not the page that shows it")
ANSWER = FileKind("a server's answer in XML", "download the file anew, or sign in there first")
GIT_LFS = FileKind("a pointer of Git LFS", "run `git lfs pull` where it was cloned")
GIT_ANNEX = FileKind("a pointer of git-annex", "run `git annex get` where it was cloned")
ARCHIVE = FileKind("a packed archive", "unpack it, and name the file within")
INDEX = FileKind("an index of weights in several files", "join them in one file")
JSON = FileKind("JSON text")
TEXT = FileKind("a text file")
TORCH = FileKind("a file of torch.save")
TORCH_SCRIPT = FileKind(
    "a TorchScript program", "load it with torch.jit.load, and save its state_dict()"
)
KERAS = FileKind("a .keras model", "load it in Keras, and save it as .h5")
NUMPY = FileKind("a NumPy file")
PICKLE = FileKind(
    "a pickle", "agns unpickles nothing, as that can run code: save its tensors alone"
)
SAFETENSORS = FileKind("a safetensors file")
MATLAB = FileKind("a .mat file of MATLAB")
HIERARCHICAL = FileKind("an HDF5 file")
ONNX = FileKind("an ONNX model", "save the weights it was made from")

IMPORTABLE = (TORCH, MATLAB, HIERARCHICAL, TEXT)
"""What `agns models import` may read; OpenFace's weights come as text."""

_SIGNATURES: tuple[tuple[int, bytes, FileKind], ...] = (
    (0, b"version https://git-lfs.github.com/", GIT_LFS),
    (0, HDF5, HIERARCHICAL),
    (0, b"MATLAB ", MATLAB),
    (0, TORCH_LEGACY, TORCH),
    (0, b"\x93NUMPY", NUMPY),
    (4, b"ftypheic", FileKind("a HEIC picture")),
    (4, b"ftypmif1", FileKind("a HEIC picture")),
    (4, b"ftyp", FileKind("a film")),
    (0, b"%PDF-", FileKind("a PDF file")),
    (0, b"GGUF", FileKind("a GGUF file")),
    (4, b"TFL3", FileKind("a TensorFlow Lite model")),
    (0, b"SQLite format 3\0", FileKind("an SQLite file")),
    (0, b"\x1f\x8b", ARCHIVE),
    (0, b"BZh", ARCHIVE),
    (0, b"\xfd7zXZ\0", ARCHIVE),
    (0, b"\x28\xb5\x2f\xfd", ARCHIVE),
    (0, b"7z\xbc\xaf\x27\x1c", ARCHIVE),
    (0, b"Rar!", ARCHIVE),
    (257, b"ustar", ARCHIVE),
)  # fmt: skip


def file_kind(path: Path) -> FileKind | None:
    """What a file is; None where its beginning does not tell.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(GLIMPSE)
    if not head:
        return EMPTY
    if not head.strip(b"\0"):
        return BLANK
    if (picture := picture_format(head)) is not None:
        return FileKind(f"{'an' if picture == 'AVIF' else 'a'} {picture} picture")
    for at, signature, kind in _SIGNATURES:
        if head[at : at + len(signature)] == signature:
            return kind
    if head[124:128] in (b"\x00\x01IM", b"\x01\x00MI"):
        return MATLAB
    if head.startswith(ZIP):
        return _archive(path)
    if is_safetensors(head):
        return SAFETENSORS
    if head[:1] == b"\x80" and 2 <= head[1] <= 5:
        return PICKLE
    if head[0] == 8 and re.search(rb"onnx|pytorch|tf2onnx", head[:64]):
        return ONNX
    return _text(head)


def is_safetensors(head: bytes) -> bool:
    """Whether a file's first bytes, nine at least, are those of safetensors."""
    # The header's length in eight bytes, then the header, a JSON object.
    return head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= 100_000_000


def _archive(path: Path) -> FileKind:
    """What a zip archive holds; one that is cut short has no list of it."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name.rpartition("/")[2] for name in archive.namelist()}
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        with path.open("rb") as file:
            torch = b"/data.pkl" in file.read(GLIMPSE)
        what = "a file of torch.save" if torch else "a zip archive"
        return FileKind(f"{what} that is cut short", "download or copy it anew")
    if "data.pkl" in names:
        return TORCH_SCRIPT if "constants.pkl" in names else TORCH
    if any(name.endswith(".npy") for name in names):
        return NUMPY
    return KERAS if "model.weights.h5" in names else ARCHIVE


def _text(head: bytes) -> FileKind | None:
    try:
        text = head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # The glimpse may end within a letter.
        if len(head) < GLIMPSE or error.start < GLIMPSE - 4:
            return None
        text = head[: error.start].decode("utf-8-sig")
    if any(ord(letter) < 32 and letter not in "\t\n\r\f\x1b" for letter in text):
        return None
    text = text.lstrip().lower()
    if re.match(r"<(!doctype html|html|head|body|script|title|!--|meta)", text):
        return PAGE
    if text.startswith("<"):
        return PAGE if "<html" in text else ANSWER
    if "annex/objects/" in text:
        return GIT_ANNEX
    if text.startswith(("{", "[")):
        return INDEX if '"weight_map"' in text else JSON
    return TEXT
