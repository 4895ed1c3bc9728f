"""A monotonic clock that stops while the process is frozen.

A suspended machine, `docker pause` and SIGSTOP freeze a worker together with what it waits for: a
deadline by the wall clock would then end work that had no chance to go on.
"""

from __future__ import annotations

import threading
import time
from functools import cache

_TICK_S = 0.1
_GAP_S = 0.5
"""A longer time between two ticks counts as this: the process did not run."""


def awake_s() -> float:
    """Seconds that this process was awake since the first call; to within a tick."""
    return _start_clock().seconds


class _Clock:
    def __init__(self) -> None:
        self.seconds = 0.0
        threading.Thread(target=self._tick, name="awake", daemon=True).start()

    def _tick(self) -> None:
        before = time.monotonic()
        while True:
            time.sleep(_TICK_S)
            now = time.monotonic()
            self.seconds += min(now - before, _GAP_S)
            before = now


@cache
def _start_clock() -> _Clock:
    return _Clock()
