"""How much is under way, and when something last moved."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Progress:
    """Written by the claiming thread and the images' threads, read by the watchdog."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.draining = False
        self.jobs = 0
        self.moved_at = time.monotonic()

    @contextmanager
    def drain(self) -> Iterator[None]:
        """Jobs are being claimed."""
        self.draining = True
        self.move()
        try:
            yield
        finally:
            self.draining = False
            self.move()

    def begin(self) -> None:
        """A job is under way."""
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
        return not self.draining and not self.jobs

    def _change(self, *, jobs: int = 0) -> None:
        with self._lock:
            self.jobs += jobs
            self.moved_at = time.monotonic()
