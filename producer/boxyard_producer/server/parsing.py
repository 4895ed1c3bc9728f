"""HTTP/1.1 requests, parsed a little at a time and within limits."""

from __future__ import annotations

import re
from collections.abc import Callable

import h11

from boxyard_schemas.errors import RequestError

HEAD_BYTES = 16 * 2**10
HEAD_LINES = 100
"""Of a head, and of the trailer that may follow a chunked body."""
HEAD_PARTS = 500
"""Query parameters, cookies and other list members that one head may have."""
FREE_CHUNKS = 1024
"""Chunks that a body may have whatever it holds."""
CHUNK_BYTES = 256
"""Bytes that each further chunk has to bring on average."""

_PIECE = 8 * 2**10
"""Bytes for h11 at once: it parses a trailer of any length in one step."""
_STEPS = 16
"""Events before other connections get their turn; each takes about 10 µs."""
_BLANK_LINE = re.compile(rb"\n\r?\n")
_SEPARATORS = (b"&", b";", b",")


class RequestParser(h11.Connection):
    """h11's parser, with limits on the work that a client can cause.

    uvicorn handles all events that its parser has before it returns to the event loop, and 256 kB
    hold 40,000 chunks. So this one reports that it needs data after some events; when it `has_more`
    its owner calls it again later. What is over a limit is kept as the `refusal`, and nothing more
    is parsed: a head raises, so that uvicorn answers it; a body is left to the application, which
    may have begun to answer.

    Args:
        may_begin: whether a request with this head may be parsed now; asked again on the next call.
    """

    def __init__(self, may_begin: Callable[[bytes], bool]) -> None:
        super().__init__(h11.SERVER, HEAD_BYTES)
        self._may_begin = may_begin
        self._unread = bytearray()
        self._steps = self._chunks = self._size = 0
        self.refusal: RequestError | None = None

    @property
    def has_more(self) -> bool:
        """Whether it stopped for the sake of other connections."""
        return self._steps >= _STEPS and self.refusal is None

    def begin_turn(self) -> None:
        """Allows some more events."""
        self._steps = 0

    def receive_data(self, data: bytes) -> None:
        """Takes bytes; they are parsed as events are asked for."""
        self._unread += data

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """The next event within the limits.

        Raises:
            h11.RemoteProtocolError: this is no HTTP, or a head over a limit.
        """
        while self.refusal is None and not self.has_more:
            if self.their_state is h11.IDLE and not self._check_head():
                break
            event = super().next_event()
            if event is h11.NEED_DATA:
                self._check_trailer()
                if self._unread:
                    super().receive_data(bytes(self._unread[:_PIECE]))
                    del self._unread[:_PIECE]
                    continue
            elif isinstance(event, h11.Request):
                self._chunks = self._size = 0
            elif isinstance(event, h11.Data):
                self._check_chunks(event)
            self._steps += 1
            return event
        return h11.NEED_DATA

    def _check_head(self) -> bool:
        """Whether to go on: not while a head is complete and its request may not begin."""
        data, _ = self.trailing_data
        blank = _BLANK_LINE.search(data)
        head = data[: blank.end()] if blank else data
        if len(head) > HEAD_BYTES:
            self._refuse_head(f"more than {HEAD_BYTES} bytes")
        if head.count(b"\n") > HEAD_LINES:
            self._refuse_head(f"more than {HEAD_LINES} lines")
        if sum(map(head.count, _SEPARATORS)) > HEAD_PARTS:
            self._refuse_head(f"more than {HEAD_PARTS} query parameters and list members")
        return blank is None or self._may_begin(head)

    def _refuse_head(self, why: str) -> None:
        self.refusal = RequestError(f"The request line and headers have {why}.")
        raise h11.RemoteProtocolError(self.refusal.detail)

    def _check_chunks(self, data: h11.Data) -> None:
        self._chunks += data.chunk_start
        self._size += len(data.data)
        if self._chunks > FREE_CHUNKS + self._size // CHUNK_BYTES:
            self._refuse_body(
                f"has {self._chunks} chunks in its first {self._size} bytes: send chunks of "
                f"{CHUNK_BYTES} bytes or more"
            )

    def _check_trailer(self) -> None:
        # What h11 leaves of a body unparsed is part of a chunk's frame, or of the trailer.
        if self.their_state is h11.SEND_BODY:
            data, _ = self.trailing_data
            if data.count(b"\n") > HEAD_LINES:
                self._refuse_body(f"ends with a trailer of more than {HEAD_LINES} lines")

    def _refuse_body(self, why: str) -> None:
        self.refusal = RequestError(f"The body {why}.")
        self._unread.clear()
