"""Turns: a bound on what each of several holders does at once."""

from __future__ import annotations

import asyncio
from weakref import WeakValueDictionary


class Turns:
    """Lets each holder do so many things at once; the rest wait, and delay no other holder.

    Threads are shared by all, first come first served. A tenant that asks for a thousand things at
    once would otherwise have a thousand of them in front of the next tenant's first.
    """

    def __init__(self, each: int) -> None:
        self._each = each
        self._semaphores = WeakValueDictionary[str, asyncio.Semaphore]()

    def of(self, holder: str) -> asyncio.Semaphore:
        """One of the holder's turns, as an asynchronous context."""
        return self._semaphores.setdefault(holder, asyncio.Semaphore(self._each))
