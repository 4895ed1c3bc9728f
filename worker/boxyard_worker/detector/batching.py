"""Which pictures go on the device together."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass
class Batcher(Generic[T]):
    """Queues by shape group; a group is due when it is full or its oldest item waited enough.

    Of the due groups the one with the oldest item goes first, so no group starves another.
    It reads no clock: callers say what time it is, in seconds.

    Attributes:
        max_batch: most items of one batch.
        max_wait_s: how long an item waits for mates.
    """

    max_batch: int
    max_wait_s: float
    _groups: dict[Hashable, deque[tuple[float, T]]] = field(default_factory=dict)

    def put(self, item: T, group: Hashable, now: float) -> None:
        """Adds an item; only items of equal group are batched together."""
        self._groups.setdefault(group, deque()).append((now, item))

    def take(self, now: float) -> list[T]:
        """The next batch, oldest first; empty when nothing is due."""
        due = [group for group in self._groups if self._due_at(group) <= now]
        if not due:
            return []
        group = min(due, key=lambda name: self._groups[name][0][0])
        queue = self._groups[group]
        batch = [queue.popleft()[1] for _ in range(min(self.max_batch, len(queue)))]
        if not queue:
            del self._groups[group]
        return batch

    def due_in(self, now: float) -> float | None:
        """Seconds until a batch is due if nothing else comes; None when nothing waits."""
        if not self._groups:
            return None
        return max(0.0, min(map(self._due_at, self._groups)) - now)

    def _due_at(self, group: Hashable) -> float:
        queue = self._groups[group]
        arrived = queue[0][0]
        return arrived if len(queue) >= self.max_batch else arrived + self.max_wait_s
