"""What keeps callers from queueing for a Redis that does not answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Event, Lock, Thread

import redis

from boxyard_schemas.errors import Unavailable

from .refusals import RETRY_AFTER_S


class Breaker:
    """Refuses commands at once from the first that had no answer in time to Redis' next answer.

    Without it each caller would wait out the time limit of its own, and a pool of threads would
    make the later ones wait for the earlier ones too.

    Args:
        ping: asks Redis for a sign of life; it raises `redis.TimeoutError` when none comes.
    """

    def __init__(self, ping: Callable[[], object]) -> None:
        self._ping = ping
        self._lock = Lock()
        self._stalled = False
        self._closed = Event()

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Around a command.

        Raises:
            Unavailable: Redis is known to stall; nothing was sent.
        """
        self.check()
        try:
            yield
        except redis.TimeoutError:
            self._open()
            raise

    def check(self) -> None:
        """Sees whether commands may be sent.

        Raises:
            Unavailable: Redis is known to stall.
        """
        if self._stalled:
            raise Unavailable("Redis does not answer now.", retry_after_s=RETRY_AFTER_S)

    @property
    def stalled(self) -> bool:
        """Whether Redis is known to stall, and commands are refused."""
        return self._stalled

    def close(self) -> None:
        """Looks no longer for signs of life."""
        self._closed.set()

    def _open(self) -> None:
        with self._lock:
            if self._stalled:
                return
            self._stalled = True
        Thread(target=self._watch, name="redis-watch", daemon=True).start()

    def _watch(self) -> None:
        while not self._closed.is_set() and self._is_silent():
            pass
        self._stalled = False

    def _is_silent(self) -> bool:
        # What is refused needs no breaker: commands are told so themselves, and at once. And a
        # connection that is closed meanwhile raises whatever it stumbles on.
        with suppress(Exception):
            try:
                self._ping()
            except redis.TimeoutError:
                return True
        return False
