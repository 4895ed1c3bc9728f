"""One deadline for a whole request: resolving, connecting, and every byte of the answer."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from math import inf

import httpcore

_end: ContextVar[float] = ContextVar("end of the request, monotonic seconds", default=inf)


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Gives what runs inside, on this thread, so many seconds in all; an outer deadline holds."""
    token = _end.set(min(_end.get(), time.monotonic() + seconds))
    try:
        yield
    finally:
        _end.reset(token)


def remaining() -> float:
    """Seconds left.

    Raises:
        httpcore.TimeoutException: none are.
    """
    left = _end.get() - time.monotonic()
    if left <= 0:
        raise httpcore.TimeoutException("it took longer than its deadline")
    return left
