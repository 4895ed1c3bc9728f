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
        self.jobs = 0
        self.moved_at = time.monotonic()

    @contextmanager
    def chunk(self) -> Iterator[None]:
        """A chunk is under way."""
        self._change(chunks=1)
        try:
            yield
        finally:
            self._change(chunks=-1)

    def begin(self) -> None:
        """A job is under way; it may outlast its chunk."""
        self._change(jobs=1)

    def end(self) -> None:
        """A job is not under way any more."""
        self._change(jobs=-1)

    def move(self) -> None:
        """Something went forward."""
        self._change()

    @property
    def idle(self) -> bool:
        """Whether nothing is under way."""
        return not self.chunks and not self.jobs

    def _change(self, *, chunks: int = 0, jobs: int = 0) -> None:
        with self._lock:
            self.chunks += chunks
            self.jobs += jobs
            self.moved_at = time.monotonic()
