"""Waiting for what comes back: Redis, or Boxyard's own blob store."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import structlog

from boxyard_ledger import StoreRefuses
from boxyard_schemas.errors import Unavailable

T = TypeVar("T")
log = structlog.get_logger(__name__)


def when_available(get: Callable[[], T]) -> T:
    """What `get` returns, once it no longer raises `Unavailable`."""
    pause_s = 0.1
    while True:
        try:
            return get()
        except Unavailable as error:
            log_outage(error, pause_s)
        time.sleep(pause_s)
        pause_s = min(pause_s * 2, 2.0)


def log_outage(error: Unavailable, pause_s: float) -> None:
    """Logs that something is away, and when it is tried again."""
    level = "error" if isinstance(error, StoreRefuses) else "warning"
    getattr(log, level)("outage.awaited", detail=error.detail, again_in_s=pause_s)
