"""What a file is, by its first bytes: whether agns reads it as a picture, or what else it is."""

import re
import zlib
from pathlib import Path
from typing import BinaryIO

HEAD = 512
"""Bytes at the beginning of a file that tell what it is."""

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
_ARCHIVE = "an archive: unpack it"
_RAW = "a camera's raw file, which agns does not read: develop it to JPEG or PNG"
_VIDEO = "a video: save single pictures of it as JPEG or PNG"
_UNREAD = "which agns does not read: save it as JPEG or PNG"
_OTHERS = {
    b"\xff\x0a": f"JPEG XL, {_UNREAD}",
    b"\0\0\0\x0cJXL ": f"JPEG XL, {_UNREAD}",
    b"8BPS": f"a Photoshop file, {_UNREAD}",
    b"\0\0\1\0": f"an icon, {_UNREAD}",
    b"%!PS": f"PostScript, {_UNREAD}",
    b"%PDF": f"a PDF file, {_UNREAD}",
    b"FUJIFILMCCD-RAW": _RAW,
    b"IIRO": _RAW,
    b"IIRS": _RAW,
    b"IIU\0": _RAW,
    b"\x1aE\xdf\xa3": _VIDEO,
    b"\0\0\1\xba": _VIDEO,
    b"\0\0\1\xb3": _VIDEO,
    b"PK\3\4": _ARCHIVE,
    b"\x1f\x8b": _ARCHIVE,
    b"7z\xbc\xaf": _ARCHIVE,
    b"Rar!": _ARCHIVE,
    b"BZh": _ARCHIVE,
    b"\xfd7zXZ": _ARCHIVE,
    b"version https://git-lfs": "a pointer of Git LFS: fetch the file itself with git lfs pull",
    b"\0\5\x16\7": "what macOS keeps beside a file on other systems",
    b"\x93NUMPY": f"a NumPy array, {_UNREAD}",
}
_HEIC = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
_CONTROLS = bytes(code for code in range(32) if code not in b"\t\n\r\f\x1b")


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
    if head.startswith(b"BM") and head[14:18] in {bytes([n, 0, 0, 0]) for n in _BMP_HEADERS}:
        return "BMP"
    return "PNM" if re.match(rb"P[1-6]\s+[\d#]", head) else None


_BMP_HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)


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
    if not head:
        return "an empty file"
    for magic, words in _OTHERS.items():
        if head.startswith(magic):
            return words
    brands = _brands(head)
    if brands & _HEIC:
        return f"HEIC, {_UNREAD}"
    if b"crx " in brands or name.lower().endswith(_RAW_ENDINGS) or head[8:10] == b"CR":
        return _RAW
    video = head.startswith(b"RIFF") and head[8:12] == b"AVI "
    if video or brands or head[4:8] in (b"moov", b"mdat", b"wide"):
        return _VIDEO
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<body")) or b"<html" in start:
        return "a web page: save the picture itself"
    if b"<svg" in start:
        return f"a drawing in SVG, {_UNREAD}"
    if not head.strip(b"\0"):
        return "zeros alone, as an incomplete download leaves: fetch it again"
    if not set(head) & set(_CONTROLS):
        return "text, no picture"
    return "of no format that agns reads"


def read_head(path: Path) -> bytes:
    """The first bytes of a file.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        return file.read(HEAD)


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
