"""Ends a worker that sits idle beside ready jobs; the process manager starts a fresh one."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import structlog

from boxyard_ledger import Ledger
from boxyard_worker.detect.progress import Progress

log = structlog.get_logger(__name__)

EXIT_STALLED = 70


class Watchdog:
    """Looks, at every `check`, whether the worker should be working and is not.

    Halfway to its verdict it rings the bell itself, so that it is never a lost bell that it
    takes for a deaf worker, nor a worker that stood still with the whole machine.

    Args:
        ledger: tells whether jobs are ready, and rings.
        model: whose jobs.
        progress: whether a drain is under way, and when something last moved.
        stall_s: idle beside ready jobs for so long is a stall, seconds.
        end: called on a stall.
    """

    def __init__(
        self,
        ledger: Ledger,
        model: str,
        progress: Progress,
        *,
        stall_s: float,
        end: Callable[[int], None] = os._exit,
    ) -> None:
        self._ledger = ledger
        self._model = model
        self._progress = progress
        self._stall_s = stall_s
        self._end = end
        self._idle_since: float | None = None
        self._rung_at = 0.0

    def check(self) -> None:
        """One look.

        Raises:
            Unavailable: Redis is away; idling is right then.
        """
        now = time.monotonic()
        if not self._idle_beside_work():
            self._idle_since = None
            return
        self._idle_since = max(self._idle_since or now, self._progress.moved_at)
        idle_s = now - self._idle_since
        if idle_s > self._stall_s and self._rung_at > self._idle_since:
            log.critical("worker.stalled", idle_s=round(idle_s))
            self._end(EXIT_STALLED)
        elif idle_s > self._stall_s / 2:
            self._ledger.bells.ring(self._model)
            self._rung_at = now

    def _idle_beside_work(self) -> bool:
        try:
            return not self._progress.draining and self._ledger.jobs.ready(self._model) > 0
        except Exception:
            self._idle_since = None
            raise
