"""Deduplication for consumers of several processes, in the team's own Redis."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from boxyard_schemas.errors import EventInProgress

from .deduplication import settling

_DAY_S = 86_400

_CLAIM = """
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 1 end
if redis.call('GET', KEYS[1]) == 'done' then return 0 end
return -1
"""
_SETTLE = "redis.call('SET', KEYS[1], 'done', 'PX', ARGV[1])"
_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end"
"""Only one's own claim: after the lease it may be somebody else's."""


class RedisClient(Protocol):
    """What is needed of `redis.Redis`."""

    def eval(self, script: str, numkeys: int, *keys_and_args: str) -> Any:
        """Runs a script."""


class RedisDeduplication:
    """One key an event; as durable as the Redis is.

    Args:
        redis: a blocking client.
        prefix: of the keys; one for each consumer that acts on its own.
        lease_s: after so long the claim of a consumer that died ends. Longer than any act takes,
            or two may act at once.
        keep_s: how long an id is remembered: as long as the service keeps jobs (seven days by
            default), since deliveries can be replayed until then, and a little more.
    """

    def __init__(
        self,
        redis: RedisClient,
        prefix: str = "boxyard:seen:",
        *,
        lease_s: float = 60,
        keep_s: float = 8 * _DAY_S,
    ) -> None:
        self._redis, self._prefix = redis, prefix
        self._lease_ms, self._keep_ms = str(int(lease_s * 1000)), str(int(keep_s * 1000))

    @contextmanager
    def once(self, event_id: str) -> Iterator[bool]:
        """As the protocol says; an error of the client's goes through."""
        key, token = self._prefix + event_id, secrets.token_hex(8)
        found = self._redis.eval(_CLAIM, 1, key, token, self._lease_ms)
        if found < 0:
            raise EventInProgress(f"{event_id} is acted on by another consumer.")
        if not found:
            yield False
            return
        with settling(
            lambda: self._redis.eval(_SETTLE, 1, key, self._keep_ms),
            lambda: self._redis.eval(_RELEASE, 1, key, token),
        ):
            yield True
