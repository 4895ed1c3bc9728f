"""What is under way in this process, so that nobody takes all of it."""

from __future__ import annotations

import time
from collections import Counter
from threading import Lock

from boxyard_ledger import lanes_of


class Traffic:
    """Counts the deliveries under way by tenant and by origin; thread-safe.

    A tenant is busy when it holds its share of the threads that the others leave it. So one alone
    takes at most its share of all, several leave each other as much, and for one that comes anew
    there is always room.

    Args:
        threads: deliveries under way at most.
        tenant_share: of the threads, between 0 and 1.
        per_origin: deliveries under way to one origin of one tenant.
    """

    def __init__(self, threads: int, tenant_share: float, per_origin: int) -> None:
        self._threads = threads
        self._per_free_thread = tenant_share / (1 - tenant_share)
        self._per_origin = per_origin
        self._tenants: Counter[str] = Counter()
        self._origins: Counter[str] = Counter()
        self._receivers: Counter[str] = Counter()
        self._begun: dict[str, float] = {}
        self._lock = Lock()

    def begin(self, receiver: str) -> None:
        """One more delivery to this receiver is under way."""
        with self._lock:
            self._begun[receiver] = time.monotonic()
            self._count(receiver, 1)

    def end(self, receiver: str) -> None:
        """One less is."""
        with self._lock:
            self._count(receiver, -1)
            if receiver not in self._receivers:
                del self._begun[receiver]

    def _count(self, receiver: str, change: int) -> None:
        tenant, origin = lanes_of(receiver)
        for counter, name in (
            (self._tenants, tenant),
            (self._origins, origin),
            (self._receivers, receiver),
        ):
            counter[name] += change
            if not counter[name]:
                del counter[name]

    def under_way(self) -> int:
        """Deliveries that have begun and not ended."""
        with self._lock:
            return self._tenants.total()

    def room(self) -> int:
        """Deliveries that can begin now."""
        return self._threads - self.under_way()

    def receivers(self, younger_than_s: float) -> list[str]:
        """Those with deliveries under way, of which the last began less than so long ago."""
        since = time.monotonic() - younger_than_s
        with self._lock:
            return [receiver for receiver, begun in self._begun.items() if begun > since]

    def busy(self) -> set[str]:
        """Tenants and origins, as `tenant/origin`, that have as much as they may."""
        with self._lock:
            share = self._per_free_thread * (self._threads - self._tenants.total())
            tenants = {lane for lane, held in self._tenants.items() if held >= share}
            return tenants | {
                lane for lane, held in self._origins.items() if held >= self._per_origin
            }
