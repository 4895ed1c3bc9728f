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


def with_patience(get: Callable[[], T], patience_s: float, *, give_up: Callable[[], bool]) -> T:
    """Calls `get` until it no longer raises `Unavailable`.

    Args:
        get: what may be unavailable.
        patience_s: for how long, seconds; then the last error is raised.
        give_up: asked between attempts whether waiting has become pointless.
    """
    end, pause = time.monotonic() + patience_s, 0.1
    while True:
        try:
            return get()
        except Unavailable as error:
            if time.monotonic() + pause > end or give_up():
                raise
            log_outage(error, pause)
        time.sleep(pause)
        pause = min(pause * 2, 2.0)


def log_outage(error: Unavailable, pause_s: float) -> None:
    """Logs that something is away, and when it is tried again."""
    level = "error" if isinstance(error, StoreRefuses) else "warning"
    getattr(log, level)("outage.awaited", detail=error.detail, again_in_s=pause_s)
