"""Receivers: whose turn it is to be told, so that nobody waits for another."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence, Set
from itertools import count

from boxyard_schemas.words import utc_now

from . import keys
from .connection import Connection, Word
from .indexes import read_until
from .outbox import lanes_of
from .records import DeliveryAttempt

LOG_LINES = 50
_LOOK_AT = 64
"""Due receivers that one claim considers: others may take the first ones meanwhile."""
_DAY_S = 86_400.0
_LOST = "The deliverer did not say what became of it: the receiver may have it."


class Receivers:
    """The receivers of all tenants, by when their first delivery is due."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def due(self, now: int, busy: Set[str]) -> list[str]:
        """Receivers that may be served, some of them if there are many; the longest due first.

        Those that are not, since their tenant or their origin is busy, step aside when they take
        up the whole view: for a random part of a second, longer the more of them there are.
        """
        for step in count(1):
            found = read_until(self._connection, keys.RECEIVERS, now, _LOOK_AT)
            free = [receiver for receiver in found if busy.isdisjoint(lanes_of(receiver))]
            if free or len(found) < _LOOK_AT:
                break
            self._step_aside(found, now, step)
        return free

    def _step_aside(self, receivers: Sequence[str], now: int, step: int) -> None:
        words: list[Word] = ["ZADD", keys.RECEIVERS, "XX", "GT"]
        for receiver in receivers:
            words += [now + random.randint(1, 1000 * step), receiver]
        self._connection.command(*words)

    def next_due(self) -> float | None:
        """Seconds until a delivery is due, a day at most, 0 when one is; None when none waits."""
        first = self._connection.command("ZRANGE", keys.RECEIVERS, 0, 0)
        due = self._connection.command("ZSCORE", keys.RECEIVERS, first[0]) if first else None
        if due is None:
            return None
        return min(max(0.0, (float(due) - self._connection.now_ms()) / 1000), _DAY_S)

    def renew(self, receivers: Iterable[str], lease_ms: int) -> None:
        """Prolongs leases; those that are over, and were taken away, stay so."""
        words: list[Word] = ["ZADD", keys.RECEIVER_LEASES, "XX", "GT"]
        end = self._connection.now_ms() + lease_ms
        for receiver in receivers:
            words += [end, receiver]
        self._connection.command(*words)

    def release_expired_leases(self, limit: int) -> int:
        """Frees receivers whose holder died; returns how many."""
        now = self._connection.now_ms()
        held = read_until(self._connection, keys.RECEIVER_LEASES, now, limit)
        return sum(self.release(receiver) for receiver in held)

    def release(self, receiver: str) -> int:
        """Frees one receiver if its lease is over."""
        entries = sorted(self._connection.command("SMEMBERS", keys.sending(receiver)))
        line = DeliveryAttempt(at=utc_now(), outcome="deliverer-lost", detail=_LOST)
        names = index_keys(receiver)
        for entry in entries:
            names += [keys.delivery(*keys.split(entry)), keys.attempts(*keys.split(entry))]
        words = [receiver, line.model_dump_json(), -LOG_LINES, *entries]
        released: int = self._connection.run("release_receiver", names, words)
        return released


def index_keys(receiver: str) -> list[str]:
    """The first keys of every script that serves or frees a receiver."""
    return [
        keys.RECEIVERS,
        keys.RECEIVER_LEASES,
        keys.pending(receiver),
        keys.sending(receiver),
    ]


def pace_keys(receiver: str) -> list[str]:
    """How much at once a receiver is given, and whether it asked for a rest."""
    return [keys.streak(receiver), keys.rest(receiver)]
