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
    """Exponential backoff with full jitter; where the server says when to come back, then.

    Attributes:
        patience_s: how long one call may take in all before it is given up: no pause is begun
            that would end later. 0 tries once.
        attempts: how often in a row without a word of when to come back.
        first_s: the first pause is up to twice this.
        longest_s: of the pauses that grow.
        chance: what spreads pauses, from 0 to 1.
    """

    patience_s: float = 120.0
    attempts: int = 5
    first_s: float = 0.25
    longest_s: float = 30.0
    chance: Callable[[], float] = random.random

    def delay_s(self, outcome: Outcome, attempt: int, spent_s: float = 0) -> float | None:
        """Seconds to wait before the next attempt; none when this outcome is final.

        Args:
            outcome: what became of the attempt.
            attempt: its number, from 1, since the server last said when to come back.
            spent_s: seconds since the call began.
        """
        if not _worth_it(outcome):
            return None
        delay_s = self._pause_s(outcome, attempt)
        return delay_s if delay_s is not None and spent_s + delay_s < self.patience_s else None

    def _pause_s(self, outcome: Outcome, attempt: int) -> float | None:
        asked_s = retry_after_s(outcome)
        if asked_s is not None:
            # Everybody was told the same: they should not all be back in the same moment.
            return asked_s * (1 + self.chance() / 10)
        if attempt >= self.attempts:
            return None
        return self.chance() * min(self.longest_s, self.first_s * 2.0**attempt)


def _worth_it(outcome: Outcome) -> bool:
    if isinstance(outcome, httpx.TransportError):
        return True
    return outcome.status_code in _WORTH_IT


def retry_after_s(outcome: Outcome) -> float | None:
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
