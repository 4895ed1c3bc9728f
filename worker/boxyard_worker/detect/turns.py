"""A few places, taken in turns by the tenants that wait for one."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager


class Turns:
    """So many places; however many pictures of one tenant wait, another's is next but one.

    Args:
        count: places.
    """

    def __init__(self, count: int) -> None:
        self._free = count
        self._lock = threading.Lock()
        self._waiting: dict[str, deque[threading.Event]] = {}

    @contextmanager
    def take(self, tenant: str) -> Iterator[None]:
        """Waits for a place."""
        place = threading.Event()
        with self._lock:
            self._waiting.setdefault(tenant, deque()).append(place)
            self._give()
        place.wait()
        try:
            yield
        finally:
            with self._lock:
                self._free += 1
                self._give()

    def _give(self) -> None:
        while self._free and self._waiting:
            tenant = next(iter(self._waiting))
            places = self._waiting.pop(tenant)
            places.popleft().set()
            if places:
                self._waiting[tenant] = places  # at the end: the others come first now
            self._free -= 1
