"""The open connections of one server, and which of them is closed when there are too many."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Protocol

_GRACE_S = 1.0
"""A client that has just connected is about to send its request: others are closed before it."""
_RESERVE = 64
"""Connections beyond the limit, for health checks and for answers that refuse."""


class PooledConnection(Protocol):
    """What the pool needs to know of a connection."""

    address: str
    """Of the client, without its port."""
    known: bool
    """Whether a request on it had a valid API key."""
    has_asked: bool
    """Whether a request has come on it."""

    @property
    def idle_since(self) -> float | None:
        """The `time.monotonic` since which nothing is lost for its client when it is closed."""

    def drop(self) -> None:
        """Close it at once."""


class ConnectionPool:
    """Up to `limit` connections, and a few more for health checks.

    When there are more, idle ones are closed: first those on which no valid API key was seen, of
    the address that has most of them the oldest, then the oldest of the others. One that has just
    come is closed only for a newer one, never for a request on another. When none is idle, a long
    poll is answered early.

    Args:
        limit: of connections that are served.
        end_a_wait: answers a long poll early; False when there is none.
    """

    def __init__(self, limit: int, end_a_wait: Callable[[], bool]) -> None:
        self._limit, self._end_a_wait = limit, end_a_wait
        self._open: dict[PooledConnection, None] = {}  # oldest first

    def add(self, connection: PooledConnection) -> bool:
        """Counts a new connection; False when there is no place for it, not even to refuse."""
        if len(self._open) >= self._limit:
            self._close_idle()
        self._open[connection] = None
        return len(self._open) <= self._limit + _RESERVE

    def remove(self, connection: PooledConnection) -> None:
        """Forgets a connection that is closed, or will be."""
        self._open.pop(connection, None)

    def has_room(self) -> bool:
        """Whether one more request may be served, after closing what is idle if need be."""
        if len(self._open) <= self._limit:
            return True
        # Not for a request: a client that has just connected has no other way to send one.
        return self._close_idle(keep_new=True) or self._end_a_wait()

    def _close_idle(self, *, keep_new: bool = False) -> bool:
        since = {each: moment for each in self._open if (moment := each.idle_since) is not None}
        rested = time.monotonic() - _GRACE_S
        strangers = [each for each in since if not each.known]
        settled = [each for each in strangers if each.has_asked or since[each] < rested]
        idle = settled or ([] if keep_new else strangers)
        if idle:
            ((crowded, _),) = Counter(each.address for each in idle).most_common(1)
            idle = [each for each in idle if each.address == crowded]
        else:
            idle = [each for each in since if each.known]
        # Some at once: to look through all of them for each new one would take too long.
        for each in idle[: max(1, self._limit // 100)]:
            self.remove(each)
            each.drop()
        return bool(idle)
