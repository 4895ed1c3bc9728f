"""When a request is sent again, and after how long."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from .answers import Outcome

_WORTH_IT = frozenset({429, 502, 503, 504})


@dataclass(frozen=True)
class Retries:
    """Exponential backoff with full jitter; what the server asks for goes before it."""

    attempts: int = 5
    first_s: float = 0.25
    longest_s: float = 30.0
    chance: Callable[[], float] = random.random

    def delay_s(self, outcome: Outcome, attempt: int) -> float | None:
        """Seconds to wait before the next attempt; none when this outcome is final.

        Args:
            outcome: what became of the attempt.
            attempt: its number, from 1.
        """
        if attempt >= self.attempts or not _worth_it(outcome):
            return None
        asked = _retry_after_s(outcome)
        if asked is not None:
            return asked if asked <= self.longest_s else None
        return self.chance() * min(self.longest_s, self.first_s * 2.0**attempt)


def _worth_it(outcome: Outcome) -> bool:
    if isinstance(outcome, httpx.TransportError):
        return True
    return outcome.status_code in _WORTH_IT


def _retry_after_s(outcome: Outcome) -> float | None:
    """`Retry-After` in seconds, whether it was given as seconds or as a date."""
    header = "" if isinstance(outcome, httpx.TransportError) else _header(outcome)
    if header.isdecimal():
        return float(header)
    try:
        moment = parsedate_to_datetime(header)
    except ValueError:
        return None
    return max(0.0, (moment.astimezone(UTC) - datetime.now(UTC)).total_seconds())


def _header(response: httpx.Response) -> str:
    value: str = response.headers.get("Retry-After", "")
    return value.strip()
