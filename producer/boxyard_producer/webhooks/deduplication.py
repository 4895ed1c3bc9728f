"""Acting once on what comes at least once.

The same event may come again: because an answer got lost, because two attempts overlap, or because
somebody replays the delivery. Its id stays the same. Whoever acts on it does so inside `once`:

- entered with True: nobody has acted on the event; act, then leave.
- entered with False: it was acted on; answer 2xx and do nothing.
- EventInProgress: somebody acts on it now. Answer 409: should they fail or die, it comes again.

Left by an error, the claim is given back, and the next attempt acts. A consumer that dies inside
gives nothing back: its claim ends by itself. What it had done by then is done again: acting is at
least once, never less. It is exactly once only where the id is stored in the same transaction as
the act, as `examples/consumers/in_sql.py` does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from threading import Lock
from typing import Protocol

from boxyard_schemas.errors import EventInProgress


class Deduplication(Protocol):
    """Remembers which events were acted on."""

    def once(self, event_id: str) -> AbstractContextManager[bool]:
        """Enter to act on an event: True for whom it is to act.

        Raises:
            EventInProgress: somebody else acts on it now.
        """


class MemoryDeduplication:
    """In this process alone: what was seen is forgotten when it ends. Thread-safe.

    Args:
        size: ids that are remembered at most, about 200 bytes each; the oldest go first.
    """

    def __init__(self, size: int = 100_000) -> None:
        self._size = size
        self._claimed: set[str] = set()
        self._done: dict[str, None] = {}
        self._lock = Lock()

    @contextmanager
    def once(self, event_id: str) -> Iterator[bool]:
        """As the protocol says."""
        if not self._claim(event_id):
            yield False
            return
        with settling(lambda: self._settle(event_id), lambda: self._release(event_id)):
            yield True

    def _claim(self, event_id: str) -> bool:
        with self._lock:
            if event_id in self._done:
                return False
            if event_id in self._claimed:
                raise EventInProgress(f"{event_id} is acted on in another thread.")
            self._claimed.add(event_id)
            return True

    def _settle(self, event_id: str) -> None:
        with self._lock:
            self._claimed.discard(event_id)
            self._done[event_id] = None
            while len(self._done) > self._size:
                del self._done[next(iter(self._done))]

    def _release(self, event_id: str) -> None:
        with self._lock:
            self._claimed.discard(event_id)


@contextmanager
def settling(settle: Callable[[], object], release: Callable[[], object]) -> Iterator[None]:
    """Settles what is left without an error, and releases the rest."""
    try:
        yield
    except BaseException:
        release()
        raise
    settle()
