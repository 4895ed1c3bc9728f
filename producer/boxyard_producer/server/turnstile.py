"""When requests of clients that showed no valid API key may begin."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from contextvars import Context

_PAUSE_S = 0.001
"""Between two such requests; one takes half of it or less."""


class Turnstile:
    """Lets requests begin one at a time, a pause after each, and serves holders in rotation.

    All requests share the event loop: each that has begun delays every step of the others. One
    that waits here costs nothing. A semaphore would not do in place of the pause: a client that
    does not read its answer would keep its turn.
    """

    def __init__(self) -> None:
        self._waiting = OrderedDict[str, dict[Callable[[], None], None]]()
        """By holder, the next one first; of each holder, who came first is first."""
        self._timer: asyncio.TimerHandle | None = None

    def enter(self, holder: str, begin: Callable[[], None]) -> bool:
        """Whether a request may begin at once; otherwise `begin` is called when it may."""
        if self._timer is None:
            self._pause()
            return True
        self._waiting.setdefault(holder, {})[begin] = None
        return False

    def leave(self, holder: str, begin: Callable[[], None]) -> None:
        """Forgets a request that may be waiting: its connection is closed."""
        if waiting := self._waiting.get(holder):
            waiting.pop(begin, None)
            if not waiting:
                del self._waiting[holder]

    def _pause(self) -> None:
        # What the request in hand has bound to its context must not reach others.
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(_PAUSE_S, self._let_in, context=Context())

    def _let_in(self) -> None:
        if not self._waiting:
            self._timer = None
            return
        holder, waiting = self._waiting.popitem(last=False)
        begin = next(iter(waiting))
        del waiting[begin]
        if waiting:
            self._waiting[holder] = waiting
        self._pause()
        begin()
