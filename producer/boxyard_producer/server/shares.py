"""How many requests of one tenant are served at once, and how many may wait for jobs to end."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from boxyard_schemas.errors import TooManyRequests

from .turns import Turns

_RETRY_AFTER_S = 2
_RETRY_WAIT_AFTER_S = 5
_THREADS = 8
"""Of the forty that Starlette has."""


class Shares:
    """The tenants' shares of the server's connections.

    A tenant is served a quarter of the connections at once. Beside them half of all connections
    may be long polls: one tenant may have all of these while no other wants one; then the oldest
    poll of the tenant that has most is answered early, with the job's present state.

    Args:
        connections: that the server accepts.
    """

    def __init__(self, connections: int) -> None:
        self._most_served, self._most_waits = max(2, connections // 4), max(2, connections // 2)
        self.turns = Turns(_THREADS)
        """On the threads that talk to Redis, by tenant or by key."""
        self._served = Counter[str]()
        self._waits: defaultdict[str, dict[Callable[[], None], None]] = defaultdict(dict)

    @contextmanager
    def serving(self, tenant: str) -> Iterator[None]:
        """While a request is served.

        Raises:
            TooManyRequests: the tenant has its share.
        """
        if self._served[tenant] >= self._most_served:
            raise TooManyRequests(
                f"{self._most_served} of your requests are being served now, your share of "
                "BOXYARD_MAX_CONNECTIONS. Send fewer at once.",
                retry_after_s=_RETRY_AFTER_S,
                limit="requests-at-once",
            )
        self._served[tenant] += 1
        try:
            yield
        finally:
            self._leave(tenant)

    @contextmanager
    def waiting(self, tenant: str, end: Callable[[], None]) -> Iterator[None]:
        """While a request that is served waits for a job to end; then it counts as a wait alone.

        Args:
            tenant: that waits.
            end: ends the wait early.

        Raises:
            TooManyRequests: all waits are taken, and no tenant has more of them than this one.
        """
        self._make_room(tenant)
        self._waits[tenant][end] = None
        self._leave(tenant)
        try:
            yield
        finally:
            self._served[tenant] += 1
            self._forget(tenant, end)

    def end_a_wait(self) -> bool:
        """Ends the oldest wait of the tenant that has most; False when there is none."""
        tenant, waits = self._heaviest()
        if not waits:
            return False
        end = next(iter(self._waits[tenant]))
        self._forget(tenant, end)
        end()
        return True

    def _make_room(self, tenant: str) -> None:
        if sum(map(len, self._waits.values())) < self._most_waits:
            return
        _, most = self._heaviest()
        if most <= len(self._waits.get(tenant, ())) + 1:
            raise TooManyRequests(
                f"{self._most_waits} requests wait for jobs to end, as many as may, and no tenant "
                "has more of them than you. Ask without `wait`, or for fewer jobs at once.",
                retry_after_s=_RETRY_WAIT_AFTER_S,
                limit="waits",
            )
        self.end_a_wait()

    def _heaviest(self) -> tuple[str, int]:
        counts = ((tenant, len(waits)) for tenant, waits in self._waits.items())
        return max(counts, key=lambda each: each[1], default=("", 0))

    def _forget(self, tenant: str, end: Callable[[], None]) -> None:
        if tenant in self._waits:
            self._waits[tenant].pop(end, None)
            if not self._waits[tenant]:
                del self._waits[tenant]

    def _leave(self, tenant: str) -> None:
        self._served[tenant] -= 1
        if not self._served[tenant]:
            del self._served[tenant]
