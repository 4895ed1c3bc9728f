"""When something is tried again, and when its time is over."""

from __future__ import annotations

from collections.abc import Callable

from boxyard_schemas.errors import Retryable, Unavailable
from boxyard_worker.detect.awake import awake_s
from boxyard_worker.detect.hands import Later

_PAUSES_S = 0.25, 5.0
"""Between attempts: the first one, doubled each time, and the longest."""
_OUTAGE_PAUSE_S = 2.0
"""The longest while the blob store is away."""
_LEAST_S = 1.0
"""An attempt has so long at least, when it had to wait for a thread past the deadline."""


class Retries:
    """The attempts to fetch one image of one claim, or to record the result of one.

    Failures of an image's source have one deadline together, from the first attempt on. An outage
    of the blob store has its own, longer one, and does not count towards the other.

    Args:
        deadline_s: for all attempts together.
        patience_s: for an outage of the blob store.
        clock: seconds.
    """

    def __init__(
        self, *, deadline_s: float, patience_s: float, clock: Callable[[], float] = awake_s
    ) -> None:
        self._deadline_s = deadline_s
        self._patience_s = patience_s
        self._clock = clock
        self._pause_s = _PAUSES_S[0]
        self._end: float | None = None
        self._outage_end: float | None = None

    def begin(self) -> float:
        """Starts an attempt; returns how many seconds it may take."""
        now = self._clock()
        if self._end is None:
            self._end = now + self._deadline_s
        return max(self._end - now, min(_LEAST_S, self._deadline_s))

    def after(self, error: Retryable | Unavailable) -> Later:
        """What to raise when an attempt failed.

        Raises:
            Retryable, Unavailable: `error`, when its time is over before the next attempt.
        """
        now = self._clock()
        pause_s, self._pause_s = self._pause_s, min(2 * self._pause_s, _PAUSES_S[1])
        if isinstance(error, Unavailable):
            self._outage_end = end = self._outage_end or now + self._patience_s
            self._end = None
            pause_s = min(pause_s, _OUTAGE_PAUSE_S)
        else:
            end = self._end or now
            pause_s = max(pause_s, error.data.get("retry_after_s") or 0)
        if now + pause_s >= end:
            raise error
        return Later(pause_s)
