"""A thread that does one thing again and again."""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

from boxyard_schemas.errors import Unavailable

log = structlog.get_logger(__name__)


class Ticker:
    """Calls `tick` every `interval_s` seconds until it is stopped; outages are only logged."""

    def __init__(self, name: str, interval_s: float, tick: Callable[[], None]) -> None:
        self._name = name
        self._interval_s = interval_s
        self._tick = tick
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Ticks at once, then at every interval."""
        self._thread.start()

    def wake(self) -> None:
        """Makes the next tick come now."""
        self._wake.set()

    def stop(self) -> None:
        """Waits for a tick that is under way."""
        self._stop.set()
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._tick()
            except Unavailable as error:
                log.warning("ticker.unavailable", ticker=self._name, detail=error.detail)
            except Exception:  # a tick must not end the thread that the worker's life hangs on
                log.exception("ticker.failed", ticker=self._name)
            self._wake.wait(self._interval_s)
            self._wake.clear()
