"""Reads an answer's body under a cap that holds before and after decompression."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

from boxyard_schemas.errors import Permanent, Retryable

_ANY_HEADER = 32 + zlib.MAX_WBITS  # zlib tells gzip and deflate apart by their first bytes


def read_body(chunks: Iterable[bytes], encoding: str, max_bytes: int) -> bytes:
    """The whole body, decoded.

    Args:
        chunks: the bytes as they come.
        encoding: value of `Content-Encoding`.
        max_bytes: cap on the raw and on the decoded bytes.

    Raises:
        Permanent: `too-large`, or `fetch-encoding` for one that nobody asked for.
        Retryable: the compressed body breaks off or is damaged.
    """
    if encoding in ("", "identity"):
        return _gather(chunks, max_bytes)
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise Permanent("fetch-encoding", f"the answer is encoded as {encoding[:40]!r}")
    try:
        return _inflate(chunks, max_bytes)
    except zlib.error as error:
        raise Retryable("fetch-failed", f"the compressed answer is damaged: {error}") from error


def _gather(chunks: Iterable[bytes], max_bytes: int) -> bytes:
    body = bytearray()
    for chunk in chunks:
        body += chunk
        check_size(len(body), max_bytes)
    return bytes(body)


def _inflate(chunks: Iterable[bytes], max_bytes: int) -> bytes:
    decoder, body, raw = zlib.decompressobj(_ANY_HEADER), bytearray(), 0
    for chunk in chunks:
        raw += len(chunk)
        # One byte past the cap tells a body that fits from a bomb; the rest is never made.
        body += decoder.decompress(chunk, max_bytes - len(body) + 1)
        check_size(max(raw, len(body)), max_bytes)
    if not decoder.eof:
        raise Retryable("fetch-failed", "the compressed answer breaks off")
    return bytes(body)


def check_size(size: int, max_bytes: int) -> None:
    """Refuses what is over the cap.

    Raises:
        Permanent: `too-large`.
    """
    if size > max_bytes:
        raise Permanent("too-large", f"the answer is larger than {max_bytes} bytes")
