"""What a file is by its first bytes, to name what was saved or passed instead of the right one.

Nothing is unpacked or unpickled here: a few bytes are compared.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, NamedTuple

from boxyard_worker.detector.errors import DetectorLoadError

_HEAD_BYTES: Final = 4096
_MOST_HEADER_BYTES: Final = 100 << 20
"""Of safetensors: the format's own limit."""


class Kind(NamedTuple):
    """What a file is, and what to do about it."""

    what: str
    advice: str


FETCH_AGAIN: Final = "Download it again, and check its address and your access to it."

CHECKPOINT: Final = Kind("a PyTorch checkpoint", "")
SAFETENSORS: Final = Kind(
    "safetensors already", "Give it the suffix .safetensors and serve it by --weights FILE."
)
EMPTY: Final = Kind("empty", FETCH_AGAIN)
_ZEROS: Final = Kind("nothing but zeros", FETCH_AGAIN)
_FOLDER: Final = Kind("a folder", "Name a file in it.")
_POINTER: Final = Kind(
    "a Git LFS pointer, not the file that it stands for",
    "Fetch the file itself: git lfs pull, in the clone that it comes from.",
)
_HTML: Final = Kind("an HTML page, such as a site's error or login page", FETCH_AGAIN)
_XML: Final = Kind("an XML document, such as an object store's error message", FETCH_AGAIN)
JSON: Final = Kind("JSON text, such as a server's error message", FETCH_AGAIN)

_MAGIC: Final = {
    b"\x1f\x8b": "compressed by gzip",
    b"BZh": "compressed by bzip2",
    b"\xfd7zXZ": "compressed by xz",
    b"\x28\xb5\x2f\xfd": "compressed by Zstandard",
    b"7z\xbc\xaf": "a 7z archive",
    b"Rar!": "a RAR archive",
}
_FOREIGN: Final = {
    b"\x89HDF\r\n": "an HDF5 file",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"%PDF": "a PDF document",
    b"GGUF": "a GGUF file",
    b"\x7fELF": "a program",
}
_MARKUP: Final = re.compile(rb"\s*(<!doctype html|<html|<head|<body|<script|<\?xml|<error)", re.I)


def recognise(path: Path) -> Kind | None:
    """What a file is by its first bytes; None where they say nothing, as of text.

    Raises:
        OSError: it cannot be read.
    """
    if path.is_dir():
        return _FOLDER
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if not head.strip(b"\0"):
        return _ZEROS if head else EMPTY
    return _by_magic(head) or _by_text(head)


def refuse_foreign(path: Path, what: str, but: Kind | None = None) -> None:
    """Refuses a file whose first bytes say that it is something else.

    Args:
        path: the file.
        what: what it should be, such as `The weights`.
        but: the kind that is wanted.

    Raises:
        DetectorLoadError: says what it is.
        OSError: it cannot be read.
    """
    kind = recognise(path)
    if kind and kind is not but:
        raise DetectorLoadError(
            f"{what} {path.name} cannot be read: it is {kind.what}.", _advice(kind, what)
        )


def _advice(kind: Kind, what: str) -> str:
    return kind.advice or f"{what} must be another file; this one is for `boxyard-worker convert`."


def _by_magic(head: bytes) -> Kind | None:
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06", b"\x80\x02", b"\x80\x03", b"\x80\x04")):
        return CHECKPOINT
    for magic, what in _MAGIC.items():
        if head.startswith(magic):
            return Kind(what, "Unpack it, and name the file that was packed.")
    for magic, what in _FOREIGN.items():
        if head.startswith(magic):
            return Kind(what, "Name another file.")
    if head[257:262] == b"ustar":
        return Kind("a tar archive", "Unpack it, and name the file that was packed.")
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= _MOST_HEADER_BYTES:
        return SAFETENSORS
    return None


def _by_text(head: bytes) -> Kind | None:
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(b"version https://git-lfs"):
        return _POINTER
    if markup := _MARKUP.match(text):
        return _XML if markup[1].lower() in (b"<?xml", b"<error") else _HTML
    if text.startswith((b'{"', b"{\n", b"{\r", b"{ ", b"[{", b"{}")):
        return JSON
    return None
