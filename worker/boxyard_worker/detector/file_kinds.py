"""What a file is by its first bytes, to name what was saved or passed instead of the right one.

Nothing is unpacked or unpickled here: a few bytes are compared.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

from boxyard_schemas.content import UNKNOWN, Remedy, identify, image_format, is_text
from boxyard_worker.detector.errors import DetectorLoadError

_HEAD_BYTES: Final = 4096
_MOST_HEADER_BYTES: Final = 100 << 20
"""Of safetensors: the format's own limit."""
_PICKLES: Final = (b"PK\x03\x04", b"PK\x05\x06", *(bytes((0x80, each)) for each in range(2, 6)))


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
JSON: Final = Kind("JSON text, such as a server's error message", FETCH_AGAIN)
TEXT: Final = Kind("a text, such as a server's error message", FETCH_AGAIN)
_ZEROS: Final = Kind("nothing but zeros at its beginning, as unfinished downloads", FETCH_AGAIN)
_FOLDER: Final = Kind("a folder", "Name a file in it.")
_TEXTS: Final = {
    "JSON": JSON,
    "an HTML page": Kind("an HTML page, such as a site's error or login page", FETCH_AGAIN),
    "an XML document": Kind(
        "an XML document, such as an object store's error message", FETCH_AGAIN
    ),
    "a Git LFS pointer": Kind(
        "a Git LFS pointer, not the file that it stands for",
        "Fetch the file itself: git lfs pull, in the clone that it comes from.",
    ),
}
"""By their names in the table of contents; configurations and names may begin as other texts do."""


def recognise(path: Path) -> Kind | None:
    """What a file is by its first bytes; None where they say nothing.

    Raises:
        OSError: it cannot be read.
    """
    if path.is_dir():
        return _FOLDER
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if not head.strip(b"\0"):
        return _ZEROS if head else EMPTY
    if head.startswith(_PICKLES):
        return CHECKPOINT
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= _MOST_HEADER_BYTES:
        return SAFETENSORS
    return _foreign(head)


def _foreign(head: bytes) -> Kind | None:
    content = identify(head)
    if is_text(head):
        return _TEXTS.get(content.name, TEXT)
    if kind := image_format(head):
        return Kind(f"a {kind} image", "Name another file.")
    if content is UNKNOWN:
        return None
    packed = content.remedy is Remedy.UNPACK
    advice = "Unpack it, and name the file that was packed." if packed else "Name another file."
    return Kind(content.name, advice)


def refuse_foreign(path: Path, what: str, *wanted: Kind) -> None:
    """Refuses a file whose first bytes say that it is something else.

    Args:
        path: the file.
        what: what it should be, such as `The weights`.
        wanted: the kinds that it may be.

    Raises:
        DetectorLoadError: says what it is.
        OSError: it cannot be read.
    """
    kind = recognise(path)
    if kind and kind not in wanted:
        raise DetectorLoadError(
            f"{what} {path.name} cannot be read: it is {kind.what}.", _advice(kind, what)
        )


def _advice(kind: Kind, what: str) -> str:
    return kind.advice or f"{what} must be another file; this one is for `boxyard-worker convert`."
