"""What a file is, told from its first bytes whatever its name: a picture, or something else.

For sentences that refuse files: `describe` where pictures are expected, `file_kind` elsewhere.
"""

import re
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

HEAD = 512
"""Bytes at the beginning of a file that tell what picture it is."""

GLIMPSE = 4096
"""Bytes that are looked at where other files are expected."""

FORMATS = {
    "JPEG": "JPEG", "PNG": "PNG", "BMP": "BMP", "GIF": "GIF", "PPM": "PNM", "TIFF": "TIFF",
    "WEBP": "WebP", "JPEG2000": "JPEG 2000", "AVIF": "AVIF",
}  # fmt: skip
"""The formats that are read, by Pillow's name, with their usual one. Formats that Pillow opens by
running other programs (EPS), or that cannot be told by their content, are not among them."""

ENDINGS = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".avif", ".tif", ".tiff",
    ".bmp", ".dib", ".gif", ".jp2", ".j2k", ".jpx", ".jpf", ".ppm", ".pgm", ".pbm", ".pnm",
)  # fmt: skip
"""File endings, in lower case, of pictures that are read; others are known by their content."""

_RAW_ENDINGS = (
    ".dng", ".nef", ".nrw", ".arw", ".sr2", ".cr2", ".cr3", ".pef", ".orf", ".rw2", ".raf", ".srw",
)  # fmt: skip
_MAGIC = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
    b"\0\0\0\x0cjP  \r\n\x87\n": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
}
_BMP_HEADERS = [bytes([size, 0, 0, 0]) for size in (12, 16, 40, 52, 56, 64, 108, 124)]
_HEIC = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}

ZIP = b"PK\x03\x04"
TORCH_LEGACY = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
"""How `torch.save` began before it wrote zip archives: a pickle of 0x1950A86A20F9469CFC6C."""

HDF5 = b"\x89HDF\r\n\x1a\n"
"""MATLAB's 7.3 files have it behind a header of their own."""


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


_DESCRIBE = "say in a description how it takes faces (docs/how-to/foreign-networks.md)"
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
TORCH_SCRIPT = FileKind("a TorchScript program", _DESCRIBE)
KERAS = FileKind("a .keras model", "load it in Keras, and save it as .h5")
NUMPY = FileKind("a NumPy file")
PICKLE = FileKind(
    "a pickle", "agns unpickles nothing, as that can run code: save its tensors alone"
)
SAFETENSORS = FileKind("a safetensors file")
MATLAB = FileKind("a .mat file of MATLAB")
HIERARCHICAL = FileKind("an HDF5 file")
RAW = FileKind("a camera's raw file")
VIDEO = FileKind("a video")
HEIC = FileKind("HEIC")
SVG = FileKind("a drawing in SVG")
ONNX = FileKind("an ONNX model", _DESCRIBE)
TFLITE = FileKind("a TensorFlow Lite model", _DESCRIBE)
EXPORTED = FileKind("a network of torch.export", _DESCRIBE)

IMPORTABLE = (TORCH, MATLAB, HIERARCHICAL, TEXT)
"""What `agns models import` may read; OpenFace's weights come as text."""

_SIGNATURES = (
    (GIT_LFS, rb"version https://git-lfs"),
    (HIERARCHICAL, re.escape(HDF5)),
    (MATLAB, rb"MATLAB |.{124}(\0\x01IM|\x01\0MI)"),
    (TORCH, re.escape(TORCH_LEGACY)),
    (NUMPY, rb"\x93NUMPY"),
    (FileKind("a PDF file"), rb"%PDF"),
    (FileKind("a GGUF file"), rb"GGUF"),
    (TFLITE, rb".{4}TFL3"),
    (FileKind("an SQLite file"), rb"SQLite format 3\0"),
    (FileKind("JPEG XL"), rb"\xff\x0a|\0\0\0\x0cJXL "),
    (FileKind("a Photoshop file"), rb"8BPS"),
    (FileKind("an icon"), rb"\0\0\x01\0"),
    (FileKind("PostScript"), rb"%!PS"),
    (FileKind("what macOS keeps beside a file", "name the file itself"), rb"\0\x05\x16\x07"),
    (RAW, rb"FUJIFILMCCD-RAW|IIRO|IIRS|IIU\0|.{8}CR"),
    (VIDEO, rb"\x1aE\xdf\xa3|\0\0\x01[\xba\xb3]|RIFF.{4}AVI |.{4}(moov|mdat|wide)"),
    (ARCHIVE, rb"PK\x03\x04|\x1f\x8b|BZh|\xfd7zXZ|\x28\xb5\x2f\xfd|7z\xbc\xaf|Rar!|.{257}ustar"),
    (PICKLE, rb"\x80[\x02-\x05]"),
    # Its version, then another of its fields.
    (ONNX, rb"\x08[\x01-\x1f][\x12\x1a\x22\x28\x32\x3a\x42]"),
)
"""What a file begins with, as a regular expression; the first that matches counts."""


def picture_format(head: bytes, name: str = "") -> str | None:
    """The format of a picture that agns reads; None if it is none.

    Args:
        head: The first `HEAD` bytes of a file.
        name: The file's; by it alone raw files of cameras are told from TIFF.
    """
    if name.lower().endswith(_RAW_ENDINGS) or head[8:10] == b"CR":
        return None
    for magic, kind in _MAGIC.items():
        if head.startswith(magic):
            return kind
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "WebP"
    if _brands(head) & {b"avif", b"avis"}:
        return "AVIF"
    # Two letters alone may begin a text.
    if head.startswith(b"BM") and head[14:18] in _BMP_HEADERS:
        return "BMP"
    return "PNM" if re.match(rb"P[1-6]\s+[\d#]", head) else None


def _brands(head: bytes) -> set[bytes]:
    """What a file of the ISO family (ISO/IEC 14496-12) says that it is compatible with."""
    if head[4:8] != b"ftyp":
        return set()
    box = head[8 : min(int.from_bytes(head[:4], "big"), HEAD)]
    return {box[at : at + 4] for at in range(0, len(box) - 3, 4) if at != 4}


def describe(head: bytes, name: str = "") -> str:
    """Say what a file is that agns does not read as a picture, and what to do about it.

    Args:
        head: The first `HEAD` bytes of a file.
        name: The file's.

    Returns:
        Words that go on after "it is".
    """
    kind = RAW if name.lower().endswith(_RAW_ENDINGS) and head else _kind(head)
    if kind is None:
        return "of no format that agns reads"
    if kind in (TEXT, JSON, INDEX):
        return f"{kind.words}, no picture"
    way_out = {RAW: "develop it to", VIDEO: "save single pictures of it as"}.get(kind, "save it as")
    return str(kind) if kind.advice else f"{kind}, which agns does not read: {way_out} JPEG or PNG"


def file_kind(path: Path) -> FileKind | None:
    """What a file is; None where its beginning does not tell.

    Raises:
        OSError: It cannot be read.
    """
    head = read_head(path, GLIMPSE)
    if (picture := picture_format(head)) is not None:
        return FileKind(f"{'an' if picture == 'AVIF' else 'a'} {picture} picture")
    return _archive(path) if head.startswith(ZIP) else _kind(head)


def _kind(head: bytes) -> FileKind | None:
    if not head:
        return EMPTY
    if not head.strip(b"\0"):
        return BLANK
    # First, since the length that its header begins with may be any signature of a few bytes.
    if is_safetensors(head):
        return SAFETENSORS
    for kind, beginning in _SIGNATURES:
        if re.match(beginning, head, re.DOTALL):
            return kind
    if brands := _brands(head):
        return HEIC if brands & _HEIC else RAW if b"crx " in brands else VIDEO
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
    if "archive_format" in names:
        return EXPORTED
    return KERAS if "model.weights.h5" in names else ARCHIVE


def _text(head: bytes) -> FileKind | None:
    try:
        text = head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # The head may end within a letter.
        if len(head) < HEAD or error.start < len(head) - 4:
            return None
        text = head[: error.start].decode("utf-8-sig")
    if any(ord(letter) < 32 and letter not in "\t\n\r\f\x1b" for letter in text):
        return None
    text = text.lstrip().lower()
    if re.match(r"<(!doctype html|html|head|body|script|title|!--|meta)", text):
        return PAGE
    if "<svg" in text:
        return SVG
    if text.startswith("<"):
        return PAGE if "<html" in text else ANSWER
    if "annex/objects/" in text:
        return GIT_ANNEX
    if text.startswith(("{", "[")):
        return INDEX if '"weight_map"' in text else JSON
    return TEXT


def read_head(path: Path, size: int = HEAD) -> bytes:
    """The first bytes of a file.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        return file.read(size)


def png_damage(file: BinaryIO) -> str | None:
    """What is wrong with the chunks of a PNG file (ISO/IEC 15948, section 5); None if nothing."""
    file.seek(8)
    while True:
        head = file.read(8)
        length, kind = int.from_bytes(head[:4], "big"), head[4:]
        body = file.read(length) if len(head) == 8 else b""
        check = file.read(4)
        if len(head) < 8 or len(body) < length or len(check) < 4:
            return "it ends too early"
        if zlib.crc32(kind + body) != int.from_bytes(check, "big"):
            return f"the checksum of its {kind.decode('latin-1')} part is wrong"
        if kind == b"IEND":
            return None
