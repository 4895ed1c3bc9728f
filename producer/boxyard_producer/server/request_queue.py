"""When requests of clients that showed no valid API key may begin."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable


class RequestQueue:
    """Lets one request begin in each pass of the event loop, and serves holders in rotation.

    All requests share the loop: each that has begun delays every step of the others, while one
    that waits here costs nothing. A semaphore would not do: a client that does not read its answer
    would keep its turn.
    """

    def __init__(self) -> None:
        self._waiting = OrderedDict[str, dict[Callable[[], None], None]]()
        """By holder, the next one first; of each holder, who came first is first."""
        self._next_pass: asyncio.Handle | None = None

    def enter(self, holder: str, begin: Callable[[], None]) -> bool:
        """Whether a request may begin at once; otherwise `begin` is called when it may."""
        if self._next_pass is None:
            self._await_pass()
            return True
        self._waiting.setdefault(holder, {})[begin] = None
        return False

    def leave(self, holder: str, begin: Callable[[], None]) -> None:
        """Forgets a request that may be waiting: its connection is closed."""
        if waiting := self._waiting.get(holder):
            waiting.pop(begin, None)
            if not waiting:
                del self._waiting[holder]

    def _await_pass(self) -> None:
        self._next_pass = asyncio.get_running_loop().call_soon(self._let_in)

    def _let_in(self) -> None:
        if not self._waiting:
            self._next_pass = None
            return
        holder, waiting = self._waiting.popitem(last=False)
        begin = next(iter(waiting))
        del waiting[begin]
        if waiting:
            self._waiting[holder] = waiting
        self._await_pass()
        begin()
