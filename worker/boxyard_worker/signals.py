"""How a loop is told to stop."""

from __future__ import annotations

import signal
from threading import Event
from types import FrameType


def stop_on_signals() -> Event:
    """An event that SIGTERM or SIGINT sets. Call it from the main thread."""
    stop = Event()

    def handle(number: int, frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, handle)
    signal.signal(signal.SIGINT, handle)
    return stop
