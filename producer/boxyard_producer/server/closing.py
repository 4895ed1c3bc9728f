"""Closing a connection without losing the answer that was written last.

A socket that is closed while bytes of its client are unread is reset, and the client may never see
the answer: RFC 9112, section 9.6. So the server first says that it will write no more, and reads
on for a while.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

_TICK_S = 2.0
_LEAST_BYTES = 16 * 2**10
"""Of a body, in one tick: who sends more slowly is not waited for."""
_TICKS = 30
_MOST_BYTES = 128 * 2**20


class GracefulTransport(asyncio.Transport):
    """A transport whose `close` reads and discards the rest of what the client sends.

    Args:
        transport: asyncio's.
        is_sending: says whether the client may be in the middle of a request.
    """

    def __init__(self, transport: asyncio.Transport, is_sending: Callable[[], bool]) -> None:
        super().__init__()
        self._transport, self._is_sending = transport, is_sending
        self._closing = self._is_paused = self._is_held = False
        self._ticks = self._discarded = self._lately = 0
        self._timer: asyncio.TimerHandle | None = None

    def close(self) -> None:
        """Closes the connection once all is written and, within bounds, all is read."""
        if self.is_closing():
            return
        self._closing = True
        if not self._is_sending():
            self._transport.close()
        else:
            try:
                if self._transport.can_write_eof():
                    self._transport.write_eof()
            except OSError:  # the client has gone
                self.abort()
                return
            self._transport.resume_reading()
        self._timer = asyncio.get_running_loop().call_later(_TICK_S, self._tick)

    def discard(self, size: int) -> None:
        """Counts bytes that came after `close`."""
        self._discarded += size
        self._lately += size
        if self._discarded > _MOST_BYTES:
            self.abort()

    def abort(self) -> None:
        """Closes the connection at once; what is not written is lost."""
        self._closing = True
        self.forget()
        self._transport.abort()

    def forget(self) -> None:
        """Stops the timer: the connection is closed."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def is_closing(self) -> bool:
        """Whether no more requests are read."""
        return self._closing or self._transport.is_closing()

    def _tick(self) -> None:
        self._ticks += 1
        is_writing = self._transport.get_write_buffer_size() > 0
        if self._ticks >= _TICKS or (self._lately < _LEAST_BYTES and not is_writing):
            self.abort()
            return
        self._lately = 0
        self._timer = asyncio.get_running_loop().call_later(_TICK_S, self._tick)

    # The rest is asyncio's.

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Writes unless the connection is closing."""
        if not self.is_closing():
            self._transport.write(data)

    def pause_reading(self) -> None:
        """Reads no more for now; what comes after `close` is always read."""
        self._is_paused = True
        self._apply_pauses()

    def resume_reading(self) -> None:
        """Reads on, unless it is held."""
        self._is_paused = False
        self._apply_pauses()

    def hold(self, is_held: bool) -> None:
        """Reads no more while it is held: what was read before is yet to be parsed."""
        self._is_held = is_held
        self._apply_pauses()

    def _apply_pauses(self) -> None:
        if self.is_closing():
            return
        if self._is_paused or self._is_held:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def get_write_buffer_size(self) -> int:
        """Bytes that are not written yet."""
        return self._transport.get_write_buffer_size()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """What asyncio knows of the connection."""
        return self._transport.get_extra_info(name, default)
