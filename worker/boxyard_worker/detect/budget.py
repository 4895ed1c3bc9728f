"""Memory, shared out: who wants more than is left waits for its turn."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from boxyard_schemas.errors import Permanent


class Share:
    """What one holder has of a budget, in bytes."""

    def __init__(self, budget: Budget, size: int) -> None:
        self._budget = budget
        self.size = size

    def shrink(self, size: int) -> None:
        """Gives back what is beyond `size`; a share never grows."""
        given, self.size = max(0, self.size - size), min(self.size, size)
        self._budget.release(given)


class Budget:
    """So many bytes; first come, first served, so that a large wish is not overtaken for ever."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._free = size
        self._turns = threading.Condition()
        self._queue: deque[object] = deque()

    @contextmanager
    def hold(self, size: int) -> Iterator[Share]:
        """Waits for `size` bytes.

        Raises:
            Permanent: `too-much-memory`: the budget never has so many.
        """
        if size > self.size:
            raise Permanent(
                "too-much-memory",
                f"The picture may want {size} bytes of memory to be decoded; {self.size} are "
                "allowed, half of the setting BOXYARD_IMAGE_MEMORY.",
            )
        self._take(size)
        share = Share(self, size)
        try:
            yield share
        finally:
            share.shrink(0)

    def release(self, size: int) -> None:
        """Takes bytes back."""
        with self._turns:
            self._free += size
            self._turns.notify_all()

    def _take(self, size: int) -> None:
        turn = object()
        with self._turns:
            self._queue.append(turn)
            self._turns.wait_for(lambda: self._queue[0] is turn and self._free >= size)
            self._queue.popleft()
            self._free -= size
            self._turns.notify_all()
