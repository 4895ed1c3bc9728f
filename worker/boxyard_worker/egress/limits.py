"""What an answer may cost: bytes, and steps of this process that it makes necessary.

A deadline alone does not hold a server that sends much that means little: interim responses
without end, headers, chunks of a byte each. Reading those takes a core, which the requests of
others share. So each answer has limits, counted where its bytes come in.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import httpcore

HEAD_BYTES = 32 * 2**10
"""Of all heads together, interim responses included."""
HEAD_LINES = 256
INTERIM_RESPONSES = 8
FREE_STEPS = 128
"""Reads, and chunks, that an answer may have whatever it holds."""
STEP_BYTES = 256
"""Bytes that each further read or chunk has to bring on average: networks bring 500 and more."""

_LARGEST_READ = 64 * 2**10
_BLANK_LINE = re.compile(rb"\n\r?\n")
_INTERIM = re.compile(rb"HTTP/\d\.\d 1")


class TooCostly(httpcore.RemoteProtocolError):
    """The answer takes more work than its content is worth."""


class AnswerLimits:
    """Counts what one answer costs.

    Args:
        max_bytes: of its body; framing may add an eighth.
    """

    def __init__(self, max_bytes: int) -> None:
        # A read beyond the cap is for the caller to see: it says `too-large`.
        self._max_bytes = HEAD_BYTES + max_bytes + max_bytes // 8 + _LARGEST_READ
        self._bytes = self._reads = self._interim = 0
        self._head: bytearray | None = bytearray()

    def piece(self, wanted: int) -> int:
        """Bytes to read next: few as long as they may all be headers."""
        return wanted if self._head is None else min(wanted, HEAD_BYTES)

    def received(self, data: bytes) -> None:
        """Counts what was read, before anything is made of it.

        Raises:
            TooCostly: it is over a limit.
        """
        self._bytes += len(data)
        self._reads += 1
        _check(self._bytes <= self._max_bytes, f"it has more than {self._max_bytes} bytes")
        _check(_worth(self._reads, self._bytes), "it comes in too many small pieces")
        if self._head is not None:
            self._head += data
            self._read_heads(self._head)

    def chunks(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """The body's chunks.

        Raises:
            TooCostly: they are too many for what they hold.
        """
        size = 0
        for count, chunk in enumerate(chunks, 1):
            size += len(chunk)
            _check(_worth(count, size), "it has too many small chunks")
            yield chunk

    def _read_heads(self, head: bytearray) -> None:
        while end := _BLANK_LINE.search(head):
            _check(head.count(b"\n", 0, end.end()) <= HEAD_LINES, "it has too many headers")
            if not _INTERIM.match(head):
                self._head = None
                return
            self._interim += 1
            _check(self._interim <= INTERIM_RESPONSES, "it has too many interim responses")
            del head[: end.end()]
        _check(self._bytes < HEAD_BYTES, f"its headers have more than {HEAD_BYTES} bytes")


def _worth(steps: int, size: int) -> bool:
    return steps <= FREE_STEPS + size // STEP_BYTES


def _check(fits: bool, why: str) -> None:
    if not fits:
        raise TooCostly(f"the answer was given up: {why}")


_limits: ContextVar[AnswerLimits] = ContextVar("limits of the answer that this thread reads")


@contextmanager
def limited_to(max_bytes: int) -> Iterator[AnswerLimits]:
    """Limits for the one answer that is read inside, on this thread."""
    limits = AnswerLimits(max_bytes)
    token = _limits.set(limits)
    try:
        yield limits
    finally:
        _limits.reset(token)


def current() -> AnswerLimits:
    """The limits of the answer that this thread reads."""
    return _limits.get()
