"""How many requests of one tenant are served at once, and how many may wait for jobs to end."""

from __future__ import annotations

import hashlib
from collections import Counter, OrderedDict, defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import ParamSpec, TypeVar

from starlette.concurrency import run_in_threadpool

from boxyard_schemas.errors import TooManyRequests, Unauthorized

from .turns import Turns

Parameters = ParamSpec("Parameters")
Answer = TypeVar("Answer")

_RETRY_AFTER_S = 2
_RETRY_WAIT_AFTER_S = 5
_THREADS = 8
"""Of the forty that Starlette has."""
_STRANGERS = 4
"""Threads of those forty that look up unknown keys for one address; twice as many for all."""
_REMEMBERED = 10_000
"""Keys whose tenants are known."""


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
        """On the threads that talk to Redis, by tenant."""
        self._tenants = OrderedDict[bytes, str]()
        """By the digests of keys that were valid, the last one last."""
        self._strangers, self._all_strangers = Turns(_STRANGERS), Turns(2 * _STRANGERS)
        self._served = Counter[str]()
        self._waits: defaultdict[str, dict[Callable[[], None], None]] = defaultdict(dict)

    @asynccontextmanager
    async def looking_up(self, key: str, address: str) -> AsyncIterator[None]:
        """While an API key is looked up, in a turn of its tenant if it was valid lately.

        Whoever shows ever new keys gets few of the threads: those of a client's address wait for
        each other, and so do, among themselves, those of all.

        Args:
            key: its text.
            address: the client's, without its port.
        """
        digest = _digest(key)
        if tenant := self._tenants.get(digest):
            try:
                async with self.turns.of(tenant):
                    yield
            except Unauthorized:  # it was revoked
                self._tenants.pop(digest, None)
                raise
        else:
            async with self._strangers.of(address), self._all_strangers.of(""):
                yield

    def knows(self, key: str) -> bool:
        """Whether a key was valid lately."""
        return _digest(key) in self._tenants

    def remember(self, key: str, tenant: str) -> None:
        """Knows the tenant of a key that was valid just now."""
        digest = _digest(key)
        self._tenants[digest] = tenant
        self._tenants.move_to_end(digest)
        if len(self._tenants) > _REMEMBERED:
            self._tenants.popitem(last=False)

    async def run(
        self,
        tenant: str,
        work: Callable[Parameters, Answer],
        *args: Parameters.args,
        **options: Parameters.kwargs,
    ) -> Answer:
        """What the work returns or raises; it is done on a thread, in one of the tenant's turns."""
        async with self.turns.of(tenant):
            return await run_in_threadpool(work, *args, **options)

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


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode(errors="surrogateescape")).digest()
