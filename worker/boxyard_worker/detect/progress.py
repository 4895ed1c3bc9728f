"""How much is under way, and when something last moved."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Progress:
    """Told by the chunks, read by the watchdog. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.chunks = 0
        self.moved_at = time.monotonic()

    @contextmanager
    def chunk(self) -> Iterator[None]:
        """A chunk is under way."""
        self._change(1)
        try:
            yield
        finally:
            self._change(-1)

    def move(self) -> None:
        """Something went forward."""
        self._change(0)

    def _change(self, chunks: int) -> None:
        with self._lock:
            self.chunks += chunks
            self.moved_at = time.monotonic()
