"""When a delivery that failed is tried again."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """Pauses between attempts.

    Attributes:
        pauses_s: seconds after the first attempt, the second, and so on.
        jitter: share by which a pause varies, so that receivers are not flooded when they return.
        max_retry_after_s: a receiver's own wish is honoured up to this many seconds.
    """

    pauses_s: Sequence[float]
    jitter: float
    max_retry_after_s: float

    def pause_s(self, attempt: int, retry_after_s: float | None = None) -> float | None:
        """Seconds until the next attempt; None when `attempt`, from 1, was the last."""
        if attempt > len(self.pauses_s):
            return None
        pause = self.pauses_s[attempt - 1] * random.uniform(1 - self.jitter, 1 + self.jitter)
        return max(pause, min(retry_after_s or 0, self.max_retry_after_s))
