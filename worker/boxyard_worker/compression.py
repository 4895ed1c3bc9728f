"""Images that are stored or sent compressed, wherever they come from.

What the bytes are decides: `Content-Encoding` is often wrong. Uploaders store `utf-8`, `base64` or
`aws-chunked` there, servers declare gzip for what they did not compress and say nothing of what
they did. Raw deflate has no beginning of its own: it is known by the image in it.
"""

from __future__ import annotations

import zlib
from contextlib import suppress

from boxyard_schemas.content import TEXT, UNKNOWN, identify, image_format
from boxyard_schemas.errors import Permanent, Retryable

_ANY_HEADER = 32 + zlib.MAX_WBITS  # zlib tells gzip and its own format apart
_GZIP = b"\x1f\x8b"
_ZLIB = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")
_UNREAD = frozenset({"br", "brotli", "zstd", "compress", "x-compress", "dcb", "dcz"})
_UNTOLD = (UNKNOWN, TEXT)
_LAYERS = 3
_MEMBERS = 1000
"""Of one gzip file: each costs time, however little it holds."""
_PIECE = 64 * 2**10
_SHOWS_FORMAT = 64
"""Bytes that show whether an image begins there."""


def decompressed(data: bytes, max_bytes: int, encoding: str = "") -> bytes:
    """The bytes without the compression that they have.

    Args:
        data: as they came.
        max_bytes: cap on the decoded bytes.
        encoding: the value of `Content-Encoding`, to name what is unknown.

    Raises:
        Permanent: `too-large`, or `fetch-encoding` for a compression that is not read.
        Retryable: the compressed bytes break off or are damaged.
    """
    for _ in range(_LAYERS):
        if image_format(data) or not (form := _form(data)):
            break
        try:
            data = _inflate(data, max_bytes, form)
        except zlib.error as error:
            if not data.startswith(_GZIP):
                break  # a text may begin as zlib's format does
            raise Retryable("fetch-failed", "the gzip data is damaged") from error
    tokens = {token.strip().lower() for token in encoding.split(",")}
    if (unread := tokens & _UNREAD) and not image_format(data) and identify(data) in _UNTOLD:
        raise Permanent(
            "fetch-encoding",
            f"the image is compressed by {unread.pop()}, which is not read. Store it as it is, or "
            "compressed by gzip.",
        )
    return data


def _form(data: bytes) -> int:
    """How zlib calls the form of the compressed data; 0 where they are not compressed."""
    if data.startswith((_GZIP, *_ZLIB)):
        return _ANY_HEADER
    for form in (zlib.MAX_WBITS, -zlib.MAX_WBITS):
        with suppress(zlib.error):
            head = zlib.decompressobj(form).decompress(data[:_PIECE], _SHOWS_FORMAT)
            if image_format(head):
                return form
    return 0


def _inflate(data: bytes, max_bytes: int, form: int) -> bytes:
    body, rest = bytearray(), memoryview(data)
    for _ in range(_MEMBERS):
        decoder = zlib.decompressobj(form)
        while rest and not decoder.eof:
            piece = rest[:_PIECE]
            # One byte past the cap tells a body that fits from a bomb; the rest is never made.
            body += decoder.decompress(piece, max_bytes - len(body) + 1)
            check_size(len(body), max_bytes)
            rest = rest[len(piece) - len(decoder.unused_data) :]
        if not decoder.eof:
            raise Retryable("fetch-failed", "the compressed image breaks off")
        if rest[:2] != _GZIP:
            return bytes(body)
    raise Permanent("fetch-encoding", f"the gzip file has more than {_MEMBERS} members")


def check_size(size: int, max_bytes: int) -> None:
    """Refuses what is over the cap.

    Raises:
        Permanent: `too-large`.
    """
    if size > max_bytes:
        raise Permanent("too-large", f"the image is larger than {max_bytes} bytes")
